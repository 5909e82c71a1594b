/** Rotary position embedding, in both pairings that models use. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./rope.wgsl.ts"
import { angleOf } from "./turns.ts"

/** Which two elements of a head turn together: neighbours, or the two halves of the rotated part. */
export type Pairing = "interleaved" | "half"

const record = {
  bindings: {
    x: "read f32[tokens heads d]",
    positions: "read u32[tokens]",
    turns: "read u32[pairs two]",
    out: "write f32[tokens heads d]",
  },
  overrides: { WG: "u32" },
  params: { tokens: "u32", heads: "u32", d: "u32", pairs: "u32" },
} as const

interface Spec {
  readonly name: `rope_${Pairing}`
  readonly bindings: typeof record.bindings
  readonly overrides: typeof record.overrides
  readonly params: typeof record.params
}

const make = (pairing: Pairing): Kernel.Kernel<Spec> =>
  Kernel.make({ name: `rope_${pairing}`, ...record }, {
    source: source(pairing),
    grid: ({ tokens, heads, d }, { WG }) => fold(tokens * heads * Math.ceil(d / 2), WG),
    twin: ({ x, positions, turns, out }, _, { tokens, heads, d, pairs }) => {
      const [step, other] = pairing === "half" ? [1, pairs] : [2, 1]
      const width = heads * d
      out.set(x.subarray(0, tokens * width)) // what is not rotated stays
      for (let t = 0; t < tokens; t++) {
        for (let p = 0; p < pairs; p++) {
          const angle = angleOf(turns, p, positions[t]!)
          const cos = Math.cos(angle), sin = Math.sin(angle)
          const end = (t + 1) * width
          for (let i = t * width + p * step; i < end; i += d) {
            const u = x[i]!, v = x[i + other]!
            out[i] = u * cos - v * sin
            out[i + other] = u * sin + v * cos
          }
        }
      }
    },
  })

/**
 * The kernels, by pairing. `turns` are those of `turnsOf`, one frequency a pair; at most d / 2 pairs turn, and
 * elements past them are copied.
 */
export const rope: { readonly [P in Pairing]: Kernel.Kernel<Spec> } = {
  interleaved: make("interleaved"),
  half: make("half"),
}
