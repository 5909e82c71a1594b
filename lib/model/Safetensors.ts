/**
 * Safetensors: named tensors in one little-endian file.
 *
 * ```text
 * u64 bytes of the header
 * header  JSON { name: { dtype, shape, data_offsets: [begin, end] }, …, "__metadata__": … }
 * data    that offsets count from; every byte is of one tensor
 * ```
 *
 * Nothing a file says is believed: each length and offset is checked against the size of the file and
 * against `limits` before memory is taken for it.
 *
 * Source: the format's description, and its reference reader's checks, in huggingface/safetensors.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { BadModelFile, type UnsupportedModel } from "../errors.ts"
import type { Source } from "./gguf/Source.ts"
import type { TensorInfo } from "./gguf/tensors.ts"
import { parse as parseJson } from "./json/parse.ts"
import { limits } from "./safetensors/limits.ts"
import { resolve } from "./safetensors/tensors.ts"

export { limits } from "./safetensors/limits.ts"

/** What a file says before its tensor data. */
export interface Safetensors {
  /** The file's name, for errors. */
  readonly file: string
  /** The tensors by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

/** Why a file cannot be opened: it is damaged, or stores what is not read. */
export type OpenError = BadModelFile | UnsupportedModel

const lengthBytes = 8
/** "version ", as the length it would be: where a Git LFS pointer stands in for the file. */
const pointer = 0x206e_6f69_7372_6576n

/** The bytes of the header, from the first 8 bytes of a file of `size` bytes. */
const headerBytes = (
  file: string,
  first: Uint8Array,
  size: number,
): Result.Result<number, BadModelFile> => {
  const bad = (reason: string) => Result.fail(new BadModelFile({ file, offset: 0, reason }))
  if (first.length < lengthBytes) {
    const need = `${lengthBytes} bytes are needed, ${first.length} are left`
    return bad(`the file ends in the length of the header: ${need}`)
  }
  const bytes = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true)
  if (bytes === pointer) return bad("it is a pointer of Git LFS: the file itself is needed")
  if (bytes > limits.headerBytes) {
    return bad(`the header has ${bytes} bytes: over limits.headerBytes, ${limits.headerBytes}`)
  }
  const left = size - lengthBytes
  return bytes > left
    ? bad(`the file ends in the header: ${bytes} bytes are needed, ${left} are left`)
    : Result.succeed(Number(bytes))
}

/** Reads what a file of `size` bytes says, from its first bytes: the whole header at least. */
export const parse = (
  file: string,
  head: Uint8Array,
  size: number = head.length,
): Result.Result<Safetensors, OpenError> =>
  Result.gen(function* () {
    const start = lengthBytes + (yield* headerBytes(file, head.subarray(0, lengthBytes), size))
    const header = yield* parseJson(file, head.subarray(lengthBytes, start), lengthBytes)
    return { file, tensors: yield* resolve(header, start, size) }
  })

/** Reads what a file says, and none of its data. */
export const open = (source: Source): Effect.Effect<Safetensors, OpenError> =>
  Effect.gen(function* () {
    const { name, size } = source
    const first = yield* source.read(0, Math.min(size, lengthBytes))
    const bytes = yield* Effect.fromResult(headerBytes(name, first, size))
    const head = yield* source.read(0, lengthBytes + bytes)
    return yield* Effect.fromResult(parse(name, head, size))
  })
