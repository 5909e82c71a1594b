/** Writes safetensors files by hand, sound or not. @module */
import { u64 } from "./writer.ts"

/** One tensor of a header. */
export interface Row {
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  readonly data_offsets: ReadonlyArray<number>
}

/** A row whose bytes begin at `begin`. */
export const row = (
  dtype: string,
  shape: ReadonlyArray<number>,
  begin: number,
  end: number,
): Row => ({ dtype, shape, data_offsets: [begin, end] })

/** A file of a header, as text or as what JSON makes of it, and `data`, as bytes or as a number of zeros. */
export const file = (
  header: string | { readonly [name: string]: unknown },
  data: number | Uint8Array = 0,
): Uint8Array<ArrayBuffer> => {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  )
  const tail = typeof data === "number" ? new Uint8Array(data) : data
  const out = new Uint8Array(8 + text.length + tail.length)
  out.set(u64(text.length))
  out.set(text, 8)
  out.set(tail, 8 + text.length)
  return out
}

/** A tensor and its bytes. */
export interface Data {
  readonly name: string
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  readonly data: Uint8Array
}

/** A file of tensors, one after the other. */
export const fileOf = (tensors: ReadonlyArray<Data>): Uint8Array<ArrayBuffer> => {
  const header: Record<string, Row> = {}
  const data = new Uint8Array(tensors.reduce((sum, one) => sum + one.data.length, 0))
  let at = 0
  for (const one of tensors) {
    data.set(one.data, at)
    header[one.name] = row(one.dtype, one.shape, at, at + one.data.length)
    at += one.data.length
  }
  return file(header, data)
}

/** Three tensors that touch, in the order their data do not have. */
export const sound: { readonly [name: string]: unknown } = {
  __metadata__: { format: "pt", note: "naïve 🙂" },
  "model.norm.weight": row("BF16", [3, 4], 28, 52),
  vector: row("F32", [7], 0, 28),
  scalar: row("F16", [], 52, 54),
}
/** The file of `sound`. */
export const soundFile: Uint8Array<ArrayBuffer> = file(sound, 54)
