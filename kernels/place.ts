/** A few words put into a larger tensor: how a captured program hands values to its own next run. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./place.wgsl.ts"

const spec = {
  name: "place",
  bindings: { x: "read u32[n]", out: "update u32[size]" },
  overrides: { WG: "u32" },
  params: { n: "u32", at: "u32" },
} as const

/** The kernel. The host guarantees `at + n ≤ size`. */
export const place: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ n }, { WG }) => fold(n, WG),
  twin: ({ x, out }, { at }) => out.set(x, at),
})
