/**
 * Typed getters over metadata. Each fails with `BadModelFile`, which names the key, what it holds and
 * what is needed; with `otherwise`, a key that is missing is that.
 *
 * @module
 */
import { Result } from "effect"
import { BadModelFile } from "../../errors.ts"
import { quote } from "./bytes.ts"
import { type Metadata, narrow, type Value } from "./metadata.ts"

/** Which numbers a getter takes. */
export interface Range {
  /** The least that is taken. */
  readonly min: number
  /** The most that is taken. */
  readonly max: number
  /** The number when the key is missing. */
  readonly otherwise?: number
}

type Got<A> = Result.Result<A, BadModelFile>

const show = ({ data, type }: Value): string =>
  typeof data === "string"
    ? quote(data)
    : typeof data === "object"
    ? `${data.length} elements of ${type}`
    : String(data)

const fail = (from: Metadata, key: string, state: string, need: string): Got<never> =>
  Result.fail(
    new BadModelFile({
      file: from.file,
      offset: from.metadata.get(key)?.offset ?? 0,
      reason: `${quote(key)} ${state}: ${need} is needed`,
    }),
  )

const get = <A>(
  from: Metadata,
  key: string,
  need: string,
  otherwise: A | undefined,
  accept: (value: Value) => A | undefined,
): Got<A> => {
  const entry = from.metadata.get(key)
  if (entry === undefined) {
    return otherwise === undefined ? fail(from, key, "is missing", need) : Result.succeed(otherwise)
  }
  const accepted = accept(entry)
  return accepted === undefined
    ? fail(from, key, `is ${show(entry)}`, need)
    : Result.succeed(accepted)
}

const within = ({ min, max }: Range, value: unknown): value is number =>
  typeof value === "number" && value >= min && value <= max

/** A number of any numeric type, in a range. */
export const number = (from: Metadata, key: string, range: Range): Got<number> =>
  get(
    from,
    key,
    `a number from ${range.min} to ${range.max}`,
    range.otherwise,
    ({ data }) => within(range, data) ? data : undefined,
  )

/** A whole number in a range. */
export const integer = (from: Metadata, key: string, range: Range): Got<number> =>
  get(
    from,
    key,
    `a whole number from ${range.min} to ${range.max}`,
    range.otherwise,
    ({ data }) => within(range, data) && Number.isInteger(data) ? data : undefined,
  )

/** A boolean. */
export const boolean = (from: Metadata, key: string, otherwise?: boolean): Got<boolean> =>
  get(
    from,
    key,
    "true or false",
    otherwise,
    ({ data }) => typeof data === "boolean" ? data : undefined,
  )

/** A string. */
const text = (from: Metadata, key: string, otherwise?: string): Got<string> =>
  get(
    from,
    key,
    "a string",
    otherwise,
    ({ data }) => typeof data === "string" ? data : undefined,
  )
export { text as string }

/** Strings. */
export const strings = (
  from: Metadata,
  key: string,
  otherwise?: ReadonlyArray<string>,
): Got<ReadonlyArray<string>> =>
  get(
    from,
    key,
    "an array of strings",
    otherwise,
    ({ data, type }) => type === "string[]" ? data as ReadonlyArray<string> : undefined, // `type` says so
  )

/** Numbers, each in a range. */
export const numbers = (
  from: Metadata,
  key: string,
  range: { readonly min: number; readonly max: number },
  otherwise?: ReadonlyArray<number>,
): Got<ReadonlyArray<number>> =>
  get(
    from,
    key,
    `an array of numbers from ${range.min} to ${range.max}`,
    otherwise,
    ({ data, type }) => {
      if (typeof data !== "object" || type === "bool[]") return undefined
      const out = Array.from<unknown, unknown>(data, narrow)
      return out.every((x) => within(range, x)) ? out : undefined
    },
  )
