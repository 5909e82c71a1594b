/** Where a layer's keys or values lie, as kernels take it. @module */
import type { Place } from "../../kernels/pool.ts"
import type { Tensor } from "../tensor/value.ts"
import type { Arena } from "./Arena.ts"
import * as Layout from "./Layout.ts"

/** A pool, and the strides in it. */
export interface Address {
  readonly pool: Tensor<Layout.Storage, "pool">
  readonly params: Place
}

/** The address of one half of a layer. */
export const address = ({ layout, pools }: Arena, layer: number, kind: Layout.Kind): Address => {
  const { pool, base, block, head, slot } = Layout.strides(layout, layer, kind)
  return {
    pool: pools[pool]!,
    params: {
      blockSize: layout.blockSize,
      blockStride: block,
      headStride: head,
      slotStride: slot,
      base,
    },
  }
}
