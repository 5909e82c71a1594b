/** append and gather against a plain list of rows, under layouts of every kind. @module */
import assert from "node:assert/strict"
import fc from "fast-check"
import { append } from "../../kernels/append.ts"
import { gather } from "../../kernels/gather.ts"
import { type Place, type Pool, pools } from "../../kernels/pool.ts"
import { property } from "./harness.ts"
import { decoded, floats, halves, seed, stored, upTo } from "./values.ts"

/** A pool of some blocks with its axes in any order; two elements of each row are padding where 16 bits need one. */
const layouts = fc.record({
  blocks: upTo(5),
  blockSize: upTo(6),
  heads: upTo(4),
  dim: upTo(9),
  base: fc.constantFrom(0, 2, 6),
  order: fc.shuffledSubarray(["block", "head", "slot"] as const, { minLength: 3 }),
  seed,
})
type Layout = typeof layouts extends fc.Arbitrary<infer T> ? T : never

const placed = ({ blocks, blockSize, heads, dim, base, order }: Layout) => {
  const width = dim + dim % 2
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
  return { place, at, width, size: base + blocks * blockSize * heads * width + 4 }
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

const poison = (dtype: Pool, value: number, n: number) =>
  dtype === "f32" ? new Float32Array(n).fill(value) : halves(dtype, new Float32Array(n).fill(value))

for (const dtype of pools) {
  property(
    `append writes ${dtype} rows, carries others and touches nothing else`,
    cases,
    async (given, runner) => {
      const { layout, rowBase, order, written } = given
      const { place, at, size } = placed(layout)
      const { heads, dim } = layout
      const rest = order.slice(written)
      const copied = Math.min(given.copied, rest.length >> 1)
      const rows = floats(layout.seed, (rowBase + written) * heads * dim)
      const pool = stored(dtype, layout.seed + 1, size)
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
      const source = dtype === "f32" ? rows : halves(dtype, rows)
      const put = (slot: number, head: number, row: (i: number) => number) => {
        for (let i = 0; i < dim; i++) naive[at(slot, head) + i] = row(i)
      }
      for (let head = 0; head < heads; head++) {
        for (let e = 0; e < written; e++) {
          const row = ((rowBase + entries[2 * e]!) * heads + head) * dim
          put(entries[2 * e + 1]!, head, (i) => source[row + i]!)
          if (dtype !== "f32" && dim % 2 === 1) naive[at(entries[2 * e + 1]!, head) + dim] = 0
        }
        for (let c = 0; c < copied; c++) {
          const source = at(copies[2 * c]!, head)
          put(copies[2 * c + 1]!, head, (i) => pool[source + i]!)
          if (dtype !== "f32" && dim % 2 === 1) {
            naive[at(copies[2 * c + 1]!, head) + dim] = pool[source + dim]!
          }
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
      const { place, at, size } = placed(layout)
      const { heads, dim } = layout
      const slots = Uint32Array.from(order.slice(0, tokens))
      const pool = poison(dtype, runner.poison, size)
      const filled = stored(dtype, layout.seed, size)
      for (const slot of slots) {
        for (let head = 0; head < heads; head++) {
          for (let i = 0; i < dim; i++) pool[at(slot, head) + i] = filled[at(slot, head) + i]!
        }
      }
      const rows = rowBase + tokens + 1
      const before = floats(layout.seed + 2, rows * heads * dim)
      const { out } = await runner.run(gather[dtype], {
        axes: { pool: size, tokens, rows, heads, dim },
        given: { pool, slots, out: before },
        params: { rowBase, ...place },
      })
      const values = decoded(dtype, filled)
      const naive = before.slice()
      for (let t = 0; t < tokens; t++) {
        for (let head = 0; head < heads; head++) {
          for (let i = 0; i < dim; i++) {
            naive[((rowBase + t) * heads + head) * dim + i] = values[at(slots[t]!, head) + i]!
          }
        }
      }
      assert.deepEqual(out, naive)
    },
  )
}
