/** The metadata of a GGUF file, whatever the types of its tensors. @module */
import { Effect, Result } from "effect"
import type { BadModelFile } from "../../lib/errors.ts"
import * as Bytes from "../../lib/model/gguf/bytes.ts"
import { entries, type Metadata } from "../../lib/model/gguf/metadata.ts"
import * as Source from "../../lib/model/gguf/Source.ts"

const parse = (self: Bytes.Cursor): Result.Result<Metadata, BadModelFile | Bytes.More> =>
  Result.gen(function* () {
    yield* Bytes.take(self, 16, "the magic, the version and the number of tensors")
    const pairs = yield* Bytes.u64(self, "the number of metadata entries")
    return { file: self.file, metadata: yield* entries(self, Number(pairs)) }
  })

/** Reads it: a growing part of the file's beginning. */
export const metadataOf = (path: string): Effect.Effect<Metadata, BadModelFile> =>
  Effect.scoped(Effect.flatMap(Source.file(path), (source) => {
    const from = (length: number): Effect.Effect<Metadata, BadModelFile> =>
      Effect.flatMap(source.read(0, length), (head) => {
        const parsed = parse(Bytes.cursor(path, head, source.size))
        if (Result.isSuccess(parsed)) return Effect.succeed(parsed.success)
        const why = parsed.failure
        return why._tag === "More"
          ? from(Math.min(source.size, Math.max(why.bytes, 4 * length)))
          : Effect.fail(why)
      })
    return from(Math.min(source.size, 2 ** 21))
  }))
