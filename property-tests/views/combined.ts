/** Pools whose keys and values interleave. @module */
import { Effect, type Scope } from "effect"
import {
  Arena,
  type ArenaTooLarge,
  Gpu,
  type GpuFault,
  type InvalidArgument,
  type KvCache,
  Layout,
  type Lease,
  type Pages,
  PageUtilities,
  Program,
} from "../../mod.ts"

/** Of new tokens and dense pools. */
export const axes = "tokens combinedHeads headDim"

/** Sizes of a pool. */
export interface PoolSizes {
  readonly pageSize: number
  readonly numPages: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly dtype: "f32" | "f16" | "bf16"
}

/** An arena with room for two pools of these sizes. */
export const poolOf = (
  { pageSize, numPages, numKvHeads, headDim, dtype }: PoolSizes,
): Effect.Effect<Arena, InvalidArgument | ArenaTooLarge | GpuFault, Gpu | Scope.Scope> =>
  Effect.flatMap(
    Effect.fromResult(Layout.make({
      layers: 1,
      keyHeads: numKvHeads,
      keyDim: headDim,
      blockSize: pageSize,
      dtype,
      placement: "interleaved",
    })),
    (layout) => Arena.make(layout, 2 * numPages),
  )

/** Pages as one array. */
export const dense = (
  pages: Pages,
): Effect.Effect<Float32Array, KvCache.RealizeError | Program.RunError, Gpu | Lease> =>
  Effect.scoped(Effect.flatMap(Program.run(PageUtilities.toDense(pages)), Gpu.read))
