/** Bytes back to rows on a device. @module */
import { Effect } from "effect"
import type { Arena } from "../cache/Arena.ts"
import { grouped } from "../cache/grouped.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import type { Snapshot } from "../cache/snapshot/container.ts"
import { cut } from "../cache/snapshot/header.ts"
import { place, type Placing } from "../cache/snapshot/place.ts"
import * as Rows from "../cache/snapshot/rows.ts"
import * as Shape from "../cache/snapshot/shape.ts"
import * as Program from "../device/Program.ts"
import type { Gpu } from "../device/service.ts"
import { type BadSnapshot, CapacityExceeded, LayoutMismatch } from "../errors.ts"
import type { TakeError } from "./take.ts"

/** What a snapshot is restored as. */
export interface RestoreOptions {
  /** The model that must have made it. Default: any. */
  readonly model?: string
}

/** A cache, and what its snapshot said of it. */
export interface Restored {
  readonly cache: KvCache.KvCache
  /** Ids of its tokens; none where none were said. */
  readonly tokens: ReadonlyArray<number>
  readonly note: string
}

/** What restoring may fail with; nothing has changed then. */
export type RestoreError = TakeError | BadSnapshot | LayoutMismatch | CapacityExceeded

/** Why a snapshot is not one for this arena. */
const refused = (
  arena: Arena,
  { header }: Snapshot,
  { model }: RestoreOptions,
): LayoutMismatch | CapacityExceeded | undefined => {
  const other = Shape.mismatch(Shape.of(arena.layout), header.shape)
  if (other !== undefined) return other
  if (model !== undefined && model !== header.model) {
    const actual = header.model || "not said"
    return new LayoutMismatch({ field: "model", expected: model, actual })
  }
  const capacity = KvCache.capacity(arena)
  if (header.length > capacity) return new CapacityExceeded({ needed: header.length, capacity })
}

/** Blocks that end at the same position, in order of positions. */
const columns = (snapshot: Snapshot) => {
  const numbered = cut(snapshot.header).flatMap((row) => row.map((block, i) => ({ block, i })))
  return [...grouped(numbered, ({ block }) => block.to)].sort(([a], [b]) => a - b)
}

/**
 * The cache that a snapshot is of, in this arena: it reads bit for bit as the one that was saved, and what grows from
 * it does. Blocks and placement may be others than they were; dtype, heads, dims, layers and windows may not, else
 * `LayoutMismatch`. What a group no longer saw takes no block. The ambient lease holds the cache; where it fails,
 * everything is as before. One submit for each 64 tokens (`blockTokens`), and one block in memory for each group.
 */
export const restore = (
  arena: Arena,
  snapshot: Snapshot,
  options: RestoreOptions = {},
): Effect.Effect<Restored, RestoreError, Gpu | Lease.Lease> =>
  Effect.scoped(Effect.gen(function* () {
    const { layout } = arena
    const { tokens, note, starts, length } = snapshot.header
    const bad = refused(arena, snapshot, options)
    if (bad !== undefined) return yield* bad
    let cache = KvCache.empty(arena)
    yield* Program.run(KvCache.realize([cache])) // is the ambient lease open, and of this arena?
    // Holds what is half restored; the ambient lease takes over in the end, or never.
    const own = Lease.under(yield* Lease.make(arena))
    const extend = (to: number, blocks: ReadonlyArray<Placing>) =>
      own(Effect.scoped(Program.run(place(cache, to, starts, blocks))))
    for (const [to, column] of columns(snapshot)) {
      const blocks = yield* Effect.forEach(
        column,
        ({ block, i }) =>
          Effect.map(snapshot.block(block.group, i), (bytes): Placing => ({
            ...block,
            dense: Rows.decode(layout, block.group, block.to - block.from, bytes),
          })),
      )
      cache = yield* extend(to, blocks)
    }
    // Where no group sees anything, the length is all there is to restore.
    if (cache.length < length) cache = yield* extend(length, [])
    yield* Program.run(KvCache.realize([cache]))
    return { cache, tokens, note }
  }))
