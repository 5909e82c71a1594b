/** The forward pass of the Llama family, as launches inside a step. @module */
import { Effect } from "effect"
import * as Attention from "../attention/Attention.ts"
import type { Step } from "../cache/Step.ts"
import type { Recording } from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"
import type { Config } from "./Config.ts"
import type { Layer, Weights } from "./Weights.ts"

type Hidden = Tensor.Tensor<"f32", "tokens model">

const attention = Effect.fnUntraced(function* (
  config: Config,
  { turns, layers }: Weights,
  x: Hidden,
  step: Step,
  layer: number,
) {
  const w = layers[layer]!
  const { numQHeads, numKvHeads, headDim, eps } = config
  const h = yield* Tensor.rmsNorm(x, w.attn_norm, { eps })
  const q = yield* Effect.fromResult(
    Tensor.split(yield* Tensor.linear(h, w.attn_q), "qDim", "numQHeads headDim", {
      numQHeads,
      headDim,
    }),
  )
  const k = yield* Effect.fromResult(
    Tensor.split(yield* Tensor.linear(h, w.attn_k), "kvDim", "keyHeads headDim", {
      keyHeads: numKvHeads,
      headDim,
    }),
  )
  const v = yield* Effect.fromResult(
    Tensor.split(yield* Tensor.linear(h, w.attn_v), "kvDim", "valueHeads valueDim", {
      valueHeads: numKvHeads,
      valueDim: headDim,
    }),
  )
  const { out } = yield* Attention.attend(step, layer, {
    q: yield* Tensor.rope(q, step.positions, turns, config),
    k: yield* Tensor.rope(k, step.positions, turns, config),
    v,
  })
  return yield* Tensor.linear(Tensor.join(out, "numQHeads valueDim", "qDim"), w.attn_output)
})

const feedForward = Effect.fnUntraced(function* (config: Config, w: Layer, x: Hidden) {
  const h = yield* Tensor.rmsNorm(x, w.ffn_norm, config)
  const gate = yield* Tensor.silu(yield* Tensor.linear(h, w.ffn_gate))
  return yield* Tensor.linear(
    yield* Tensor.mul(gate, yield* Tensor.linear(h, w.ffn_up)),
    w.ffn_down,
  )
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
  for (const [i, layer] of weights.layers.entries()) {
    x = yield* Tensor.add(x, yield* attention(config, weights, x, step, i))
    x = yield* Tensor.add(x, yield* feedForward(config, layer, x))
  }
  return yield* Tensor.rmsNorm(x, weights.norm, config)
})
