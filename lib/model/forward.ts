/** The forward pass of the Llama family, as launches inside a step. @module */
import { Effect } from "effect"
import * as Attention from "../attention/Attention.ts"
import type { Step } from "../cache/Step.ts"
import type { Recording } from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"
import type { Config } from "./Config.ts"
import type { Layer, Weights } from "./Weights.ts"

type Hidden = Tensor.Tensor<"f32", "tokens model">

/** Queries, keys and values of each head: projected, with biases and norms where the family has them. */
const heads = Effect.fnUntraced(function* (config: Config, w: Layer, h: Hidden) {
  const { numQHeads, numKvHeads, headDim } = config
  let q = yield* Tensor.linear(h, w.attn_q)
  let k = yield* Tensor.linear(h, w.attn_k)
  let v = yield* Tensor.linear(h, w.attn_v)
  const [qBias, kBias, vBias] = [w["attn_q.bias"], w["attn_k.bias"], w["attn_v.bias"]]
  if (qBias !== undefined) q = yield* Tensor.addBias(q, qBias)
  if (kBias !== undefined) k = yield* Tensor.addBias(k, kBias)
  if (vBias !== undefined) v = yield* Tensor.addBias(v, vBias)
  const [qNorm, kNorm] = [w["attn_q_norm.weight"], w["attn_k_norm.weight"]]
  const sizes = {
    numQHeads,
    keyHeads: numKvHeads,
    valueHeads: numKvHeads,
    headDim,
    valueDim: headDim,
  }
  let qs = yield* Effect.fromResult(Tensor.split(q, "qDim", "numQHeads headDim", sizes))
  let ks = yield* Effect.fromResult(Tensor.split(k, "kvDim", "keyHeads headDim", sizes))
  const vs = yield* Effect.fromResult(Tensor.split(v, "kvDim", "valueHeads valueDim", sizes))
  if (qNorm !== undefined) qs = yield* Tensor.rmsNorm(qs, qNorm, config)
  if (kNorm !== undefined) ks = yield* Tensor.rmsNorm(ks, kNorm, config)
  return { q: qs, k: ks, v: vs }
})

const attention = Effect.fnUntraced(function* (
  config: Config,
  weights: Weights,
  x: Hidden,
  step: Step,
  layer: number,
) {
  const w = weights.layers[layer]!
  const turns = weights.turns[layer]!
  const h = yield* Tensor.rmsNorm(x, w.attn_norm, config)
  const { q, k, v } = yield* heads(config, w, h)
  const { out } = yield* Attention.attend(step, layer, {
    q: yield* Tensor.rope(q, step.positions, turns, config),
    k: yield* Tensor.rope(k, step.positions, turns, config),
    v,
  }, config.scale === undefined ? {} : { scale: config.scale })
  const joined = Tensor.join(out, "numQHeads valueDim", "qDim")
  const norm = w["post_attention_norm.weight"]
  if (norm === undefined) return yield* Tensor.linearAdd(joined, w.attn_output, x)
  const made = yield* Tensor.linear(joined, w.attn_output)
  return yield* Tensor.add(x, yield* Tensor.rmsNorm(made, norm, config))
})

const feedForward = Effect.fnUntraced(function* (config: Config, w: Layer, x: Hidden) {
  const h = yield* Tensor.rmsNorm(x, w.ffn_norm, config)
  const gated = yield* Tensor.gated(h, w.ffn_gate, w.ffn_up, config.family.activation)
  const norm = w["post_ffw_norm.weight"]
  if (norm === undefined) return yield* Tensor.linearAdd(gated, w.ffn_down, x)
  const made = yield* Tensor.linear(gated, w.ffn_down)
  return yield* Tensor.add(x, yield* Tensor.rmsNorm(made, norm, config))
})

/** Hidden states of a step's tokens after the last norm; writes every layer's keys and values. */
export const forward: (
  config: Config,
  weights: Weights,
  step: Step,
  ids: Tensor.Tensor<"u32", "tokens">,
) => Effect.Effect<Hidden, Attention.AttendError, Recording> = Effect.fnUntraced(function* (
  config,
  weights,
  step,
  ids,
) {
  let x: Hidden = yield* Tensor.embed(ids, weights.embed)
  if (config.family.scaledEmbeddings) x = yield* Tensor.scale(x, Math.sqrt(config.model))
  for (const [i, layer] of weights.layers.entries()) {
    x = yield* attention(config, weights, x, step, i)
    x = yield* feedForward(config, layer, x)
  }
  return yield* Tensor.rmsNorm(x, weights.norm, config)
})
