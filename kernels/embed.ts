/** Rows of a table, in any stored form, by id. @module */
import { decode, type Weight, weights } from "./decode.ts"
import { source } from "./embed.wgsl.ts"
import { type Family, family } from "./family.ts"
import { fold } from "./grid.ts"
import type { ArrayOf, Tiled } from "./kernel.ts"
import { isTiled, storedOf, tileds, untile } from "./tile.ts"

const spec = {
  name: "embed",
  bindings: { ids: "read u32[tokens]", table: "read D[vocab d]", out: "write f32[tokens d]" },
  overrides: { WG: "u32" },
  params: { tokens: "u32", vocab: "u32", d: "u32", first: "u32" },
} as const

/** A table as it was stored, and how. */
const storedTable = (
  dtype: Weight | Tiled,
  table: ArrayOf[Weight | Tiled],
  vocab: number,
  d: number,
): readonly [Weight, ArrayOf[Weight]] =>
  isTiled(dtype)
    ? [storedOf[dtype], untile(dtype, table as Uint32Array, vocab, d)] // words, as ArrayOf says
    : [dtype, table as ArrayOf[Weight]]

/**
 * The kernels, by the dtype of the table, which may be rows `first` … `first + vocab − 1` of a longer one:
 * ids of other rows give zeros, so that the sum over all parts is the row. Ids are below the number of all
 * rows: whoever makes them sees to it.
 */
export const embed: Family<typeof spec, Weight | Tiled> = family(spec, [...weights, ...tileds], {
  source,
  grid: ({ tokens, d }, { WG }) => fold(tokens * d, WG),
  twin: (dtype) => ({ ids, table, out }, { first }, { tokens, vocab, d }) => {
    const [stored, rows] = storedTable(dtype, table, vocab, d)
    const row = new Float64Array(d)
    for (let t = 0; t < tokens; t++) {
      const id = ids[t]! - first
      if (id >= 0 && id < vocab) decode[stored](rows, id * d, d, row, 0)
      else row.fill(0)
      out.set(row, t * d)
    }
  },
})
