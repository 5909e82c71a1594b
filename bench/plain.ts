/**
 * The peer of `decode.ts`: the same model as one hand-written loop over typed arrays. No graph, no effects,
 * no paging: one growing array of keys and one of values a layer, every buffer made once.
 *
 * @module
 */
/** Sizes of the model; the fields of `Llama.Config` that the loop needs. */
export interface Sizes {
  readonly layers: number
  readonly model: number
  readonly ffn: number
  readonly vocab: number
  readonly numQHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly theta: number
  readonly eps: number
}

/** Bytes of a tensor of the file, by its name. */
export type Bytes = (name: string) => Uint8Array<ArrayBuffer>

/** A model with its one mutable cache. */
export interface Plain {
  /** Reads tokens after what the cache holds; returns the most probable next one. */
  readonly read: (ids: ReadonlyArray<number>) => number
  /** Forgets all but the first `length` tokens. */
  readonly truncate: (length: number) => void
}

const halves = (): Float32Array => {
  const view = new DataView(new ArrayBuffer(2))
  return Float32Array.from({ length: 65_536 }, (_, bits) => {
    view.setUint16(0, bits)
    return view.getFloat16(0)
  })
}

/** The values of all f16 and of all signed bytes. */
const half = halves()
const int8 = Float64Array.from({ length: 256 }, (_, i) => (i << 24) >> 24)

/** q8_0: blocks of 32 weights in 34 bytes, an f16 scale first. Four rows at a time; `n` is a multiple of 4. */
const dot = (
  w: Uint8Array,
  n: number,
  k: number,
  x: Float32Array,
  from: number,
  out: Float32Array,
  to: number,
): void => {
  const row = k / 32 * 34
  for (let j = 0; j < n; j += 4) {
    let w0 = j * row, w1 = w0 + row, w2 = w1 + row, w3 = w2 + row
    let a = 0, b = 0, c = 0, d = 0
    for (let at = from; at < from + k; at += 32) {
      const d0 = half[w[w0]! | w[w0 + 1]! << 8]!, d1 = half[w[w1]! | w[w1 + 1]! << 8]!
      const d2 = half[w[w2]! | w[w2 + 1]! << 8]!, d3 = half[w[w3]! | w[w3 + 1]! << 8]!
      w0 += 2, w1 += 2, w2 += 2, w3 += 2
      for (let i = 0; i < 32; i++) {
        const v = x[at + i]!
        a += int8[w[w0 + i]!]! * d0 * v
        b += int8[w[w1 + i]!]! * d1 * v
        c += int8[w[w2 + i]!]! * d2 * v
        d += int8[w[w3 + i]!]! * d3 * v
      }
      w0 += 32, w1 += 32, w2 += 32, w3 += 32
    }
    out[to + j] = a, out[to + j + 1] = b, out[to + j + 2] = c, out[to + j + 3] = d
  }
}

const decodeRow = (w: Uint8Array, row: number, k: number, to: Float64Array): void => {
  for (let i = 0, b = row * k / 32 * 34; i < k; i += 32, b += 34) {
    const d = half[w[b]! | w[b + 1]! << 8]!
    for (let j = 0; j < 32; j++) to[i + j] = int8[w[b + 2 + j]!]! * d
  }
}

