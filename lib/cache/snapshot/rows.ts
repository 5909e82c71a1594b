/** Rows as a snapshot holds them: the bits of the arena's storage, whatever blocks they lay in. @module */
import { bitsOf } from "../../../kernels/half.ts"
import { store, widen, width } from "../../../kernels/pool.ts"
import * as DType from "../../tensor/DType.ts"
import * as Layout from "../Layout.ts"

/** Rows of some tokens in the layers of a group, `[layers, tokens, heads, dim]`; no values where keys hold them. */
export interface Dense {
  readonly keys: Float32Array
  readonly values: Float32Array | undefined
}

/** Heads of all rows of one half, and what each takes. */
const halfOf = (layout: Layout.Layout, group: number, tokens: number, kind: Layout.Kind) => {
  const { heads, dim } = Layout.half(layout, kind)
  const rows = layout.groups[group]!.layers.length * tokens * heads
  const size = width(layout.dtype, dim)
  return { rows, dim, size, bytes: DType.bytes(layout.dtype, rows * size) }
}

const kindsOf = ({ placement }: Layout.Layout): ReadonlyArray<Layout.Kind> =>
  placement === "latent" ? ["keys"] : ["keys", "values"]

/** Bytes of so many tokens in the layers of a group. */
export const bytesOf = (layout: Layout.Layout, group: number, tokens: number): number =>
  kindsOf(layout).reduce((sum, kind) => sum + halfOf(layout, group, tokens, kind).bytes, 0)

/**
 * Rows as they are stored: all keys, then all values. What was gathered is exact for every storage, and int8
 * quantises to the bits it was read from, so these are the arena's bits.
 */
export const encode = (
  layout: Layout.Layout,
  group: number,
  tokens: number,
  dense: Dense,
): Uint8Array => {
  const { dtype } = layout
  const out = new Uint8Array(bytesOf(layout, group, tokens))
  let at = 0
  for (const kind of kindsOf(layout)) {
    const { rows, dim, size, bytes } = halfOf(layout, group, tokens, kind)
    const from = dense[kind]!
    if (dtype === "f32") {
      out.set(new Uint8Array(from.buffer, from.byteOffset, bytes), at)
    } else {
      const pool = DType.view(dtype, new ArrayBuffer(bytes), rows * size)
      const bits = bitsOf(from)
      for (let row = 0; row < rows; row++) {
        store[dtype](from, bits, row * dim, dim, pool, row * size)
      }
      out.set(new Uint8Array(pool.buffer), at)
    }
    at += bytes
  }
  return out
}

/** And back, widened to f32. `data` is as long as `bytesOf` says. */
export const decode = (
  layout: Layout.Layout,
  group: number,
  tokens: number,
  data: Uint8Array,
): Dense => {
  const { dtype } = layout
  const half = (kind: Layout.Kind, at: number): Float32Array => {
    const { rows, dim, size, bytes } = halfOf(layout, group, tokens, kind)
    const own = data.slice(at, at + bytes).buffer as ArrayBuffer // `slice` has just made it
    if (dtype === "f32") return new Float32Array(own)
    const pool = DType.view(dtype, own, rows * size)
    const to = new Float32Array(rows * dim)
    for (let row = 0; row < rows; row++) widen[dtype](pool, row * size, dim, to, row * dim)
    return to
  }
  const values = halfOf(layout, group, tokens, "keys").bytes
  return {
    keys: half("keys", 0),
    values: values < data.length ? half("values", values) : undefined,
  }
}
