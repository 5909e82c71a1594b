/** The tensor of a GGUF file that holds what divides each frequency of RoPE, as for Llama 3.1. @module */
import { Effect } from "effect"
import { BadModelFile, UnsupportedModel } from "../../errors.ts"
import type { Factors } from "../scaling.ts"
import type { Source } from "./Source.ts"
import { type Gguf, tensorBytes } from "../Gguf.ts"

/** What it is called. It is no weight: the checkpoint's tensors go without it. */
export const name = "rope_freqs.weight"

/** Its values, checked: one for each pair of `rotary` elements. Undefined where the file has none. */
export const read = (
  source: Source,
  { tensors }: Gguf,
  rotary: number,
): Effect.Effect<Factors, BadModelFile | UnsupportedModel> =>
  Effect.gen(function* () {
    const info = tensors.get(name)
    if (info === undefined) return undefined
    const { dtype, shape, offset } = info
    if (dtype !== "f32") {
      const what = `dtype of "${name}"`
      return yield* new UnsupportedModel({ what, value: dtype, supported: "f32" })
    }
    const bad = (offset: number, state: string) =>
      new BadModelFile({ file: source.name, offset, reason: `"${name}" ${state} is needed` })
    if (shape.length !== 1 || 2 * shape[0]! !== rotary) {
      return yield* bad(offset, `is [${shape.join(", ")}]: [${rotary / 2}], one for each pair,`)
    }
    const { buffer } = yield* tensorBytes(source, info)
    const factors = [...new Float32Array(buffer)]
    const wrong = factors.findIndex((factor) => !(factor > 0 && factor < Infinity))
    if (wrong === -1) return factors
    const state = `has ${factors[wrong]} at ${wrong}: a finite number above 0`
    return yield* bad(offset + 4 * wrong, state)
  })
