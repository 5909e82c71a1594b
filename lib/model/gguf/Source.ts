/**
 * Where the bytes of a model come from: memory or a file, read by ranges.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { type FileHandle, open, stat } from "node:fs/promises"
import { BadModelFile } from "../../errors.ts"

/** Bytes that can be read by ranges. */
export interface Source {
  /** What errors call it: a path, mostly. */
  readonly name: string
  /** Bytes in all. */
  readonly size: number
  /**
   * `length` bytes from `offset` on, in memory of their own: `byteOffset` is 0 and `buffer` holds
   * nothing else. Fails with `BadModelFile` when the range leaves the source.
   */
  readonly read: (
    offset: number,
    length: number,
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, BadModelFile>
  /** The same into memory that is there: fills `into` with the bytes from `offset` on. */
  readonly fill: (
    into: Uint8Array<ArrayBuffer>,
    offset: number,
  ) => Effect.Effect<void, BadModelFile>
}

// Node's read refuses 2 GiB and more at once.
const bytesPerRead = 2 ** 30

type Fill = Source["fill"]

/** A source over something that fills any range inside `size`. */
const inside = (name: string, size: number, fill: Fill): Source => {
  const check = (offset: number, length: number): Effect.Effect<void, BadModelFile> =>
    Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0 &&
      length <= size - offset
      ? Effect.void
      : Effect.fail(
        new BadModelFile({
          file: name,
          offset,
          reason: `${length} bytes are wanted: it is ${size} bytes long`,
        }),
      )
  return {
    name,
    size,
    read: (offset, length) =>
      Effect.flatMap(check(offset, length), () => {
        const data = new Uint8Array(length)
        return Effect.as(fill(data, offset), data)
      }),
    fill: (into, offset) => Effect.andThen(check(offset, into.length), fill(into, offset)),
  }
}

/** Bytes in memory. Reads copy, so neither side can change the other's. */
export const bytes = (name: string, data: Uint8Array): Source =>
  inside(
    name,
    data.length,
    (into, offset) => Effect.sync(() => into.set(data.subarray(offset, offset + into.length))),
  )

const reasons: { readonly [code: string]: string } = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EISDIR: "it is a directory",
  EACCES: "reading it is not permitted",
  EPERM: "reading it is not permitted",
}

const refused = (file: string, offset: number) => (cause: unknown): BadModelFile => {
  const { code = "", message = String(cause) } = cause as { code?: string; message?: string } // whatever node:fs rejects with
  return new BadModelFile({ file, offset, reason: reasons[code] ?? message })
}

const fill = async (handle: FileHandle, into: Uint8Array<ArrayBuffer>, offset: number) => {
  const { length } = into
  let at = 0
  while (at < length) {
    const most = Math.min(length - at, bytesPerRead)
    const { bytesRead } = await handle.read(into, at, most, offset + at)
    if (bytesRead === 0) {
      throw new Error(`it ended ${length - at} bytes early: it shrank while open`)
    }
    at += bytesRead
  }
}

/**
 * A file, open until the scope closes.
 *
 * Fails with `BadModelFile` when it is missing, a directory, a pipe or a device.
 */
export const file = (path: string): Effect.Effect<Source, BadModelFile, Scope.Scope> =>
  Effect.gen(function* () {
    const attempt = <A>(run: () => Promise<A>, offset = 0) =>
      Effect.tryPromise({ try: run, catch: refused(path, offset) })
    // Looked at before it is opened: opening a pipe would wait for its writer.
    const info = yield* attempt(() => stat(path))
    if (!info.isFile()) {
      const reason = info.isDirectory() ? "it is a directory" : "it is not a regular file"
      return yield* new BadModelFile({ file: path, offset: 0, reason })
    }
    const handle = yield* Effect.acquireRelease(
      attempt(() => open(path)),
      (handle) => Effect.promise(() => handle.close()),
    )
    const { size } = yield* attempt(() => handle.stat())
    return inside(
      path,
      size,
      (into, offset) => attempt(() => fill(handle, into, offset), offset),
    )
  })
