/** Values on a shelf that are converted into each other. @module */
import { Effect, Result, Scope } from "effect"
import { Arena, Gpu, type Gpu as Device, KvCache, Layout, Lease, Program } from "../../mod.ts"
import { near, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "./shelf.ts"
import { kinds } from "../../testing/world/storage.ts"
import * as World from "../../testing/world/world.ts"

/** Both halves. */
export interface Halves {
  readonly keys: Float32Array
  readonly values: Float32Array
}

/** Both halves of what was gathered, read. */
export const read = <E>(shelf: Shelf.Shelf, body: Shelf.Body<KvCacheGathered, E>): Halves =>
  Shelf.run(
    shelf,
    Effect.flatMap(
      Program.run(body),
      ({ keys, values }) => Effect.all({ keys: Gpu.read(keys), values: Gpu.read(values) }),
    ),
  )
type KvCacheGathered = Effect.Success<ReturnType<typeof KvCache.gather>>

/** These rows and no others. */
export const holds = (
  name: string,
  layout: Layout,
  got: Halves,
  ids: ReadonlyArray<number>,
): void => {
  for (const kind of kinds) {
    const want = Array.from(
      { length: layout.layers },
      (_, layer) => rowsOf(layout, ids, layer, kind),
    ).flat()
    near(`${name}: ${kind}`, got[kind], want, 0)
  }
}

/** Free blocks of each layer group. */
export const free = ({ world }: Shelf.Shelf): ReadonlyArray<number> =>
  Arena.usage(world.arena).map(({ free }) => free)

/** A cache with new rows after its own. */
export const appended = (
  shelf: Shelf.Shelf,
  cache: KvCache,
  count: number,
): { readonly next: KvCache; readonly ids: ReadonlyArray<number> } => {
  const ids = World.rows(shelf.world, count)
  const next = Result.getOrThrow(KvCache.append(cache, World.uploaded(shelf.world, ids)))
  return { next, ids }
}

/** Another arena on a shelf's device, and a lease of it. */
export const second = (shelf: Shelf.Shelf, options: Layout.Options): Arena => {
  const { world } = shelf
  const made = Arena.make(Result.getOrThrow(Layout.make(options)), 50)
  const arena = Effect.runSync(
    made.pipe(Effect.provideContext(world.context), Scope.provide(world.scope)),
  )
  return arena
}

/** Runs under a lease of its own. */
export const under = <A, E>(
  { world }: Shelf.Shelf,
  arena: Arena,
  effect: Effect.Effect<A, E, Device | Lease | Scope.Scope>,
): Promise<A> =>
  Effect.runPromise(Lease.scoped(arena)(effect).pipe(Effect.provideContext(world.context)))
