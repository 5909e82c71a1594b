/**
 * Snapshots in a folder: `<name>.kvcache` is a header, and `blocks/<SHA-256>` the rows that headers name. So
 * snapshots share what they have in common, and a later one of a longer cache only writes what is new.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { Buffer } from "node:buffer"
import { join } from "node:path"
import type { KvCache } from "../cache/KvCache.ts"
import type { Lease } from "../cache/Lease.ts"
import { blockError, type Snapshot } from "../cache/snapshot/container.ts"
import * as Header from "../cache/snapshot/header.ts"
import type { Gpu } from "../device/service.ts"
import { BadSnapshot, InvalidArgument, SnapshotNotSaved } from "../errors.ts"
import * as Files from "./files.ts"
import { type About, each, type TakeError } from "./take.ts"

/** What a save did. */
export interface Saved {
  /** Blocks of the snapshot, and their bytes with those of its header. */
  readonly blocks: number
  readonly bytes: number
  /** Those that were not in the folder before. */
  readonly newBlocks: number
  readonly newBytes: number
}

/** What saving may fail with. */
export type SaveError = TakeError | SnapshotNotSaved

const ending = ".kvcache"
/** Names that are being written; a crash may leave some behind. */
const partial = ".partial"

/** Headers of more bytes than this are not read. */
const mostHeader = 2 ** 28

const fileOf = (folder: string, name: string): Result.Result<string, InvalidArgument> =>
  /^[\w-][\w.-]{0,199}$/.test(name) ? Result.succeed(join(folder, name + ending)) : Result.fail(
    new InvalidArgument({
      name: "the name of a snapshot",
      value: JSON.stringify(name),
      need: "at most 200 letters, digits, dots, dashes and underscores, and begin with no dot",
    }),
  )

const unsaved = <A>(effect: Effect.Effect<A, Files.Refusal>): Effect.Effect<A, SnapshotNotSaved> =>
  Effect.mapError(effect, ({ path, reason }) => new SnapshotNotSaved({ file: path, reason }))

const unread = <A>(effect: Effect.Effect<A, Files.Refusal>): Effect.Effect<A, BadSnapshot> =>
  Effect.mapError(effect, ({ path, reason }) => new BadSnapshot({ file: path, offset: 0, reason }))

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/**
 * A file that has these bytes or is as it was, whatever happens meanwhile; its name is not on the disk yet. Where it
 * fails or is interrupted, no partial file stays.
 */
const writeWhole = (
  files: Files.Files,
  file: string,
  bytes: Uint8Array,
): Effect.Effect<void, Files.Refusal> =>
  files.write(file + partial, bytes).pipe(
    Effect.andThen(files.sync(file + partial)),
    Effect.andThen(files.rename(file + partial, file)),
    Effect.onError(() => Effect.ignore(files.remove(file + partial))),
  )

/** What was being written when a process or a machine stopped. */
const leftIn = (
  files: Files.Files,
  folder: string,
  blocks: string,
): Effect.Effect<ReadonlyArray<string>, Files.Refusal> =>
  Effect.zipWith(
    files.list(folder),
    files.list(blocks),
    (headers, hashes) => [
      ...headers.filter((name) => name.endsWith(ending + partial)).map((name) =>
        join(folder, name)
      ),
      ...hashes.filter((name) => name.endsWith(partial)).map((name) => join(blocks, name)),
    ],
  )

/**
 * Saves a cache under a name, in place of the snapshot that had it: at once or not at all, whenever the machine
 * stops. Blocks are written first, each under a name that is not read, then synced and renamed; then their names are
 * synced, and the header goes the same way. Blocks that are there already are compared, and written again where
 * they are damaged. One block is in memory at a time. One writer to a folder at a time: what another left half
 * written is taken away first.
 */
