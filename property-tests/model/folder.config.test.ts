/** `config.json`: sizes are read as transformers reads them, and what is not built is named. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { llama } from "../../lib/model/families.ts"
import { notRun as run, type Patch, readConfig } from "./folder.ts"
import { ok, reason } from "./vocabulary.ts"

test("Config of a config.json is that of the GGUF file, and turns halves", () => {
  assert.deepEqual(ok(readConfig({})), {
    name: "kjv",
    layers: 6,
    model: 192,
    ffn: 512,
    vocab: 2048,
    numQHeads: 6,
    numKvHeads: 2,
    headDim: 32,
    rotary: 32,
    theta: 10000,
    factors: undefined,
    pairing: "half",
    family: llama,
    window: undefined,
    windows: undefined,
    scale: undefined,
    eps: 1e-5,
    context: 512,
  })
})

test("Config of a config.json takes what transformers takes for members that are missing or null", () => {
  const names = ["num_key_value_heads", "head_dim", "rope_theta", "rms_norm_eps", "hidden_act"]
  for (const value of [undefined, null]) {
    const bare = ok(readConfig({
      ...Object.fromEntries(names.map((name) => [name, value])),
      max_position_embeddings: value,
      architectures: value,
    }))
    const { numKvHeads, headDim, theta, eps, context } = bare
    assert.deepEqual([numKvHeads, headDim, theta, eps, context], [6, 32, 10000, 1e-6, 2048])
  }
  const newer = {
    rope_theta: undefined,
    rope_parameters: { rope_type: "default", rope_theta: 5e5 },
  }
  assert.equal(ok(readConfig(newer)).theta, 5e5)
})

const configs: ReadonlyArray<readonly [what: string, patch: Patch, text: string]> = [
  [
    "another family",
    { model_type: "mistral" },
    run(
      "architecture",
      "mistral",
      '"llama" of the class LlamaForCausalLM, "qwen2" of the class Qwen2ForCausalLM or ' +
        '"gemma3_text" of the class Gemma3ForCausalLM',
    ),
  ],
  [
    "another class",
    { architectures: ["LlamaForSequenceClassification"] },
    run("architecture", "LlamaForSequenceClassification", '"llama" of the class LlamaForCausalLM'),
  ],
  [
    "no family",
    { model_type: undefined },
    'read the model config.json at byte N: "model_type" is missing: a string is needed',
  ],
  [
    "biases of attention",
    { attention_bias: true },
    "run a model whose attention_bias is true: false is supported",
  ],
  [
    "biases of the MLP",
    { mlp_bias: true },
    "run a model whose mlp_bias is true: false is supported",
  ],
  ["another activation", { hidden_act: "gelu" }, run("hidden_act", "gelu", '"silu"')],
  ["half a RoPE", { partial_rotary_factor: 0.5 }, run("partial_rotary_factor", "0.5", "1")],
  [
    "heads that are no multiple",
    { num_key_value_heads: 4 },
    'read the model config.json at byte N: "num_attention_heads" is 6 for 4 key/value heads: a multiple is needed',
  ],
  [
    "heads that do not divide the width",
    { num_attention_heads: 5, num_key_value_heads: 5, head_dim: null },
    'read the model config.json at byte N: "head_dim" is null: a whole number from 1 to 4096 is needed',
  ],
  ...([0, -1, 1.5, 2 ** 21, "6", null, [6], {}, true] as const).map((value) =>
    [
      `${JSON.stringify(value)} layers`,
      { num_hidden_layers: value },
      `read the model config.json at byte N: "num_hidden_layers" is ${
        Array.isArray(value)
          ? "an array"
          : value?.constructor === Object
          ? "an object"
          : JSON.stringify(value)
      }: a whole number from 1 to 1024 is needed`,
    ] as const
  ),
]

for (const [what, patch, text] of configs) {
  test(`Config of a config.json refuses ${what}`, () => {
    assert.equal(reason(readConfig(patch)).replace(/at byte \d+/, "at byte N"), `Cannot ${text}`)
  })
}
