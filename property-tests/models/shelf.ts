/**
 * Arenas beside each other with the same rows in them: what reading them gives must not depend on how they
 * lie in memory.
 *
 * @module
 */
import { Effect, Result, Scope } from "effect"
import { Attention, Gpu, KvCache, type Layout, Lease, Program, Recording } from "../../mod.ts"
import { inOneTick } from "../../testing/world/device.ts"
import { givenRow, type Poison, poisonUnseen } from "../../testing/world/storage.ts"
import * as World from "../../testing/world/world.ts"

/** An arena that never runs out of blocks, and one lease. */
export interface Shelf {
  readonly world: World.World
  readonly guard: World.Guard
  /** What stands in memory that nobody sees. */
  readonly poison: Poison
}

/** A new one. */
export const make = (layout: Layout.Options, poison: Poison = "nan"): Shelf => {
  const world = World.make({ layout, numBlocks: (layout.groups ?? [0]).map(() => 200), poison })
  world.device.gated = false
  return { world, guard: World.open(world), poison }
}

/** Ends it; nothing may be left. */
export const end = ({ world }: Shelf): void => World.end(world)

/** Runs an effect under the shelf's lease, in this tick, after everything unseen was poisoned again. */
export const run = <A, E>(
  { world, guard, poison }: Shelf,
  effect: Effect.Effect<A, E, Gpu | Lease | Scope.Scope>,
): A => {
  poisonUnseen(world.arena, world.places, world.memory!, poison)
  return Effect.runSync(
    Effect.scoped(Lease.under(guard.owner)(effect)).pipe(
      Effect.provideContext(world.context),
      inOneTick,
    ),
  )
}

/** What a run records. */
export type Body<A, E> = Effect.Effect<A, E, Gpu | Recording | Recording.Transaction | Lease>

/** Runs what makes a value, whose tensors then live as long as the shelf. */
export const lasting = <A, E>(shelf: Shelf, body: Body<A, E>): A =>
  run(shelf, Scope.provide(Program.run(body), shelf.world.scope))

/** A cache of these rows, appended in chunks that end at these lengths. */
export const cacheOf = (
  shelf: Shelf,
  ids: ReadonlyArray<number>,
  cuts: ReadonlyArray<number> = [],
): KvCache => {
  const ends = [...new Set([...cuts.filter((n) => n < ids.length), ids.length])].sort((a, b) =>
    a - b
  )
  let cache = KvCache.empty(shelf.world.arena)
  for (const end of ends) {
    const rows = World.uploaded(shelf.world, ids.slice(cache.length, end))
    cache = Result.getOrThrow(KvCache.append(cache, rows))
  }
  return cache
}

/** Lets the first group have a block back that the others keep: from now on each gives other blocks. */
export const diverge = (shelf: Shelf): void => {
  const { blockSize } = shelf.world.arena.layout
  const cache = cacheOf(shelf, World.rows(shelf.world, blockSize))
  run(shelf, Program.run(KvCache.realize([cache])))
  run(shelf, Lease.keep([Result.getOrThrow(KvCache.dropBefore(cache, blockSize, 0))]))
}

/** Queries `[tokens, numQHeads, keyDim]` of the tokens with these row numbers. */
export interface Queries {
  readonly numQHeads: number
  readonly of: (ids: ReadonlyArray<number>) => ReadonlyArray<number>
}

/** Two arrays of attention: outputs and log-sum-exps. */
export interface States {
  readonly out: Float32Array
  readonly lse: Float32Array
}

/** `Attention.prefill` with the queries of these row numbers, brought to the host. */
export const prefill = (
  shelf: Shelf,
  queries: Queries,
  asking: ReadonlyArray<number>,
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
  options: Attention.ReadOptions,
): States =>
  run(
    shelf,
    Effect.gen(function* () {
      const { keyDim } = shelf.world.arena.layout
      const shape = [asking.length, queries.numQHeads, keyDim]
      const q = Float32Array.from(queries.of(asking))
      const states = yield* Program.run(
        Effect.suspend(() => {
          const given = Recording.fresh("f32", "tokens numQHeads headDim", shape, q)
          return Attention.prefill(given, caches, counts, options)
        }),
      )
      return { out: yield* Gpu.read(states.out), lse: yield* Gpu.read(states.lse) }
    }),
  )

/** `KvCache.gather`, brought to the host. */
export const gather = (shelf: Shelf, cache: KvCache): ReadonlyArray<Float32Array> =>
  run(
    shelf,
    Effect.gen(function* () {
      const { keys, values } = yield* Program.run(KvCache.gather(cache))
      return [yield* Gpu.read(keys), yield* Gpu.read(values)]
    }),
  )

/** One step that adds these rows to these caches and attends in every layer, brought to the host. */
export const step = (
  shelf: Shelf,
  caches: ReadonlyArray<KvCache>,
  made: ReadonlyArray<ReadonlyArray<number>>,
  queries: Queries,
  options: Attention.Options,
): { readonly caches: ReadonlyArray<KvCache>; readonly layers: ReadonlyArray<States> } =>
  run(
    shelf,
    Effect.gen(function* () {
      const { layout } = shelf.world.arena
      const ids = made.flat()
      const tensor = <const A extends string>(
        axes: A,
        heads: number,
        dim: number,
        data: ReadonlyArray<number>,
      ) => Recording.fresh("f32", axes, [ids.length, heads, dim], Float32Array.from(data))
      const body = (given: KvCache.Step) => {
        const layers = Array.from({ length: layout.layers }, (_, layer) => layer)
        return Effect.map(
          Effect.forEach(layers, (layer) => {
            const { numQHeads, of } = queries
            const [k, v] = [
              ids.flatMap((row) => givenRow(layout, row, layer, "keys")),
              ids.flatMap((row) => givenRow(layout, row, layer, "values")),
            ]
            return Attention.attend(given, layer, {
              q: tensor("tokens numQHeads headDim", numQHeads, layout.keyDim, of(ids)),
              k: tensor("tokens keyHeads headDim", layout.keyHeads, layout.keyDim, k),
              v: tensor("tokens valueHeads valueDim", layout.valueHeads, layout.valueDim, v),
            }, options)
          }),
          (value) => ({ value }),
        )
      }
      const stepped = yield* Program.run(KvCache.step(caches, made.map((m) => m.length), body))
      const layers = yield* Effect.forEach(
        stepped.value,
        ({ out, lse }) => Effect.all({ out: Gpu.read(out), lse: Gpu.read(lse) }),
      )
      return { caches: stepped.caches, layers }
    }),
  )
