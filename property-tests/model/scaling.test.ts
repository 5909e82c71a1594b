/** Stretched frequencies: the numbers of a public model, and every way of files to say them. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Checkpoint from "../../lib/model/Checkpoint.ts"
import type { Config } from "../../lib/model/Config.ts"
import { Gguf, Source } from "../../mod.ts"
import { notRun as run, type Patch, readConfig } from "./folder.ts"
import { frequencies } from "./reference.ts"
import { ggufOf } from "./tiny.files.ts"
import { type Tiny, tinyGemma3, tinyLlama, tinyLlama3, type Weight } from "./tiny.ts"
import { ok, reason } from "./vocabulary.ts"
import { entry, f32, type Part, string, types, u32 } from "./writer.ts"

const scaling = {
  rope_type: "llama3",
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
} as const

/** What matters here of the `config.json` of Llama 3.2 1B. */
const llama32: Patch = {
  hidden_size: 2048,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  max_position_embeddings: 131_072,
  rope_theta: 500_000,
}

const near = (a: number, b: number, what: string) =>
  assert.ok(Math.abs(a - b) <= 1e-12 * Math.abs(b), `${what}: ${a} and ${b}`)

test("Factors of Llama 3.2 1B are those of transformers", () => {
  const { factors, theta, rotary } = ok(readConfig({ ...llama32, rope_scaling: scaling }))
  const want = frequencies(500_000, 64, scaling)
  const plain = frequencies(500_000, 64, undefined)
  assert.deepEqual([theta, rotary, factors?.length], [500_000, 64, 32])
  for (const [p, factor] of factors!.entries()) near(plain[p]! / factor, want[p]!, `pair ${p}`)
  const count = (is: (factor: number) => boolean) => factors!.filter(is).length
  // Wavelengths below 2,048 tokens, up to 8,192, and above.
  assert.deepEqual([count((f) => f === 1), count((f) => f === 32)], [15, 14])
  assert.equal(factors![14], 1)
  assert.equal(factors![18], 32)
})

test("Factors are read wherever a config.json has them", () => {
  const older = ok(readConfig({ ...llama32, rope_scaling: scaling })).factors
  const parameters = { ...scaling, rope_theta: 500_000 }
  const newer = { ...llama32, rope_theta: undefined, rope_parameters: parameters }
  const read = ok(readConfig(newer))
  assert.deepEqual([read.factors, read.theta], [older, 500_000])
  const linear = { type: "linear", factor: 4 }
  assert.deepEqual(ok(readConfig({ rope_scaling: linear })).factors, new Array(16).fill(4))
  for (const rope_scaling of [null, { type: "default" }, { type: "linear", factor: 1 }]) {
    assert.equal(ok(readConfig({ rope_scaling })).factors, undefined)
  }
})

const scaled = (patch: Patch): Patch => ({ rope_scaling: { ...scaling, ...patch } })
const at = 'read the model config.json at byte N: "rope_scaling.'

const refusals: ReadonlyArray<readonly [what: string, patch: Patch, text: string]> = [
  ...["yarn", "dynamic", "longrope"].map((rope_type) =>
    [
      rope_type,
      scaled({ rope_type }),
      run("RoPE scaling", rope_type, '"linear" or "llama3"'),
    ] as const
  ),
  [
    "yarn in a newer file",
    { rope_parameters: { rope_type: "yarn" } },
    run("RoPE scaling", "yarn", '"linear" or "llama3"'),
  ],
  [
    "no factor",
    { rope_scaling: { type: "linear" } },
    at + 'factor" is missing: a number from 1 to 1000000 is needed',
  ],
  [
    "a factor below 1",
    scaled({ factor: 0 }),
    at + 'factor" is 0: a number from 1 to 1000000 is needed',
  ],
  [
    "a low factor of 0",
    scaled({ low_freq_factor: 0 }),
    at + 'low_freq_factor" is 0: a number from 0.000001 to 1000000 is needed',
  ],
  [
    "factors that are no range",
    scaled({ high_freq_factor: 1 }),
    at + 'high_freq_factor" is 1: a number above "low_freq_factor", 1, is needed',
  ],
  [
    "no original context",
    scaled({ original_max_position_embeddings: null }),
    at + 'original_max_position_embeddings" is null: a whole number from 1 to 16777216 is needed',
  ],
]

for (const [what, patch, text] of refusals) {
  test(`Factors of a config.json refuse ${what}`, () => {
    assert.equal(reason(readConfig(patch)).replace(/at byte \d+/, "at byte N"), `Cannot ${text}`)
  })
}

const opened = (data: Uint8Array) =>
  Effect.runPromise(Effect.result(Checkpoint.fromGguf(Source.bytes("tiny.gguf", data))))

const configOf = async (tiny: Tiny, ...extra: ReadonlyArray<Part>): Promise<Config> =>
  ok(await opened(ggufOf(tiny, extra))).config