/** The model. Everything a token needs is allocated here, for `most` tokens read at once. */
export const plain = (sizes: Sizes, bytes: Bytes, most: number): Plain => {
  const { layers, model, ffn, vocab, numQHeads, numKvHeads, headDim, theta, eps } = sizes
  const qDim = numQHeads * headDim, kvDim = numKvHeads * headDim
  const group = numQHeads / numKvHeads
  const floats = (name: string) => new Float32Array(bytes(name).buffer)
  const embed = bytes("token_embd.weight")
  const norm = floats("output_norm.weight")
  const blocks = Array.from({ length: layers }, (_, i) => ({
    attnNorm: floats(`blk.${i}.attn_norm.weight`),
    q: bytes(`blk.${i}.attn_q.weight`),
    k: bytes(`blk.${i}.attn_k.weight`),
    v: bytes(`blk.${i}.attn_v.weight`),
    out: bytes(`blk.${i}.attn_output.weight`),
    ffnNorm: floats(`blk.${i}.ffn_norm.weight`),
    gate: bytes(`blk.${i}.ffn_gate.weight`),
    up: bytes(`blk.${i}.ffn_up.weight`),
    down: bytes(`blk.${i}.ffn_down.weight`),
    keys: new Float32Array(64 * kvDim),
    values: new Float32Array(64 * kvDim),
  }))
  const frequency = Float64Array.from(
    { length: headDim / 2 },
    (_, p) => theta ** (-2 * p / headDim),
  )
  const [x, h] = [new Float32Array(most * model), new Float32Array(most * model)]
  const [q, mixed] = [new Float32Array(most * qDim), new Float32Array(most * qDim)]
  const [gate, up] = [new Float32Array(most * ffn), new Float32Array(most * ffn)]
  const wide = new Float64Array(most * Math.max(ffn, qDim))
  const [u, v] = [new Float64Array(ffn), new Float64Array(ffn)]
  const logits = new Float32Array(vocab)
  let length = 0

  const linear = (
    w: Uint8Array,
    n: number,
    k: number,
    from: Float32Array,
    rows: number,
    out: Float32Array,
    to: number,
  ): void => {
    if (rows < 4) {
      for (let r = 0; r < rows; r++) dot(w, n, k, from, r * k, out, to + r * n)
      return
    }
    for (let i = 0; i < rows * k; i++) wide[i] = from[i]!
    for (let j = 0; j < n; j += 2) {
      decodeRow(w, j, k, u)
      decodeRow(w, j + 1, k, v)
      for (let r = 0; r < rows; r += 2) {
        const r1 = Math.min(r + 1, rows - 1)
        const x0 = r * k, x1 = r1 * k
        let a = 0, b = 0, c = 0, d = 0
        for (let i = 0; i < k; i++) {
          const s = u[i]!, t = v[i]!, y = wide[x0 + i]!, z = wide[x1 + i]!
          a += s * y
          b += t * y
          c += s * z
          d += t * z
        }
        out[to + r * n + j] = a, out[to + r * n + j + 1] = b
        out[to + r1 * n + j] = c, out[to + r1 * n + j + 1] = d
      }
    }
  }

  const normalise = (from: Float32Array, weight: Float32Array, rows: number): void => {
    for (let r = 0; r < rows * model; r += model) {
      let sum = 0
      for (let i = 0; i < model; i++) sum += from[r + i]! * from[r + i]!
      const scale = 1 / Math.sqrt(sum / model + eps)
      for (let i = 0; i < model; i++) h[r + i] = from[r + i]! * scale * weight[i]!
    }
  }

  const rotate = (to: Float32Array, at: number, heads: number, position: number): void => {
    for (let p = 0; p < headDim / 2; p++) {
      const angle = position * frequency[p]!
      const cos = Math.cos(angle), sin = Math.sin(angle)
      for (let i = at + 2 * p; i < at + heads * headDim; i += headDim) {
        const a = to[i]!, b = to[i + 1]!
        to[i] = a * cos - b * sin
        to[i + 1] = a * sin + b * cos
      }
    }
  }

  const scores = { buffer: new Float64Array(64) }
  const sum = new Float64Array(headDim)
  /** One query head over rows 0 … `end` − 1 of the cache; four sums at a time, as in `dot`. */
  const attend = (
    at: number,
    kv: number,
    end: number,
    keys: Float32Array,
    values: Float32Array,
  ) => {
    const s = scores.buffer
    const scale = 1 / Math.sqrt(headDim)
    let max = -Infinity
    for (let p = 0, row = kv; p < end; p++, row += kvDim) {
      let a = 0, b = 0, c = 0, d = 0
      for (let i = 0; i < headDim; i += 4) {
        a += q[at + i]! * keys[row + i]!
        b += q[at + i + 1]! * keys[row + i + 1]!
        c += q[at + i + 2]! * keys[row + i + 2]!
        d += q[at + i + 3]! * keys[row + i + 3]!
      }
      const score = (a + b + c + d) * scale
      s[p] = score
      if (score > max) max = score
    }
    sum.fill(0)
    let total = 0, p = 0
    for (; p + 1 < end; p += 2) {
      const e = Math.exp(s[p]! - max), f = Math.exp(s[p + 1]! - max)
      const row = p * kvDim + kv, next = row + kvDim
      total += e + f
      for (let i = 0; i < headDim; i++) {
        sum[i] = sum[i]! + (e * values[row + i]! + f * values[next + i]!)
      }
    }
    if (p < end) {
      const e = Math.exp(s[p]! - max)
      const row = p * kvDim + kv
      total += e
      for (let i = 0; i < headDim; i++) sum[i] = sum[i]! + e * values[row + i]!
    }
    for (let i = 0; i < headDim; i++) mixed[at + i] = sum[i]! / total
  }

  const grow = (need: number): void => {
    if (need > scores.buffer.length) scores.buffer = new Float64Array(2 * need)
    for (const block of blocks) {
      if (need * kvDim <= block.keys.length) continue
      for (const name of ["keys", "values"] as const) {
        const larger = new Float32Array(2 * need * kvDim)
        larger.set(block[name])
        block[name] = larger
      }
    }
  }

  const read = (ids: ReadonlyArray<number>): number => {
    const rows = ids.length
    grow(length + rows)
    for (const [r, id] of ids.entries()) {
      decodeRow(embed, id, model, u)
      for (let i = 0; i < model; i++) x[r * model + i] = u[i]!
    }
    for (const block of blocks) {
      const { keys, values } = block
      normalise(x, block.attnNorm, rows)
      linear(block.q, qDim, model, h, rows, q, 0)
      linear(block.k, kvDim, model, h, rows, keys, length * kvDim)
      linear(block.v, kvDim, model, h, rows, values, length * kvDim)
      for (let r = 0; r < rows; r++) {
        rotate(q, r * qDim, numQHeads, length + r)
        rotate(keys, (length + r) * kvDim, numKvHeads, length + r)
      }
      for (let head = 0; head < numQHeads; head++) {
        const kv = Math.floor(head / group) * headDim
        for (let r = 0; r < rows; r++) {
          attend(r * qDim + head * headDim, kv, length + r + 1, keys, values)
        }
      }
      linear(block.out, model, qDim, mixed, rows, h, 0)
      for (let i = 0; i < rows * model; i++) x[i] = x[i]! + h[i]!
      normalise(x, block.ffnNorm, rows)
      linear(block.gate, ffn, model, h, rows, gate, 0)
      linear(block.up, ffn, model, h, rows, up, 0)
      for (let i = 0; i < rows * ffn; i++) gate[i] = gate[i]! / (1 + Math.exp(-gate[i]!)) * up[i]!
      linear(block.down, model, ffn, gate, rows, h, 0)
      for (let i = 0; i < rows * model; i++) x[i] = x[i]! + h[i]!
    }
    length += rows
    normalise(x.subarray((rows - 1) * model, rows * model), norm, 1)
    dot(embed, vocab, model, h, 0, logits, 0)
    let best = 0
    for (let i = 1; i < vocab; i++) if (logits[i]! > logits[best]!) best = i
    return best
  }
  return { read, truncate: (to) => length = to }
}