export const save = (
  folder: string,
  name: string,
  cache: KvCache,
  about: About = {},
): Effect.Effect<Saved, SaveError, Gpu | Lease> =>
  Effect.gen(function* () {
    const files = yield* Files.Service
    const file = yield* Effect.fromResult(fileOf(folder, name))
    const blocks = join(folder, "blocks")
    yield* unsaved(files.folder(blocks))
    for (const path of yield* unsaved(leftIn(files, folder, blocks))) {
      yield* unsaved(files.remove(path))
    }
    let [count, bytes, newBlocks, newBytes] = [0, 0, 0, 0]
    const put = (block: Uint8Array, hash: string) =>
      Effect.gen(function* () {
        count++
        bytes += block.length
        const found = yield* files.read(join(blocks, hash), block.length + 1)
        if (found !== undefined && equal(found, block)) return
        yield* writeWhole(files, join(blocks, hash), block)
        newBlocks++
        newBytes += block.length
      }).pipe(unsaved)
    const head = Header.encode(yield* each(cache, about, put))
    yield* unsaved(files.sync(blocks)) // all that the header names is there before the header is
    yield* unsaved(writeWhole(files, file, head))
    yield* unsaved(files.sync(folder))
    bytes += head.length
    return { blocks: count, bytes, newBlocks, newBytes: newBytes + head.length }
  })

const read = (
  files: Files.Files,
  file: string,
  most: number,
): Effect.Effect<Uint8Array, BadSnapshot> =>
  Effect.flatMap(unread(files.read(file, most)), (found) => {
    const reason = "there is no such file"
    return found === undefined
      ? Effect.fail(new BadSnapshot({ file, offset: 0, reason }))
      : Effect.succeed(found)
  })

/** Opens a snapshot that was saved: reads and checks its header. Its blocks are read and checked as they are needed. */
export const open = (
  folder: string,
  name: string,
): Effect.Effect<Snapshot, BadSnapshot | InvalidArgument> =>
  Effect.gen(function* () {
    const files = yield* Files.Service
    const file = yield* Effect.fromResult(fileOf(folder, name))
    const data = yield* read(files, file, mostHeader)
    const { header, end } = yield* Effect.fromResult(Header.decode(data, file))
    if (end < data.length) {
      const reason = `its header ends here, and ${data.length - end} bytes follow`
      return yield* new BadSnapshot({ file, offset: end, reason })
    }
    const blocks = Header.cut(header)
    const block: Snapshot["block"] = (group, i) =>
      Effect.gen(function* () {
        const hash = header.blocks[group]![i]!
        const { bytes } = blocks[group]![i]!
        const from = join(folder, "blocks", hash)
        const found = yield* read(files, from, bytes + 1)
        const bad = blockError(from, 0, found, bytes, hash)
        return bad === undefined ? found : yield* bad
      })
    return { file, header, block }
  })

/** Names of the snapshots in a folder, in order. */
export const names = (folder: string): Effect.Effect<ReadonlyArray<string>, BadSnapshot> =>
  Effect.gen(function* () {
    const files = yield* Files.Service
    const all = yield* unread(files.list(folder))
    return all.filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length))
      .sort()
  })

/**
 * Takes away what no snapshot of the folder names, and what crashes left behind. A snapshot that cannot be opened
 * fails it, and nothing is taken away: its blocks may be wanted yet.
 */
export const prune = (
  folder: string,
): Effect.Effect<number, BadSnapshot | InvalidArgument | SnapshotNotSaved> =>
  Effect.gen(function* () {
    const files = yield* Files.Service
    const opened = yield* Effect.forEach(yield* names(folder), (name) => open(folder, name))
    const wanted = new Set(opened.flatMap(({ header }) => header.blocks.flat()))
    const blocks = join(folder, "blocks")
    const left = yield* unread(leftIn(files, folder, blocks))
    const unwanted = (yield* unread(files.list(blocks)))
      .filter((hash) => !wanted.has(hash)).map((hash) => join(blocks, hash))
    const gone = new Set([...left, ...unwanted])
    // Where the last save could not do this, an older header may come back, and it wants its blocks.
    yield* unsaved(files.sync(folder))
    for (const path of gone) yield* unsaved(files.remove(path))
    return gone.size
  })
