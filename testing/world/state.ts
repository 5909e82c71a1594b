/**
 * An arena with everything a program may have made in it, and a naive model beside it: a value is a list of
 * row numbers, and which values must be readable is known from the program alone, never from the ledger.
 *
 * @module
 */
import { Cause, Context, Effect, Exit, type Fiber, Layer, Result, Scope } from "effect"
import { Arena, Gpu, KvCache, Layout, Lease } from "../../mod.ts"
import * as Laws from "../laws.ts"
import { type Device, device, inOneTick } from "./device.ts"
import type { Value } from "./readings.ts"
import {
  type Image,
  imageOf,
  type Memory,
  memoryOf,
  type Places,
  placesOf,
  type Poison,
  upload,
} from "./storage.ts"

/** What of a node is seen. */
export type View = Pick<KvCache, "node" | "length" | "starts">

/** A lease, and what it must keep readable. */
export interface Guard {
  readonly owner: Context.Service.Shape<typeof Lease.Service>
  readonly scope: Scope.Closeable
  whole: Set<View>
}

/** `Layout.Options`, as JSON writes it: a window that is undefined is left out. */
export interface Sizes
  extends
    Pick<Arena["layout"], "layers" | "keyHeads" | "keyDim" | "blockSize">,
    Partial<
      Pick<Arena["layout"], "valueHeads" | "valueDim" | "capacity" | "dtype" | "placement">
    > {
  /** Layers that share tables, and how much of the past they see: all of it unless said. */
  readonly groups?: ReadonlyArray<
    { readonly layers: ReadonlyArray<number>; readonly window?: number | undefined }
  >
}

/** The options that sizes stand for. */
export const optionsOf = ({ groups, ...rest }: Sizes): Layout.Options =>
  groups === undefined
    ? rest
    : { ...rest, groups: groups.map(({ layers, window }) => ({ layers, window })) }

/** What a world is made with. */
export interface Config {
  /** Sizes of the cache. */
  readonly layout: Sizes
  /** Usable blocks of each layer group. */
  readonly numBlocks: ReadonlyArray<number>
  /** What stands in memory that nobody has written. Default: not a number. */
  readonly poison?: Poison
  /** Which free blocks are given first: those freed last, as the ledger does by itself, or first. */
  readonly recycle?: "lifo" | "fifo"
}

/** The nearest placed view at or below a value. */
export const placed = (cache: KvCache): KvCache => {
  let at = cache
  while (at.node.tables === undefined) at = at.node.base!
  return at
}

/** Blocks by their place in a table. */
export interface Blocks {
  readonly ids: Uint32Array
  readonly generations: Uint32Array
}

const joined = (parts: ReadonlyArray<Uint32Array>): Uint32Array => {
  if (parts.length === 1) return parts[0]!
  return Uint32Array.from(parts.flatMap((part) => [...part]))
}

/** Blocks of placed nodes by group; a placement is decided once. */
const tables = new WeakMap<KvCache["node"], ReadonlyArray<Blocks>>()

/** Blocks of a placed view in one group, by place in the table. */
export const blocksOf = ({ node }: View, group: number): Blocks => {
  const known = tables.get(node) ?? node.tables!.map(({ full, tail }) => ({
    ids: joined([...full, tail].map(({ ids }) => ids)),
    generations: joined([...full, tail].map(({ generations }) => generations)),
  }))
  tables.set(node, known)
  return known[group]!
}

/** Places in the table of the blocks that a view sees. */
export const span = (cache: KvCache, group: number): readonly [from: number, end: number] => {
  const { blockSize } = cache.arena.layout
  return [Math.floor(cache.starts[group]! / blockSize), Math.ceil(cache.length / blockSize)]
}

/** Is a placed view's memory somebody else's by now? */
export const recycled = (cache: KvCache): boolean =>
  cache.arena.ledgers.some((ledger, group) => {
    const { ids, generations } = blocksOf(cache, group)
    const [from, end] = span(cache, group)
    for (let i = from; i < Math.min(end, ids.length); i++) {
      if (ledger.generation[ids[i]!] !== generations[i]) return true
    }
    return false
  })

