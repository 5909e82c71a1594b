/** A snapshot in one piece: its header, then its blocks. @module */
import { Effect, Result } from "effect"
import { BadSnapshot } from "../../errors.ts"
import { sha256 } from "./hash.ts"
import * as Header from "./header.ts"

/** A snapshot, wherever it lies. Its header was checked; each block is when it is read. */
export interface Snapshot {
  /** Where it lies, for errors. */
  readonly file: string
  readonly header: Header.Header
  /** Reads the i-th block of a layer group: its bytes are those that were saved. */
  readonly block: (group: number, i: number) => Effect.Effect<Uint8Array, BadSnapshot>
}

/** Bytes that are not those of their name. */
export const blockError = (
  file: string,
  offset: number,
  bytes: Uint8Array,
  expected: number,
  hash: string,
): BadSnapshot | undefined => {
  const bad = (reason: string) => new BadSnapshot({ file, offset, reason })
  if (bytes.length !== expected) {
    return bad(`a block of ${expected} bytes is needed, and ${bytes.length} are there`)
  }
  if (sha256(bytes) !== hash) return bad("a block is damaged: the checksum differs")
}

/** A header over blocks in memory. */
export const inMemory = (
  file: string,
  header: Header.Header,
  blocks: ReadonlyArray<ReadonlyArray<Uint8Array>>,
): Snapshot => ({ file, header, block: (group, i) => Effect.succeed(blocks[group]![i]!) })

/** All of it as bytes: the header, then the blocks by layer group and position. */
export const encode = (snapshot: Snapshot): Effect.Effect<Uint8Array, BadSnapshot> =>
  Effect.gen(function* () {
    const head = Header.encode(snapshot.header)
    const blocks = Header.cut(snapshot.header)
    const total = blocks.flat().reduce((sum, { bytes }) => sum + bytes, head.length)
    const out = new Uint8Array(total)
    out.set(head)
    let at = head.length
    for (const [group, row] of blocks.entries()) {
      for (const [i, { bytes }] of row.entries()) {
        out.set(yield* snapshot.block(group, i), at)
        at += bytes
      }
    }
    return out
  })

/** Reads what `encode` wrote, whoever had it meanwhile: every byte of it is under a checksum. */
export const decode = (
  data: Uint8Array,
  file = "in memory",
): Result.Result<Snapshot, BadSnapshot> =>
  Result.gen(function* () {
    const { header, end } = yield* Header.decode(data, file)
    let at = end
    const blocks: Array<Array<Uint8Array>> = []
    for (const [group, row] of Header.cut(header).entries()) {
      blocks.push([])
      for (const [i, { bytes }] of row.entries()) {
        const block = data.slice(at, at + bytes)
        const bad = blockError(file, at, block, bytes, header.blocks[group]![i]!)
        if (bad !== undefined) return yield* Result.fail(bad)
        blocks[group]!.push(block)
        at += bytes
      }
    }
    if (at < data.length) {
      const reason = `it ends here, and ${data.length - at} bytes follow`
      return yield* Result.fail(new BadSnapshot({ file, offset: at, reason }))
    }
    return inMemory(file, header, blocks)
  })
