/** Rows from a device to bytes, one block at a time. @module */
import { Effect, Result } from "effect"
import type { KvCache } from "../cache/KvCache.ts"
import type { Lease } from "../cache/Lease.ts"
import { inMemory, type Snapshot } from "../cache/snapshot/container.ts"
import { sha256 } from "../cache/snapshot/hash.ts"
import { type Block, cut, type Header, most } from "../cache/snapshot/header.ts"
import { gather } from "../cache/snapshot/place.ts"
import * as Rows from "../cache/snapshot/rows.ts"
import * as Shape from "../cache/snapshot/shape.ts"
import type { RealizeError } from "../cache/Realize.ts"
import * as Program from "../device/Program.ts"
import type { Gpu } from "../device/service.ts"
import { read } from "../device/transfer.ts"
import { InvalidArgument } from "../errors.ts"

/** What a snapshot says of its cache. */
export interface About {
  /** Ids of the cache's tokens, all of them. Default: none are said. */
  readonly tokens?: ReadonlyArray<number>
  /** Which model made the rows: `Llama.fingerprint`, or a name of your own. Default: none is said. */
  readonly model?: string
  /** Whatever is wanted back with it. */
  readonly note?: string
  /**
   * Tokens of a block. Default 64. Small blocks share more between snapshots, large ones are fewer files; snapshots
   * share none where it differs.
   */
  readonly blockTokens?: number
}

/** What taking a snapshot may fail with. */
export type TakeError = RealizeError | Program.RunError

const largest = 65_536

/** The header of a cache, but for the names of its blocks. */
const headOf = (
  { length, starts, arena }: KvCache,
  about: About,
): Result.Result<Omit<Header, "blocks">, InvalidArgument> => {
  const { tokens = [], model = "", note = "", blockTokens = 64 } = about
  const bad = (name: string, value: number | string, need: string) =>
    Result.fail(new InvalidArgument({ name, value, need }))
  if (!Number.isSafeInteger(blockTokens) || blockTokens < 1 || blockTokens > largest) {
    return bad("blockTokens", blockTokens, `a whole number from 1 to ${largest}`)
  }
  if (length > most) return bad("the length of a snapshot", length, `at most ${most}`)
  if (tokens.length !== length && about.tokens !== undefined) {
    return bad("the number of token ids", tokens.length, `${length}, the tokens of the cache`)
  }
  const odd = tokens.findIndex((id) => !Number.isSafeInteger(id) || id < 0) // by place: it may be a hole
  if (odd >= 0) return bad("a token id", tokens[odd] ?? "nothing", "a whole number, at least 0")
  const shape = Shape.of(arena.layout)
  return Result.succeed({ shape, model, note, length, starts, tokens, blockTokens })
}

/** One block's bytes; nothing of it stays on the device. */
const bytesOf = (
  cache: KvCache,
  block: Block,
): Effect.Effect<Uint8Array, TakeError, Gpu | Lease> =>
  Effect.scoped(Effect.gen(function* () {
    const { keys, values } = yield* Program.run(gather(cache, block))
    const dense = {
      keys: yield* read(keys),
      values: values === undefined ? undefined : yield* read(values),
    }
    return Rows.encode(cache.arena.layout, block.group, block.to - block.from, dense)
  }))

/** Hands over every block with its name, in order, and answers the header. One block is in memory at a time. */
export const each = <E>(
  cache: KvCache,
  about: About,
  put: (bytes: Uint8Array, hash: string) => Effect.Effect<void, E>,
): Effect.Effect<Header, E | TakeError, Gpu | Lease> =>
  Effect.gen(function* () {
    const head = yield* Effect.fromResult(headOf(cache, about))
    const blocks = yield* Effect.forEach(cut(head), (row) =>
      Effect.forEach(row, (block) =>
        Effect.gen(function* () {
          const bytes = yield* bytesOf(cache, block)
          const hash = sha256(bytes)
          yield* put(bytes, hash)
          return hash
        })))
    return { ...head, blocks }
  })

/**
 * A snapshot in memory: what every layer group still sees, bit for bit. Realises the cache first. `Snapshot.encode`
 * makes bytes of it. One submit a block and group. O(tokens × layers).
 */
export const take = (
  cache: KvCache,
  about: About = {},
): Effect.Effect<Snapshot, TakeError, Gpu | Lease> =>
  Effect.gen(function* () {
    const blocks: Array<Uint8Array> = []
    const put = (bytes: Uint8Array) => Effect.sync(() => void blocks.push(bytes))
    const header = yield* each(cache, about, put)
    let at = 0
    const rows = header.blocks.map(({ length }) => blocks.slice(at, at += length))
    return inMemory("in memory", header, rows)
  })
