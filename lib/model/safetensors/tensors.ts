/**
 * The tensors of a header, checked against the file before anything is read.
 *
 * @module
 */
import { Result } from "effect"
import { BadModelFile, UnsupportedModel } from "../../errors.ts"
import { type DType, formats } from "../../tensor/DType.ts"
import { quote } from "../gguf/bytes.ts"
import type { TensorInfo } from "../gguf/tensors.ts"
import { isArray, isObject } from "../json/get.ts"
import type { Document, Json } from "../json/parse.ts"
import { limits } from "./limits.ts"

type Checked<A> = Result.Result<A, BadModelFile | UnsupportedModel>

const dtypes: ReadonlyMap<Json | undefined, DType> = new Map([
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
])

/** What one tensor's reader knows. */
interface Entry {
  readonly name: string
  readonly bad: (reason: string) => Result.Result<never, BadModelFile>
}

const isCount = (value: Json): value is number => Number.isSafeInteger(value) && Number(value) >= 0

const dtypeOf = ({ name, bad }: Entry, value: Json | undefined): Checked<DType> => {
  const dtype = dtypes.get(value)
  if (dtype !== undefined) return Result.succeed(dtype)
  if (typeof value !== "string") return bad("has no dtype")
  const what = `tensor ${quote(name)} dtype`
  const supported = "F32, F16 or BF16"
  return Result.fail(new UnsupportedModel({ what, value: quote(value), supported }))
}

const counts = ({ bad }: Entry, value: Json | undefined, what: string): Checked<Array<number>> =>
  isArray(value) && value.every(isCount)
    ? Result.succeed([...value])
    : bad(`has no ${what} of whole numbers from 0 to ${Number.MAX_SAFE_INTEGER}`)

/** Checks one tensor by itself: `start` is where the data begin. */
const place = (entry: Entry, value: Json, start: number, size: number): Checked<TensorInfo> =>
  Result.gen(function* () {
    const { name, bad } = entry
    if (!isObject(value)) return yield* bad("is not an object")
    const dtype = yield* dtypeOf(entry, value.get("dtype"))
    const shape = yield* counts(entry, value.get("shape"), "shape")
    if (shape.length > limits.dimensions) {
      return yield* bad(`has ${shape.length} axes: over limits.dimensions, ${limits.dimensions}`)
    }
    const offsets = yield* counts(entry, value.get("data_offsets"), "data_offsets")
    const [begin, end] = offsets
    if (begin === undefined || end === undefined || offsets.length !== 2 || begin > end) {
      return yield* bad(`has data_offsets [${offsets.join(", ")}]: a begin and an end are needed`)
    }
    const elements = shape.reduce((product, axis) => product * BigInt(axis), 1n)
    if (elements === 0n) return yield* bad("has an axis of size 0")
    const bytes = elements * BigInt(formats[dtype].bytes)
    if (bytes !== BigInt(end - begin)) {
      const need = `[${shape.join(", ")}] of ${dtype} takes ${bytes}`
      return yield* bad(`has ${end - begin} bytes: ${need}`)
    }
    if (end > size - start) {
      return yield* bad(`ends at byte ${BigInt(start) + BigInt(end)}: the file has ${size}`)
    }
    return { name, dtype, shape, offset: start + begin, bytes: end - begin }
  })

/** Checks every tensor, and that their data fill the file from `start` on, without holes and overlaps. */
export const resolve = (
  header: Document,
  start: number,
  size: number,
): Checked<ReadonlyMap<string, TensorInfo>> =>
  Result.gen(function* () {
    const { file, keys } = header
    const bad = (offset: number, reason: string) =>
      Result.fail(new BadModelFile({ file, offset, reason }))
    if (keys.size > limits.tensors) {
      return yield* bad(0, `${keys.size} tensors: over limits.tensors, ${limits.tensors}`)
    }
    const out = new Map<string, TensorInfo>()
    for (const [name, value] of keys) {
      if (name === "__metadata__") continue // text about the file; nothing of it is used
      const entry: Entry = {
        name,
        bad: (reason) => bad(header.offset(name), `tensor ${quote(name)} ${reason}`),
      }
      out.set(name, yield* place(entry, value, start, size))
    }
    let end = start
    let last = "the header"
    for (const info of [...out.values()].sort((a, b) => a.offset - b.offset)) {
      const what = `tensor ${quote(info.name)}`
      if (info.offset < end) return yield* bad(info.offset, `${what} overlaps ${last}`)
      if (info.offset > end) return yield* bad(end, `a hole lies between ${last} and ${what}`)
      end += info.bytes
      last = what
    }
    if (end < size) {
      return yield* bad(end, `${size - end} bytes follow ${last}, and are of no tensor`)
    }
    return out
  })
