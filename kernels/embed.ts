/** Rows of a table, in any stored form, by id. @module */
import { decode, type Weight, weights } from "./decode.ts"
import { source } from "./embed.wgsl.ts"
import { type Family, family } from "./family.ts"
import { fold } from "./grid.ts"

const spec = {
  name: "embed",
  bindings: { ids: "read u32[tokens]", table: "read D[vocab d]", out: "write f32[tokens d]" },
  overrides: { WG: "u32" },
  params: { tokens: "u32", d: "u32" },
} as const

/** The kernels, by the dtype of the table. Ids are below `vocab`: whoever makes them sees to it. */
export const embed: Family<typeof spec, Weight> = family(spec, weights, {
  source,
  grid: ({ tokens, d }, { WG }) => fold(tokens * d, WG),
  twin: (dtype) => ({ ids, table, out }, _, { tokens, d }) => {
    const row = new Float64Array(d)
    for (let t = 0; t < tokens; t++) {
      decode[dtype](table, ids[t]! * d, d, row, 0)
      out.set(row, t * d)
    }
  },
})
