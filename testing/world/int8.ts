/** int8 rows by the letter of their definition, and not by the library's code. @module */

/** A row of signed bytes under its scale. */
export interface Quantised {
  readonly scale: number
  readonly bytes: ReadonlyArray<number>
}

const evenly = (x: number): number => {
  const low = Math.floor(x)
  if (x - low !== 0.5) return Math.round(x)
  return low % 2 === 0 ? low : low + 1
}

/** A row of f32 as bytes. */
export const quantised = (row: ReadonlyArray<number>): Quantised => {
  const zeros = row.map(() => 0)
  if (!row.every(Number.isFinite)) return { scale: NaN, bytes: zeros }
  const most = Math.max(0, ...row.map(Math.abs))
  const unit = 2 ** (Math.floor(Math.log2(most)) - 23) // of the last place of an f32
  const scale = Math.round(most / 127 / unit) * unit
  if (!(scale >= 2 ** -124)) return { scale: 0, bytes: zeros }
  return { scale, bytes: row.map((x) => evenly(x / scale) + 0) }
}

/** What reading it gives, exactly. */
export const dequantised = ({ scale, bytes }: Quantised): ReadonlyArray<number> =>
  bytes.map((byte) => byte * scale)

/** The bytes of a stored row: the scale, the bytes, zeros up to a whole word. */
export const image = ({ scale, bytes }: Quantised): Uint8Array<ArrayBuffer> => {
  const to = new DataView(new ArrayBuffer(4 + 4 * Math.ceil(bytes.length / 4)))
  if (Number.isNaN(scale)) to.setUint32(0, 0x7fc0_0000, true)
  else to.setFloat32(0, scale, true)
  for (const [i, byte] of bytes.entries()) to.setInt8(4 + i, byte)
  return new Uint8Array(to.buffer)
}

/** A stored row of `dim`, read. */
export const read = (from: Uint8Array, dim: number): Quantised => {
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength)
  const bytes = Array.from({ length: dim }, (_, i) => view.getInt8(4 + i))
  return { scale: view.getFloat32(0, true), bytes }
}
