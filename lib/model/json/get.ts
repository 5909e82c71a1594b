/**
 * Typed getters over the members of an object. Each fails with `BadModelFile`, which names the key, what it
 * holds and what is needed; a member that is missing or null is `otherwise`, if that is given.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { BadModelFile } from "../../errors.ts"
import { quote } from "../gguf/bytes.ts"
import type { Range } from "../gguf/get.ts"
import * as Source from "../gguf/Source.ts"
import { limits } from "./limits.ts"
import { type Document, type Json, type JsonObject, parse } from "./parse.ts"

type Got<A> = Result.Result<A, BadModelFile>

/** A value as an error shows it. */
export const show = (value: Json): string => {
  if (typeof value === "string") return quote(value)
  if (value instanceof Map) return "an object"
  return Array.isArray(value) ? "an array" : String(value)
}

/** A failure at a member. */
export const bad = (from: Document, key: string, state: string): Got<never> =>
  Result.fail(
    new BadModelFile({
      file: from.file,
      offset: from.offset(key),
      reason: `${quote(from.prefix + key)} ${state}`,
    }),
  )

const get = <A>(
  from: Document,
  key: string,
  need: string,
  otherwise: A | undefined,
  accept: (value: Json) => A | undefined,
): Got<A> => {
  const value = from.keys.get(key) ?? null
  if (value === null && otherwise !== undefined) return Result.succeed(otherwise)
  const accepted = accept(value)
  if (accepted !== undefined) return Result.succeed(accepted)
  const state = from.keys.has(key) ? `is ${show(value)}` : "is missing"
  return bad(from, key, `${state}: ${need} is needed`)
}

const within = ({ min, max }: Range, value: Json): value is number =>
  typeof value === "number" && value >= min && value <= max

/** A number in a range. */
export const number = (from: Document, key: string, range: Range): Got<number> =>
  get(
    from,
    key,
    `a number from ${range.min} to ${range.max}`,
    range.otherwise,
    (value) => within(range, value) ? value : undefined,
  )

/** A whole number in a range. */
export const integer = (from: Document, key: string, range: Range): Got<number> =>
  get(
    from,
    key,
    `a whole number from ${range.min} to ${range.max}`,
    range.otherwise,
    (value) => within(range, value) && Number.isSafeInteger(value) ? value : undefined,
  )

/** A boolean. */
export const boolean = (from: Document, key: string, otherwise?: boolean): Got<boolean> =>
  get(
    from,
    key,
    "true or false",
    otherwise,
    (value) => typeof value === "boolean" ? value : undefined,
  )

/** A string. */
const text = (from: Document, key: string, otherwise?: string): Got<string> =>
  get(from, key, "a string", otherwise, (value) => typeof value === "string" ? value : undefined)
export { text as string }

/** An array. */
export const array = (
  from: Document,
  key: string,
  otherwise?: ReadonlyArray<Json>,
): Got<ReadonlyArray<Json>> =>
  get(from, key, "an array", otherwise, (value) => isArray(value) ? value : undefined)

const inside = (from: Document, key: string, name: string, keys: JsonObject): Document => ({
  file: from.file,
  prefix: from.prefix + name,
  keys,
  offset: () => from.offset(key),
})

/** An object, whose getters name its members with its own name before them. */
export const object = (from: Document, key: string, otherwise?: JsonObject): Got<Document> =>
  Result.map(
    get(from, key, "an object", otherwise, (value) => isObject(value) ? value : undefined),
    (keys) => inside(from, key, `${key}.`, keys),
  )

/** The objects of an array. */
export const objects = (
  from: Document,
  key: string,
  otherwise?: ReadonlyArray<JsonObject>,
): Got<ReadonlyArray<Document>> =>
  Result.map(
    get(
      from,
      key,
      "an array of objects",
      otherwise,
      (value) => isArray(value) && value.every(isObject) ? value : undefined,
    ),
    (all) => all.map((keys, i) => inside(from, key, `${key}[${i}].`, keys)),
  )

/** An array, and not an object. */
export const isArray = (value: Json | undefined): value is ReadonlyArray<Json> =>
  Array.isArray(value)

/** An object, and not an array. */
export const isObject = (value: Json | undefined): value is JsonObject => value instanceof Map

/** Whether a member is there and not null. */
export const has = ({ keys }: Document, key: string): boolean => (keys.get(key) ?? null) !== null

/** Reads the object that a file is. */
export const file = (path: string): Effect.Effect<Document, BadModelFile> =>
  Effect.scoped(Effect.flatMap(Source.file(path), whole))

const whole = (source: Source.Source): Effect.Effect<Document, BadModelFile> => {
  const { name, size } = source
  if (size > limits.fileBytes) {
    const reason = `it has ${size} bytes: over limits.fileBytes, ${limits.fileBytes}`
    return Effect.fail(new BadModelFile({ file: name, offset: 0, reason }))
  }
  return Effect.flatMap(source.read(0, size), (bytes) => Effect.fromResult(parse(name, bytes)))
}
