/** Layouts, arenas, leases, caches and pages, before a hostile caller. @module */
import { Effect, Result } from "effect"
import {
  Arena,
  Attention,
  Interchange,
  KvCache,
  Layout,
  Lease,
  Llama,
  Pages,
  Window,
} from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { floats, placed, readCaches, tensor } from "./values.ts"

const sizes = {
  layers: 2,
  keyHeads: 1,
  keyDim: 4,
  valueHeads: 1,
  valueDim: 4,
  blockSize: 4,
  capacity: 64,
}

/** Two groups, one of which sees a window. */
const options: Layout.Options = {
  ...sizes,
  groups: [{ layers: [0], window: undefined }, { layers: [1], window: 4 }],
}

const whole = (...sizes: ReadonlyArray<number>): boolean =>
  sizes.every((n) => Number.isSafeInteger(n) && n >= 1)

const layouts = (layout: Layout.Layout): ReadonlyArray<Door> => [
  door("Layout.make", Layout.make, () => [sizes], {
    right: (_, answer) => {
      const { layers, keyHeads, keyDim, blockSize, capacity } = answer as Layout.Layout
      return whole(layers, keyHeads, keyDim, blockSize, capacity)
        ? undefined
        : "sizes that are none"
    },
  }),
  door(
    "Layout.make groups",
    (groups: Layout.Options["groups"]) => Layout.make({ ...options, groups: groups! }),
    () => [
      [{ layers: [0], window: 3 }, { layers: [1], window: 4 }],
    ],
  ),
  door("Layout.blockBytes", Layout.blockBytes, () => [layout, 1]),
  door("Layout.groupOf", Layout.groupOf, () => [layout, 1]),
  door("Layout.strides", Layout.strides, () => [layout, 1, "keys" as const]),
  door(
    "Layout.strides fused",
    Layout.strides,
    () => [{ ...layout, placement: "fused" as const }, 1, "keys" as const],
  ),
  door("Layout.poolElements", Layout.poolElements, () => [layout, [3, 2]], { arithmetic: true }),
  door("Layout.offsetsError", Layout.offsetsError, () => [layout, [3, 2]], { arithmetic: true }),
  door("Llama.blocksOf", Llama.blocksOf, () => [layout, 8, 3], { arithmetic: true }),
  door("Arena.make", Arena.make, () => [layout, 3], {
    right: (_, answer) =>
      whole(...(answer as Arena).ledgers.map(({ numBlocks }) => numBlocks))
        ? undefined
        : "blocks that are none",
  }),
  door("Arena.make groups", Arena.make, () => [layout, [3, 2]], { arithmetic: true }),
  door("Arena.plan", Arena.plan, () => [layout, 4096], {
    right: ([, bytes], answer) => {
      const made = answer as Arena.ArenaPlan
      return whole(made.numBlocks, made.tokens, made.bytes, made.largestBuffer) &&
          made.bytes <= bytes
        ? undefined
        : `a plan of ${JSON.stringify(made)}`
    },
  }),
]

