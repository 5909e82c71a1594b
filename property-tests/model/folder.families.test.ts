/** `config.json` of Qwen 2 and Gemma 3: what is read, and what is refused by its name. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { gemma3, qwen2 } from "../../lib/model/families.ts"
import { calledIn, canonicalIn } from "../../lib/model/folder/names.ts"
import { notRun as run, type Patch, readConfig } from "./folder.ts"
import { ok, reason } from "./vocabulary.ts"

/** What matters of Qwen2.5-0.5B's. */
const qwen: Patch = {
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  hidden_size: 896,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  num_hidden_layers: 24,
  head_dim: undefined,
  rope_theta: 1_000_000,
  use_sliding_window: false,
  sliding_window: 32_768,
  max_window_layers: 21,
}

/** What matters of gemma-3-270m's. */
const gemma: Patch = {
  architectures: ["Gemma3ForCausalLM"],
  model_type: "gemma3_text",
  hidden_act: undefined,
  hidden_activation: "gelu_pytorch_tanh",
  hidden_size: 640,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  num_hidden_layers: 18,
  head_dim: 256,
  query_pre_attn_scalar: 256,
  rope_theta: 1_000_000,
  rope_local_base_freq: 10_000,
  sliding_window: 512,
  _sliding_window_pattern: 6,
  layer_types: Array.from(
    { length: 18 },
    (_, i) => i % 6 === 5 ? "full_attention" : "sliding_attention",
  ),
}

test("Config of a folder of Qwen 2", () => {
  const config = ok(readConfig(qwen))
  assert.equal(config.family, qwen2)
  assert.deepEqual([config.headDim, config.theta, config.pairing], [64, 1_000_000, "half"])
  assert.deepEqual([config.window, config.windows, config.scale], [undefined, undefined, undefined])
  const full = new Array<string>(24).fill("full_attention")
  assert.deepEqual(ok(readConfig({ ...qwen, layer_types: full })), config)
})

test("Config of a folder of Gemma 3, as older and newer files have it", () => {
  const config = ok(readConfig(gemma))
  assert.equal(config.family, gemma3)
  assert.deepEqual(config.windows, { every: 6, theta: 10_000 })
  assert.deepEqual([config.window, config.headDim, config.scale], [512, 256, undefined])
  const none = {
    head_dim: undefined,
    query_pre_attn_scalar: undefined,
    rope_theta: undefined,
    rope_local_base_freq: undefined,
    _sliding_window_pattern: undefined,
    layer_types: undefined,
    hidden_activation: undefined,
  }
  assert.deepEqual(ok(readConfig({ ...gemma, ...none })), config)
  const older = { ...gemma, ...none, sliding_window_pattern: 3, query_pre_attn_scalar: 168 }
  assert.deepEqual(ok(readConfig(older)).windows, { every: 3, theta: 10_000 })
  assert.equal(ok(readConfig(older)).scale, 1 / Math.sqrt(168))
  const rope_parameters = {
    full_attention: { rope_type: "linear", factor: 8, rope_theta: 2e6 },
    sliding_attention: { rope_type: "default", rope_theta: 2e4 },
  }
  const newer = ok(readConfig({ ...gemma, ...none, rope_parameters }))
  assert.deepEqual([newer.theta, newer.windows?.theta], [2e6, 2e4])
  assert.deepEqual(newer.factors, new Array(128).fill(8))
})

