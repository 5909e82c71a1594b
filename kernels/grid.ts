/** One thread an element, folded over two grid dimensions: WebGPU allows 65,535 workgroups in each. @module */
import type { Grid } from "./kernel.ts"

const MAX_GROUPS = 65_535

/** Threads of a workgroup where nothing speaks for another number. */
export const workgroup: { readonly WG: number } = { WG: 64 }

/** Threads of a workgroup of the register kernels: eight read a tile of a weight straight ahead. */
export const lanes: { readonly WG: number } = { WG: 8 }

/**
 * Workgroups for `count` threads, `per` of them in a workgroup: never none, of which Dawn warns, so the last
 * ones may have nothing to do.
 */
export const fold = (count: number, per: number): Grid => {
  const groups = Math.max(1, Math.ceil(count / per))
  const y = Math.ceil(groups / MAX_GROUPS)
  return [Math.ceil(groups / y), y, 1]
}

/** The WGSL side of `fold`: a thread's place in the line, from `global_invocation_id` and `num_workgroups`. */
export const threadOf: string = /* wgsl */ `
fn thread_of(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * WG + id.x; }
`