const caches = (
  arena: Arena,
  x: KvCache,
  rows: KvCache.Rows,
): ReadonlyArray<Door> => [
  door("KvCache.write", KvCache.write, () => [x, 6, rows]),
  door("KvCache.append", KvCache.append, () => [x, rows]),
  door("KvCache.truncate", KvCache.truncate, () => [x, 5], {
    right: ([, length], answer) =>
      (answer as KvCache).length === length ? undefined : "another length",
  }),
  door("KvCache.dropBefore", KvCache.dropBefore, () => [x, 5, 1]),
  door(
    "KvCache.gather",
    (length: number) =>
      Effect.flatMap(Effect.fromResult(KvCache.truncate(x, length)), KvCache.gather),
    () => [5],
  ),
  door(
    "KvCache.step",
    (counts: ReadonlyArray<number>, kept: ReadonlyArray<number>) =>
      KvCache.step(
        [x, x],
        counts,
        (step) =>
          Effect.forEach([0, 1], (layer) =>
            Effect.gen(function* () {
              const tokens = step.positions.shape[0]!
              return yield* Attention.attend(step, layer, {
                q: tensor("tokens numQHeads headDim", tokens, 2, 4),
                k: tensor("tokens keyHeads headDim", tokens, 1, 4),
                v: tensor("tokens valueHeads valueDim", tokens, 1, 4),
              }, { window: Window.last(2) })
            })).pipe(Effect.map((states) => ({ value: states, kept }))),
      ),
    () => [[1, 1], [1, 0]],
  ),
  door(
    "Attention.attend",
    (layer: number, options: Attention.Options) =>
      KvCache.step([x], [1], (step) =>
        Effect.gen(function* () {
          const fed = {
            q: tensor("tokens numQHeads headDim", 1, 2, 4),
            k: tensor("tokens keyHeads headDim", 1, 1, 4),
            v: tensor("tokens valueHeads valueDim", 1, 1, 4),
          }
          const value = yield* Attention.attend(step, layer, fed, options)
          yield* Attention.attend(step, 1 - layer, fed, { window: Window.last(2) })
          return { value }
        })),
    () => [0, { scale: 0.5, softCap: 2, window: { last: 3, sinks: 0 } }],
  ),
  door(
    "Lease.keep",
    (length: number) =>
      Effect.flatMap(Effect.fromResult(KvCache.truncate(x, length)), (y) => Lease.keep([y])),
    () => [5],
  ),
  door(
    "Interchange.toPages",
    (blocks: Array<number>) =>
      Effect.flatMap(
        Effect.fromResult(Pages.make(arena, 4)),
        (pages) => Interchange.toPages(KvCache.empty(arena), { pages, blocks }),
      ),
    () => [[1]],
  ),
]

const pools = (
  pages: Pages.Pages,
  rows: KvCache.Rows,
  blocks: ReadonlyArray<number>,
): ReadonlyArray<Door> => [
  door("Pages.make", Pages.make, () => [pages.arena, 3]),
  door(
    "Pages.make, and all of them gathered",
    (numPages: number) =>
      Effect.flatMap(Effect.fromResult(Pages.make(pages.arena, numPages)), Pages.gatherAll),
    () => [3],
  ),
  door("Pages.at", Pages.at, () => [pages, 1]),
  door("Pages.clear", Pages.clear, () => [pages, [1]]),
  door("Pages.pageError", Pages.pageError, () => [pages, "page", 1]),
  door("Pages.pagesOf", Pages.pagesOf, () => [pages, blocks, 6]),
  door("Pages.write", Pages.write, () => [pages, rows, [
    { page: 0, offset: 0, from: 0, count: 1 },
    { page: 3, offset: 0, from: 0, count: 2 },
  ]]),
  door("Pages.gather", Pages.gather, () => [pages, blocks, 6]),
  door(
    "Interchange.toCache",
    (blocks: ReadonlyArray<number>, length: number) =>
      Interchange.toCache({ pages, blocks, length }),
    () => [blocks, 6],
  ),
]

/** Two leases' worth of values over one arena of two groups, and pages of another. */
export const room: Plan = Effect.gen(function* () {
  const layout = Result.getOrThrow(Layout.make(options))
  const arena = yield* Arena.make(layout, 40)
  const lease = yield* Lease.make(arena)
  const fresh = yield* floats("layers tokens keyHeads keyDim", 2, 10, 1, 4)
  const few = yield* floats("layers tokens keyHeads keyDim", 2, 2, 1, 4)
  const rows = {
    keys: fresh,
    values: { ...fresh, axes: "layers tokens valueHeads valueDim" as const },
  }
  const two = { keys: few, values: { ...few, axes: "layers tokens valueHeads valueDim" as const } }
  const x = Result.getOrThrow(KvCache.append(KvCache.empty(arena), rows))
  const pages = Result.getOrThrow(
    Result.flatMap(
      Pages.make(arena, 4),
      (pool) =>
        Pages.write(pool, rows, [{ page: 1, offset: 0, from: 0, count: 4 }, {
          page: 2,
          offset: 0,
          from: 4,
          count: 2,
        }]),
    ),
  )
  const all = [x, ...Pages.caches(pages)]
  yield* placed(lease, all)
  return {
    doors: [...layouts(layout), ...caches(arena, x, two), ...pools(pages, two, [1, 2])],
    arenas: [arena],
    read: readCaches(lease, all),
  }
})