const refusals: ReadonlyArray<readonly [what: string, patch: Patch, text: string]> = [
  [
    "a window of Qwen 2",
    { ...qwen, use_sliding_window: true },
    "run a model whose use_sliding_window is true: false is supported",
  ],
  [
    "windowed layers of Qwen 2",
    { ...qwen, layer_types: [...new Array(23).fill("full_attention"), "sliding_attention"] },
    run("type of layer 23", "sliding_attention", '"full_attention"'),
  ],
  [
    "another class of Qwen 2",
    { ...qwen, architectures: ["Qwen2ForSequenceClassification"] },
    run(
      "architecture",
      "Qwen2ForSequenceClassification",
      '"qwen2" of the class Qwen2ForCausalLM',
    ),
  ],
  [
    "another activation of Qwen 2",
    { ...qwen, hidden_act: "gelu" },
    run("hidden_act", "gelu", '"silu"'),
  ],
  [
    "a soft cap of scores",
    { ...gemma, attn_logit_softcapping: 50 },
    "run a model whose attn_logit_softcapping is 50: null is supported",
  ],
  [
    "a soft cap of logits",
    { ...gemma, final_logit_softcapping: 30 },
    "run a model whose final_logit_softcapping is 30: null is supported",
  ],
  [
    "attention to both sides",
    { ...gemma, use_bidirectional_attention: true },
    "run a model whose use_bidirectional_attention is true: false is supported",
  ],
  [
    "another activation of Gemma 3",
    { ...gemma, hidden_activation: "gelu" },
    run("hidden_activation", "gelu", '"gelu_pytorch_tanh"'),
  ],
  [
    "layers in another order",
    { ...gemma, layer_types: new Array(18).fill("full_attention") },
    run("type of layer 0", "full_attention", '"sliding_attention"'),
  ],
  [
    "a list of too few layers",
    { ...gemma, layer_types: [] },
    'read the model config.json at byte N: "layer_types" has 0 elements: 18 are needed',
  ],
  [
    "no window",
    { ...gemma, sliding_window: null },
    'read the model config.json at byte N: "sliding_window" is null: ' +
    "a whole number from 1 to 16777216 is needed",
  ],
  [
    "a scalar of 0",
    { ...gemma, query_pre_attn_scalar: 0 },
    'read the model config.json at byte N: "query_pre_attn_scalar" is 0: ' +
    "a number from 0.000001 to 1048576 is needed",
  ],
  [
    "stretched windows",
    { ...gemma, rope_parameters: { full_attention: {}, sliding_attention: { rope_type: "yarn" } } },
    run("RoPE scaling of sliding_attention", "yarn", '"default"'),
  ],
  [
    "a model that sees",
    { ...gemma, model_type: "gemma3", architectures: ["Gemma3ForConditionalGeneration"] },
    run(
      "architecture",
      "gemma3",
      '"llama" of the class LlamaForCausalLM, "qwen2" of the class Qwen2ForCausalLM or ' +
        '"gemma3_text" of the class Gemma3ForCausalLM',
    ),
  ],
]

for (const [what, patch, text] of refusals) {
  test(`Config of a folder refuses ${what}`, () => {
    assert.equal(reason(readConfig(patch)).replace(/at byte \d+/, "at byte N"), `Cannot ${text}`)
  })
}

test("Config of damaged folders of Qwen 2 and Gemma 3 fails with a type", () => {
  const rope = fc.record({
    rope_type: fc.constantFrom("default", "linear", "llama3", "yarn", 7),
    factor: fc.oneof(fc.double(), fc.constant(8)),
    low_freq_factor: fc.oneof(fc.double(), fc.constant(1)),
    high_freq_factor: fc.oneof(fc.double(), fc.constant(4)),
    original_max_position_embeddings: fc.oneof(fc.integer(), fc.constant(8192)),
    full_attention: fc.jsonValue({ maxDepth: 2 }),
    sliding_attention: fc.jsonValue({ maxDepth: 2 }),
  }, { requiredKeys: [] })
  const value = fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.integer(), fc.nat(99), rope)
  const keys = [...Object.keys(gemma), "rope_scaling", "rope_parameters", "head_dim"]
  let refused = 0
  fc.assert(
    fc.property(
      fc.constantFrom(qwen, gemma),
      fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 1, maxKeys: 2 }),
      (config, patch) => {
        const read = readConfig({ ...config, ...patch })
        if (Result.isSuccess(read)) {
          const { factors = [1], rotary } = read.success
          assert.ok(factors.every((factor) => factor >= 1 && factor <= 1e6))
          assert.ok(factors.length === 1 || factors.length === Math.floor(rotary / 2))
          return
        }
        refused++
        assert.match(read.failure._tag, /^(BadModelFile|UnsupportedModel)$/)
      },
    ),
    { numRuns: 500 },
  )
  assert.ok(refused > 50, `${refused}`)
})

test("Names of a folder depend on the family, and go back", () => {
  const name = "model.layers.3.post_attention_layernorm.weight"
  assert.equal(canonicalIn(qwen2)(name), "blk.3.ffn_norm.weight")
  assert.equal(canonicalIn(gemma3)(name), "blk.3.post_attention_norm.weight")
  assert.equal(canonicalIn(qwen2)("model.layers.0.self_attn.q_proj.bias"), "blk.0.attn_q.bias")
  // What a family does not have stays as it is, and is refused as unexpected.
  const norm = "model.layers.0.self_attn.q_norm.weight"
  assert.equal(canonicalIn(qwen2)(norm), norm)
  for (const family of [qwen2, gemma3]) {
    for (const one of [name, "lm_head.weight", "model.layers.9.mlp.up_proj.weight", "other"]) {
      assert.equal(calledIn(family)(canonicalIn(family)(one)), one)
    }
  }
})
