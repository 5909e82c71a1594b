/** The oracle: a forward pass in float64 over plain arrays, all tokens at once, without a cache. @module */
import { dense } from "../../lib/attention/dense.ts"
import type { Scaling, Tiny } from "./tiny.ts"

type Rows = ReadonlyArray<ReadonlyArray<number>>

const add = (a: Rows, b: Rows): Rows => a.map((row, i) => row.map((x, j) => x + b[i]![j]!))

const rmsNorm = (rows: Rows, weight: ArrayLike<number>, eps: number): Rows =>
  rows.map((row) => {
    const mean = row.reduce((sum, x) => sum + x * x, 0) / row.length
    return row.map((x, j) => x / Math.sqrt(mean + eps) * weight[j]!)
  })

const silu = (x: number): number => x / (1 + Math.exp(-x))
const gelu = (x: number): number =>
  x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))

/** Radians a position of each pair, case by case as transformers' source has it. */
export const frequencies = (
  theta: number,
  headDim: number,
  scaling: Scaling | undefined,
): ReadonlyArray<number> =>
  Array.from({ length: headDim / 2 }, (_, p) => {
    const f = 1 / theta ** (2 * p / headDim)
    if (scaling === undefined) return f
    if (scaling.rope_type === "linear") return f / scaling.factor
    const { factor, low_freq_factor: low, high_freq_factor: high } = scaling
    const old = scaling.original_max_position_embeddings
    const wavelength = 2 * Math.PI / f
    if (wavelength > old / low) return f / factor
    if (wavelength < old / high) return f
    const smooth = (old / wavelength - low) / (high - low)
    return (1 - smooth) * f / factor + smooth * f
  })

/** Turns element p of each head with element p + headDim / 2, by the position, which is the row. */
const rope = (rows: Rows, headDim: number, turns: ReadonlyArray<number>): Rows =>
  rows.map((row, position) =>
    row.map((x, j) => {
      const [at, half] = [j % headDim, headDim / 2]
      const angle = position * turns[at % half]!
      const other = at < half ? -row[j + half]! : row[j - half]!
      return x * Math.cos(angle) + other * Math.sin(angle)
    })
  )

/** Normalises each head of each row by itself. */
const headNorm = (rows: Rows, headDim: number, weight: ArrayLike<number>, eps: number): Rows =>
  rows.map((row) => {
    const heads = Array.from(
      { length: row.length / headDim },
      (_, h) => row.slice(h * headDim, (h + 1) * headDim),
    )
    return rmsNorm(heads, weight, eps).flat()
  })

const isWindowed = ({ windows }: Tiny, layer: number): boolean =>
  windows !== undefined && (layer + 1) % windows.every !== 0

/** Logits after every token, `[tokens][vocab]`. */
export const reference = (tiny: Tiny, ids: ReadonlyArray<number>): Rows => {
  const { family, numQHeads, numKvHeads, headDim, model, eps, weights, windows } = tiny
  const has = (name: string) => weights.has(name)
  const of = (name: string) => weights.get(name)!.data
  const linear = (rows: Rows, name: string): Rows => {
    const { shape: [outs, ins], data } = weights.get(name)!
    return rows.map((row) =>
      Array.from(
        { length: outs! },
        (_, o) => row.reduce((s, x, i) => s + x * data[o * ins! + i]!, 0),
      )
    )
  }
  const projected = (rows: Rows, name: string): Rows => {
    const out = linear(rows, `${name}.weight`)
    const bias = family.biases ? of(`${name}.bias`) : undefined
    return bias === undefined ? out : out.map((row) => row.map((x, j) => x + bias[j]!))
  }
  const activate = family.activation === "silu" ? silu : gelu
  const multiplied = family.scaledEmbeddings ? Math.sqrt(model) : 1
  const embedding = of("token_embd.weight")
  const everywhere = frequencies(tiny.theta, headDim, tiny.scaling)
  const nearby = windows && frequencies(windows.theta, headDim, undefined)

  let x: Rows = ids.map((id) =>
    Array.from(embedding.subarray(id * model, (id + 1) * model), (e) => e * multiplied)
  )
  for (let i = 0; i < tiny.layers; i++) {
    const at = (name: string) => `blk.${i}.${name}`
    const near = isWindowed(tiny, i)
    const turns = near ? nearby! : everywhere
    const h = rmsNorm(x, of(at("attn_norm.weight")), eps)
    const head = (name: string): Rows => {
      const rows = projected(h, at(name))
      const norm = at(`${name}_norm.weight`)
      return rope(has(norm) ? headNorm(rows, headDim, of(norm), eps) : rows, headDim, turns)
    }
    const { out } = dense({
      q: head("attn_q").flat(),
      k: head("attn_k").flat(),
      v: projected(h, at("attn_v")).flat(),
      queryLen: ids.length,
      contextLen: ids.length,
      numQHeads,
      keyHeads: numKvHeads,
      valueHeads: numKvHeads,
      keyDim: headDim,
      valueDim: headDim,
    }, {
      scale: 1 / Math.sqrt(tiny.scalar ?? headDim),
      ...(near && { window: { last: windows!.last, sinks: 0 } }),
    })
    const width = numQHeads * headDim
    const joined = ids.map((_, t) => [...out.subarray(t * width, (t + 1) * width)])
    const post = (rows: Rows, name: string): Rows =>
      has(at(name)) ? rmsNorm(rows, of(at(name)), eps) : rows
    const attended = linear(joined, at("attn_output.weight"))
    x = add(x, post(attended, "post_attention_norm.weight"))
    const f = rmsNorm(x, of(at("ffn_norm.weight")), eps)
    const up = linear(f, at("ffn_up.weight"))
    const gated = linear(f, at("ffn_gate.weight"))
      .map((row, t) => row.map((g, j) => activate(g) * up[t]![j]!))
    x = add(x, post(linear(gated, at("ffn_down.weight")), "post_ffw_norm.weight"))
  }
  const last = rmsNorm(x, of("output_norm.weight"), eps)
  return linear(last, has("output.weight") ? "output.weight" : "token_embd.weight")
}
