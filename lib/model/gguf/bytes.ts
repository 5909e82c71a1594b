/**
 * A position in the first bytes of a file, and the reads that move it.
 *
 * Every read checks the file's size before anything is allocated.
 *
 * @module
 */
import { Result } from "effect"
import { Buffer } from "node:buffer"
import { BadModelFile, type UnsupportedModel } from "../../errors.ts"
import { limits } from "./limits.ts"

/** The bytes at hand are too few: the file goes on, and at least its first `bytes` are needed. */
export interface More {
  /** Tells it from the errors. */
  readonly _tag: "More"
  /** More bytes than were at hand. */
  readonly bytes: number
}

/** Why reading stopped. */
export type Stop = BadModelFile | UnsupportedModel | More

/** A position in the first bytes of a file. */
export interface Cursor {
  /** Its name, for errors. */
  readonly file: string
  /** Bytes of the whole file. */
  readonly size: number
  /** Its first bytes. */
  readonly bytes: Uint8Array
  /** The same bytes, for numbers. */
  readonly view: DataView
  /** The same bytes, for text: a view for each of a vocabulary's strings would take more memory than they do. */
  readonly text: Buffer
  /** The next byte. */
  at: number
}

/** A cursor at byte 0. */
export const cursor = (file: string, bytes: Uint8Array, size: number): Cursor => ({
  file,
  size,
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
  text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  at: 0,
})

/** A failure at a byte. */
export const bad = (
  self: Cursor,
  reason: string,
  offset: number = self.at,
): Result.Result<never, BadModelFile> =>
  Result.fail(new BadModelFile({ file: self.file, offset, reason }))

/** Text of a file as an error shows it: cut, and with nothing that a terminal would obey. */
export const quote = (text: string): string => {
  const shown = text.length > 64 ? text.slice(0, 64) + "…" : text
  return JSON.stringify(shown).replace(
    /[^\x20-\x7e…]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`,
  )
}

/** Fails unless the file has `count` more bytes; moves nothing. */
export const room = (
  self: Cursor,
  count: number | bigint,
  what: string,
): Result.Result<void, BadModelFile> => {
  const left = self.size - self.at
  return count > left
    ? bad(self, `the file ends in ${what}: ${count} bytes are needed, ${left} are left`)
    : Result.succeed(undefined)
}

/** Moves past `count` bytes; gives the offset of the first. */
export const take = (
  self: Cursor,
  count: number | bigint,
  what: string,
): Result.Result<number, BadModelFile | More> => {
  const fits = room(self, count, what)
  if (Result.isFailure(fits)) return Result.fail(fits.failure)
  const at = self.at
  const end = at + Number(count)
  if (end > limits.headerBytes) {
    return bad(self, `${what} ends past limits.headerBytes, ${limits.headerBytes}`)
  }
  if (end > self.bytes.length) return Result.fail({ _tag: "More", bytes: end })
  self.at = end
  return Result.succeed(at)
}

/** A little-endian u32. */
export const u32 = (self: Cursor, what: string): Result.Result<number, BadModelFile | More> =>
  Result.map(take(self, 4, what), (at) => self.view.getUint32(at, true))

/** A little-endian u64. */
export const u64 = (self: Cursor, what: string): Result.Result<bigint, BadModelFile | More> =>
  Result.map(take(self, 8, what), (at) => self.view.getBigUint64(at, true))

/** A count under a limit, each of whose items takes at least `bytes` bytes of the file. */
export const count = (
  self: Cursor,
  limit: keyof typeof limits,
  bytes: number,
  what: string,
): Result.Result<number, BadModelFile | More> =>
  Result.flatMap(u64(self, `the number of ${what}`), (n) => {
    if (n > limits[limit]) {
      return bad(self, `${n} ${what}: over limits.${limit}, ${limits[limit]}`, self.at - 8)
    }
    return Result.map(room(self, n * BigInt(bytes), `${n} ${what}`), () => Number(n))
  })

// Without `ignoreBOM` a token that is U+FEFF would read as nothing.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * A string that is there and sound, else undefined and nothing has moved: then `string` says why. A vocabulary has
 * hundreds of thousands, and what checks with reasons leave behind for each would be most of what loading takes.
 */
export const soundString = (self: Cursor): string | undefined => {
  const { bytes, view, at } = self
  const start = at + 8
  if (start > bytes.length || view.getUint32(at + 4, true) > 0) return undefined
  const length = view.getUint32(at, true)
  const end = start + length
  if (end > Math.min(bytes.length, limits.headerBytes) || length > limits.stringBytes) {
    return undefined
  }
  const text = self.text.toString("utf8", start, end)
  // What is no UTF-8 reads as U+FFFD: `string` tells it from one that the file has.
  if (text.includes("\ufffd")) return undefined
  self.at = end
  return text
}

/** A string: a u64 length, then UTF-8. */
export const string = (self: Cursor, what: string): Result.Result<string, BadModelFile | More> => {
  const length = u64(self, `the length of ${what}`)
  if (Result.isFailure(length)) return Result.fail(length.failure)
  if (length.success > limits.stringBytes) {
    const most = `over limits.stringBytes, ${limits.stringBytes}`
    return bad(self, `${what} has ${length.success} bytes: ${most}`, self.at - 8)
  }
  const start = take(self, length.success, what)
  if (Result.isFailure(start)) return Result.fail(start.failure)
  try {
    return Result.succeed(utf8.decode(self.bytes.subarray(start.success, self.at)))
  } catch {
    return bad(self, `${what} is not UTF-8`, start.success)
  }
}
