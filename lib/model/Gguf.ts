/**
 * GGUF version 3: metadata and tensors in one little-endian file.
 *
 * ```text
 * magic "GGUF"  u32 version  u64 tensors  u64 entries
 * entries  × { string key, u32 type, value }
 * tensors  × { string name, u32 axes, u64 sizes[axes] innermost first, u32 type, u64 offset }
 * padding to general.alignment, then the data that offsets count from
 * ```
 *
 * Nothing a file says is believed: each count, length and offset is checked against the size of the
 * file and against `limits` before memory is taken for it.
 *
 * Source: ggml's docs/gguf.md.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../errors.ts"
import { bad, count, type Cursor, cursor, type More, type Stop, take, u32 } from "./gguf/bytes.ts"
import { integer } from "./gguf/get.ts"
import { entries, leastEntry, type Metadata } from "./gguf/metadata.ts"
import type { Source } from "./gguf/Source.ts"
import { leastRow, resolve, rows, type TensorInfo } from "./gguf/tensors.ts"

export { boolean, integer, number, numbers, type Range, string, strings } from "./gguf/get.ts"
export { limits } from "./gguf/limits.ts"
export { type More, quote } from "./gguf/bytes.ts"
export type { Data, Metadata, Numbers, Value, ValueType } from "./gguf/metadata.ts"
export type { TensorInfo } from "./gguf/tensors.ts"

/** What a file says before its tensor data. */
export interface Gguf extends Metadata {
  /** The format's version. */
  readonly version: 3
  /** What tensor data are aligned to, in bytes. */
  readonly alignment: number
  /** The tensors by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

/** Why a file cannot be opened: it is damaged, or asks for what is not built. */
export type OpenError = BadModelFile | UnsupportedModel

const magic = [0x47, 0x47, 0x55, 0x46] // GGUF
/** Enough for most vocabularies; what goes on past it is read from its beginning again. */
const firstRead = 2 * 2 ** 20

const hex = (bytes: Iterable<number>) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")

const checkVersion = (self: Cursor): Result.Result<void, Stop> =>
  Result.gen(function* () {
    yield* take(self, 4, "the magic")
    const found = self.bytes.subarray(0, 4)
    if (!magic.every((byte, i) => byte === found[i])) {
      return yield* bad(self, `it begins with ${hex(found)}: ${hex(magic)}, "GGUF", is needed`, 0)
    }
    const version = yield* u32(self, "the version")
    if (version === 3) return
    if (version === 0x03000000) {
      return yield* bad(self, "it is big-endian: only little-endian files are read", 4)
    }
    const what = "GGUF version"
    return yield* Result.fail(new UnsupportedModel({ what, value: `${version}`, supported: "3" }))
  })

const aligned = (self: Cursor, from: Metadata): Result.Result<number, BadModelFile> => {
  const key = "general.alignment"
  return Result.flatMap(
    integer(from, key, { min: 1, max: 2 ** 31, otherwise: 32 }),
    (data) =>
      Number.isInteger(Math.log2(data)) ? Result.succeed(data) : bad(
        self,
        `"${key}" is ${data}: a power of two is needed`,
        from.metadata.get(key)?.offset,
      ),
  )
}

/**
 * Reads what a file of `size` bytes says, from its first bytes.
 *
 * Fails with `More` when the header goes on past them, so never when they are the whole file.
 */
export const parse = (
  file: string,
  header: Uint8Array,
  size: number = header.length,
): Result.Result<Gguf, OpenError | More> =>
  Result.gen(function* () {
    const self = cursor(file, header, size)
    yield* checkVersion(self)
    const tensors = yield* count(self, "tensors", leastRow, "tensors")
    const pairs = yield* count(self, "metadataEntries", leastEntry, "metadata entries")
    const metadata = yield* entries(self, pairs)
    const table = yield* rows(self, tensors)
    const alignment = yield* aligned(self, { file, metadata })
    const start = Math.ceil(self.at / alignment) * alignment
    return {
      file,
      version: 3 as const,
      alignment,
      metadata,
      tensors: yield* resolve(self, table, start, alignment),
    }
  })

/** Reads what a file says: a growing part of its beginning, at most twice the header or 2 MiB. */
export const open = (source: Source): Effect.Effect<Gguf, OpenError> => {
  const from = (length: number): Effect.Effect<Gguf, OpenError> =>
    Effect.flatMap(source.read(0, length), (header) => {
      const parsed = parse(source.name, header, source.size)
      if (Result.isSuccess(parsed)) return Effect.succeed(parsed.success)
      const why = parsed.failure
      return why._tag === "More"
        ? from(Math.min(source.size, Math.max(why.bytes, 2 * length)))
        : Effect.fail(why)
    })
  return from(Math.min(source.size, firstRead))
}

/** The data of a tensor, in memory of their own, `info.bytes` long. */
export const tensorBytes = (
  source: Source,
  info: TensorInfo,
): Effect.Effect<Uint8Array<ArrayBuffer>, BadModelFile> => source.read(info.offset, info.bytes)
