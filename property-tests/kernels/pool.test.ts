/** append and gather against a plain list of rows, under layouts of every kind. @module */
import assert from "node:assert/strict"
import fc from "fast-check"
import { append } from "../../kernels/append.ts"
import { gather } from "../../kernels/gather.ts"
import { type Place, type Pool, pools } from "../../kernels/pool.ts"
import { property } from "./harness.ts"
import { packed, poisoned, unpacked, widthOf } from "./stored.ts"
import { floats, seed, upTo } from "./values.ts"

/** A pool of some blocks with its axes in any order. */
const layouts = fc.record({
  blocks: upTo(5),
  blockSize: upTo(6),
  heads: upTo(4),
  dim: upTo(9),
  base: fc.constantFrom(0, 4, 12),
  order: fc.shuffledSubarray(["block", "head", "slot"] as const, { minLength: 3 }),
  seed,
})
type Layout = typeof layouts extends fc.Arbitrary<infer T> ? T : never

const placed = (dtype: Pool, { blocks, blockSize, heads, dim, base, order }: Layout) => {
  const width = widthOf(dtype, dim)
  const sizes = { block: blocks, head: heads, slot: blockSize }
  const stride = (axis: "block" | "head" | "slot") =>
    order.slice(order.indexOf(axis) + 1).reduce((product, inner) => product * sizes[inner], width)
  const place: Place & Record<string, number> = {
    base,
    blockSize,
    blockStride: stride("block"),
    headStride: stride("head"),
    slotStride: stride("slot"),
  }
  const at = (slot: number, head: number) =>
    base + Math.floor(slot / blockSize) * place.blockStride + head * place.headStride +
    slot % blockSize * place.slotStride
  return { place, at, size: base + blocks * blockSize * heads * width + 4 }
}

const cases = layouts.chain((layout) => {
  const slots = layout.blocks * layout.blockSize
  return fc.record({
    layout: fc.constant(layout),
    rowBase: fc.nat(3),
    // Distinct slots: the first `written` get rows, the next pairs are copied.
    order: fc.shuffledSubarray([...Array(slots).keys()], { minLength: slots }),
    written: fc.nat(slots),
    copied: fc.nat(slots),
  })
})

/** A pool of rows of random numbers. */
const filled = (dtype: Pool, layout: Layout, poison: number, slots?: ReadonlyArray<number>) => {
  const { heads, dim } = layout
  const { at, size } = placed(dtype, layout)
  const pool = poisoned(dtype, poison, size)
  for (const slot of slots ?? Array(layout.blocks * layout.blockSize).keys()) {
    for (let head = 0; head < heads; head++) {
      pool.set(packed(dtype, floats(layout.seed + slot * heads + head, dim)), at(slot, head))
    }
  }
  return pool
}

for (const dtype of pools) {
  property(
    `append writes ${dtype} rows, carries others and touches nothing else`,
    cases,
    async (given, runner) => {
      const { layout, rowBase, order, written } = given
      const { place, at, size } = placed(dtype, layout)
      const { heads, dim } = layout
      const rest = order.slice(written)
      const copied = Math.min(given.copied, rest.length >> 1)
      const rows = floats(layout.seed, (rowBase + written) * heads * dim)
      const pool = filled(dtype, layout, 3e4, rest) // poison where rows go, past their ends too
      const entries = Uint32Array.from(
        order.slice(0, written).flatMap((slot, i) => [written - 1 - i, slot]),
      )
      const copies = Uint32Array.from({ length: 2 * copied }, (_, i) => rest[i]!)
      const result = await runner.run(append[dtype], {
        axes: {
          rows: rowBase + written,
          heads,
          dim,
          entries: written,
          copies: copied,
          pair: 2,
          pool: size,
        },
        given: { rows, entries, copies, pool },
        params: { rowBase, ...place },
      })
      const naive = pool.slice()
      for (let head = 0; head < heads; head++) {
        for (let e = 0; e < written; e++) {
          const row = ((rowBase + entries[2 * e]!) * heads + head) * dim
          naive.set(packed(dtype, rows.slice(row, row + dim)), at(entries[2 * e + 1]!, head))
        }
        for (let c = 0; c < copied; c++) {
          const source = at(copies[2 * c]!, head)
          const row = pool.slice(source, source + widthOf(dtype, dim))
          naive.set(row, at(copies[2 * c + 1]!, head))
        }
      }
      assert.deepEqual(result["pool"], naive)
    },
  )

  property(
    `gather reads ${dtype} rows by slot and leaves other rows of its output`,
    cases,
    async (given, runner) => {
      const { layout, rowBase, order, written: tokens } = given
      const { place, at, size } = placed(dtype, layout)
      const { heads, dim } = layout
      const slots = Uint32Array.from(order.slice(0, tokens))
      const pool = filled(dtype, layout, runner.poison, [...slots])
      const rows = rowBase + tokens + 1
      const before = floats(layout.seed + 2, rows * heads * dim)
      const { out } = await runner.run(gather[dtype], {
        axes: { pool: size, tokens, rows, heads, dim },
        given: { pool, slots, out: before },
        params: { rowBase, ...place },
      })
      const naive = before.slice()
      for (let t = 0; t < tokens; t++) {
        for (let head = 0; head < heads; head++) {
          const row = pool.slice(at(slots[t]!, head), at(slots[t]!, head) + widthOf(dtype, dim))
          naive.set(unpacked(dtype, row, dim), ((rowBase + t) * heads + head) * dim)
        }
      }
      assert.deepEqual(out, naive)
    },
  )
}