/** A world. Everything in it happens in the tick of the call, except what waits at a gate. */
export interface World {
  readonly config: Config
  readonly arena: Arena
  readonly device: Device
  readonly context: Context.Context<Gpu>
  readonly scope: Scope.Closeable
  /** Every value made so far, the oldest first. */
  readonly values: Array<Value>
  readonly guards: Array<Guard>
  readonly running: Set<Fiber.Fiber<unknown, unknown>>
  readonly tally: Laws.Tally
  readonly places: Places
  /** The pools' memory, where it is the host's. */
  readonly memory: Memory | undefined
  /** How rows are stored, by group and row. */
  readonly images: ReadonlyArray<Map<number, Image>>
  /** Free blocks of each group, those freed first at the beginning. */
  readonly freed: Array<ReadonlyArray<number>>
  /** How far device numbers may lie from those of the CPU. */
  readonly slack: number
  nextRow: number
  /** Was any submit told to fail? */
  faulty: boolean
  /** The first defect of any fiber. */
  defect: { readonly cause: unknown } | undefined
}

/** How a group stores a row. */
export const imageAt = ({ images, arena }: World, group: number, row: number): Image => {
  const known = images[group]!.get(row) ?? imageOf(arena.layout, group, row)
  images[group]!.set(row, known)
  return known
}

/** Counts an outcome. */
export const count = ({ tally }: World, name: string): void => Laws.count(tally, name)

/** Puts a law to the test. */
export const must = (
  { tally }: Pick<World, "tally">,
  law: Laws.Name,
  holds: boolean,
  detail: string | (() => string),
): void => Laws.must(tally, law, holds, detail)

/** WGSL lets `exp` and `log` be off by a few units; rows differ by 1/64 and more. */
const gpuSlack = 1e-4

/** A world on a device that is open: one value, the empty cache, and no lease. */
export const on = (base: Gpu.GpuShape, config: Config, tally: Laws.Tally = Laws.tally()): World => {
  const scope = Scope.makeUnsafe()
  const made = device(base, config.poison ?? "nan")
  const built = Layer.buildWithScope(made.layer, scope).pipe(
    Effect.flatMap((context) => {
      const layout = Result.getOrThrow(Layout.make(optionsOf(config.layout)))
      return Arena.make(layout, config.numBlocks).pipe(
        Effect.provideContext(context),
        Effect.map((arena) => ({ context, arena })),
      )
    }),
  )
  const { context, arena } = Effect.runSync(Scope.provide(built, scope))
  made.gated = true
  return {
    config,
    arena,
    device: made,
    context,
    scope,
    values: [{ cache: KvCache.empty(arena), rows: [] }],
    guards: [],
    running: new Set(),
    tally,
    places: placesOf(arena.layout),
    memory: made.host ? memoryOf(arena) : undefined,
    images: arena.ledgers.map(() => new Map<number, Image>()),
    freed: arena.ledgers.map(() => []),
    slack: made.host ? 0 : gpuSlack,
    nextRow: 0,
    faulty: false,
    defect: undefined,
  }
}

/** A new CPU device. */
const cpu = (): Gpu.GpuShape =>
  Context.get(Effect.runSync(Effect.scoped(Layer.build(Gpu.layerCpu()))), Gpu.Service)

/** A world on a CPU of its own. */
export const make = (config: Config, tally?: Laws.Tally): World => on(cpu(), config, tally)

/** Makes the ledgers give blocks in the order that the config says: no value may depend on it. */
export const recycle = ({ arena, freed, config }: World): void => {
  if (config.recycle !== "fifo") return
  for (const [group, { free, numFree }] of arena.ledgers.entries()) {
    const now = new Set(free.subarray(0, numFree))
    const old = freed[group]!.filter((id) => now.has(id))
    for (const id of old) now.delete(id)
    freed[group] = [...old, ...now]
    free.set(freed[group].toReversed())
  }
}

/** Row numbers nobody has used. */
export const rows = (world: World, n: number): ReadonlyArray<number> =>
  Array.from({ length: n }, () => world.nextRow++)