const type = (name: string) => entry("llama.rope.scaling.type", types.string, string(name))
const factor = (x: number) => entry("llama.rope.scaling.factor", types.f32, f32(x))
const fours = new Array(8).fill(4)

test("Factors of a GGUF file are its tensor's, its linear factor's, or both", async () => {
  assert.equal((await configOf(tinyLlama)).factors, undefined)
  assert.equal((await configOf(tinyLlama, type("none"), factor(4))).factors, undefined)
  assert.deepEqual((await configOf(tinyLlama, type("linear"), factor(4))).factors, fours)
  // As llama.cpp has it, a factor without a type is linear.
  assert.deepEqual((await configOf(tinyLlama, factor(4))).factors, fours)
  const own = (await configOf(tinyLlama3)).factors!
  assert.deepEqual([own[0], own[7]], [1, 8])
  const both = (await configOf(tinyLlama3, factor(4))).factors!
  assert.deepEqual(both, own.map((f) => 4 * f))
})

test("Windows and scale of a GGUF file are its own, or those of its family", async () => {
  const gemma = await configOf(
    tinyGemma3,
    entry("gemma3.rope.freq_base_swa", types.f32, f32(20_000)),
  )
  assert.deepEqual(gemma.windows, { every: 3, theta: 20_000 })
  assert.deepEqual([gemma.window, gemma.scale], [5, undefined])
  const plain = { ...tinyGemma3, windows: undefined } as unknown as Tiny
  const window = entry("gemma3.attention.sliding_window", types.u32, u32(512))
  assert.deepEqual((await configOf(plain, window)).windows, { every: 6, theta: 10_000 })
  // The one with 62 layers divides scores by the root of width over heads.
  const wide = { ...tinyGemma3, layers: 62 }
  assert.equal((await configOf(wide)).scale, 1 / Math.sqrt(64 / 4))
})

const name = "rope_freqs.weight"
const withFactors = (tiny: Tiny, weight: Weight) =>
  ggufOf({ ...tiny, weights: new Map([...tiny.weights, [name, weight]]) })
const vector = (...data: ReadonlyArray<number>): Weight => ({
  shape: [data.length],
  data: Float32Array.from(data),
})

const damaged: ReadonlyArray<readonly [what: string, data: Uint8Array, text: string]> = [
  [
    "yarn",
    ggufOf(tinyLlama, [type("yarn")]),
    run("RoPE scaling", "yarn", '"none" or "linear"'),
  ],
  [
    "linear without a factor",
    ggufOf(tinyLlama, [type("linear")]),
    'read the model tiny.gguf at byte N: "llama.rope.scaling.factor" is missing: ' +
    "a number from 1 to 1000000 is needed",
  ],
  [
    "a factor that is no number",
    ggufOf(tinyLlama, [factor(NaN)]),
    'read the model tiny.gguf at byte N: "llama.rope.scaling.factor" is NaN: ' +
    "a number from 1 to 1000000 is needed",
  ],
  [
    "soft caps",
    ggufOf(tinyGemma3, [entry("gemma3.final_logit_softcapping", types.f32, f32(30))]),
    "run a model whose final_logit_softcapping is 30: none is supported",
  ],
  [
    "factors for other pairs",
    withFactors(tinyLlama, vector(1, 2, 3)),
    'read the model tiny.gguf at byte N: "rope_freqs.weight" is [3]: [8], one for each pair, is needed',
  ],
  [
    "factors of bf16",
    withFactors(tinyLlama, { shape: [8, 1], data: new Float32Array(8).fill(1) }),
    'run a model whose dtype of "rope_freqs.weight" is bf16: f32 is supported',
  ],
  ...[0, -1, NaN, Infinity].map((x) =>
    [
      `a factor of ${x}`,
      withFactors(tinyLlama, vector(1, 1, 1, x, 1, 1, 1, 1)),
      `read the model tiny.gguf at byte N: "rope_freqs.weight" has ${x} at 3: ` +
      "a finite number above 0 is needed",
    ] as const
  ),
]

for (const [what, data, text] of damaged) {
  test(`Factors of a GGUF file refuse ${what}`, async () => {
    const said = reason(await opened(data)).replace(/at byte \d+/, "at byte N")
    assert.equal(said, `Cannot ${text}`)
  })
}

test("Factors that are refused are found by the byte, and those of windowed models stay a tensor", async () => {
  const data = withFactors(tinyLlama, vector(1, 1, 1, 0, 1, 1, 1, 1))
  const { offset } = Result.getOrThrow(Gguf.parse("tiny.gguf", data)).tensors.get(name)!
  assert.match(reason(await opened(data)), new RegExp(`at byte ${offset + 12}: `))
  const gemma = ok(await opened(withFactors(tinyGemma3, vector(...new Array(16).fill(1)))))
  assert.ok(gemma.tensors.has(name))
  assert.ok(!ok(await opened(ggufOf(tinyLlama3))).tensors.has(name))
})
