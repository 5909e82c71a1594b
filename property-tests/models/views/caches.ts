/** One `KvCache` a sequence, in blocks of a few tokens. @module */
import { Result } from "effect"
import { Attention, KvCache, Program } from "../../../mod.ts"
import * as Shelf from "../shelf.ts"
import * as World from "../../../testing/world/world.ts"
import { batch } from "../../arbitraries/views.ts"
import { attends, layoutOf, optionsOf, type Player, queriesOf, whole } from "./player.ts"

type Caches = ReadonlyArray<KvCache>

/** Sequences of the batch are asked once each: what has no token yet has no last one to stand at. */
const held = (caches: Caches, rows: ReadonlyArray<number>) =>
  rows.map((row) => Math.min(1, caches[row]!.length))

/** Sequences as caches. */
export const caches: Player<Caches> = {
  name: "KvCache",
  layout: (sizes) => layoutOf(sizes, { layers: sizes.layers }),
  empty: ({ shelf }) => Array.from({ length: batch }, () => KvCache.empty(shelf.world.arena)),
  append: ({ shelf }, caches, ids) =>
    caches.map((cache, i) =>
      Result.getOrThrow(KvCache.append(cache, World.uploaded(shelf.world, ids[i]!)))
    ),
  truncate: (_, caches, sequence, { length }) =>
    caches.with(sequence, Result.getOrThrow(KvCache.truncate(caches[sequence]!, length))),
  free: ({ shelf }, caches, sequence) => caches.with(sequence, KvCache.empty(shelf.world.arena)),
  insert: ({ shelf }, caches, sequence, ids) => caches.with(sequence, Shelf.cacheOf(shelf, ids)),
  fork: (_, caches, sequence, from, of) => caches.with(sequence, from[of]!),
  realize: ({ shelf }, caches) => Shelf.run(shelf, Program.run(KvCache.realize(caches))),
  gather: (stage, caches) => caches.map((cache) => whole(stage, KvCache.gather(cache))),
  attention: [
    attends("Attention.prefill", (stage, caches, { rows, counts, ids, layer }) => {
      const q = queriesOf(stage, ids, "tokens numQHeads headDim")
      const asked = rows.map((row) => caches[row]!)
      return Attention.prefill(q, asked, counts, { ...optionsOf(stage), layer })
    }),
    attends(
      "Attention.decode",
      (stage, caches, { rows, counts, ids, layer }) => {
        const q = queriesOf(stage, ids, "batch numQHeads headDim")
        const asked = rows.filter((_, i) => counts[i] === 1).map((row) => caches[row]!)
        return Attention.decode(q, asked, { ...optionsOf(stage), layer })
      },
      (_, caches, rows) => held(caches, rows),
    ),
  ],
}