/** Rows of these numbers on the device, for as long as the world stands. */
export const uploaded = (world: World, ids: ReadonlyArray<number>): KvCache.Rows =>
  Effect.runSync(
    upload(world.arena.layout, ids).pipe(
      Effect.provideContext(world.context),
      Scope.provide(world.scope),
    ),
  )

/** The i-th newest value. */
export const valueAt = (world: World, i: number): Value =>
  world.values[world.values.length - 1 - i % world.values.length]!

/** Opens a lease. */
export const open = (world: World): Guard => {
  const scope = Scope.makeUnsafe()
  const owner = Effect.runSync(Scope.provide(Lease.make(world.arena), scope))
  const guard = { owner, scope, whole: new Set<View>() }
  world.guards.push(guard)
  return guard
}

/** An open lease; −1 is the oldest of all, open or not. */
export const guardAt = (world: World, i: number): Guard => {
  const usable = world.guards.filter(({ owner }) => owner.open)
  if (usable.length === 0) return open(world)
  return i < 0 ? world.guards[0]! : usable[i % usable.length]!
}

/** Closes a lease's scope. */
export const close = ({ scope, whole }: Guard): void => {
  Effect.runSync(Scope.close(scope, Exit.void))
  whole.clear()
}

/**
 * Must this value be readable? A lease guards a view of its node that is at least as wide, or its base, or a
 * step of the same run has made such a view.
 */
export const alive = (
  world: World,
  cache: KvCache,
  made: Iterable<View> = [],
): boolean => {
  if (cache.length === 0 && cache.node.tables !== undefined) return true
  const sees = ({ node, length, starts }: View): boolean =>
    node === cache.node && length >= cache.length &&
    starts.every((s, g) => s <= cache.starts[g]!)
  for (const view of made) if (sees(view)) return true
  for (const { owner, whole } of world.guards) {
    if (!owner.open) continue
    for (const view of whole) if (sees(view)) return true
  }
  const { tables, rows: owed, base } = cache.node
  return tables === undefined && owed !== undefined && alive(world, base!, made)
}

/** What an undone operation must leave as it was, as text; generations of free blocks may rise. */
export const picture = ({ arena }: Pick<World, "arena">): string =>
  arena.ledgers.map(({ numBlocks, free, numFree, references, fill, generation }) => {
    const isFree = new Set(free.subarray(0, numFree))
    let text = ""
    for (let id = 0; id < numBlocks; id++) {
      text += isFree.has(id)
        ? `free ${references[id]} ${fill[id]}, `
        : `${references[id]} ${fill[id]} ${generation[id]}, `
    }
    return text
  }).join("; ")

/** Starts a fiber; a defect in it fails the world, a typed failure is counted. */
export const start = <A>(
  world: World,
  work: Effect.Effect<A, unknown, Gpu>,
): Fiber.Fiber<A, unknown> => {
  const fiber = Effect.runForkWith(world.context)(inOneTick(work))
  world.running.add(fiber)
  fiber.addObserver((exit) => {
    world.running.delete(fiber)
    if (Exit.isSuccess(exit)) return
    const { cause } = exit
    if (Cause.hasDies(cause)) world.defect ??= { cause: Cause.squash(cause) }
    if (Cause.hasInterruptsOnly(cause)) count(world, "Interrupted")
  })
  return fiber
}

/** Waits until nothing moves by itself; a defect is thrown. */
export const still = (world: World): Effect.Effect<void> =>
  Effect.andThen(
    world.device.quiet,
    Effect.sync(() => {
      if (world.defect !== undefined) throw world.defect.cause
    }),
  )

/** Lets everything run to its end. */
export const settled = (world: World): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* still(world)
    while (world.running.size > 0) {
      must(world, "noLeak", world.device.waiting.length > 0, "an effect never ends")
      world.device.tick(0)
      yield* still(world)
    }
  })

/** The same, on the CPU. */
export const settle = (world: World): void => Effect.runSync(inOneTick(settled(world)))
