/** Folders of safetensors load, sharded or not, and half-complete ones say what is missing. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { basename, join } from "node:path"
import { test } from "node:test"
import { bf16, bf16OfBits, bitsOf, f16 } from "../../kernels/half.ts"
import { Llama } from "../../mod.ts"
import { config, type Content, type Files, hf, refusal, tensors, withFolder } from "./folder.ts"
import { cpu, speak } from "./llama.ts"
import { type Data, file, fileOf, row } from "./safetensors.ts"

const own = { "config.json": "as is", "tokenizer.json": "as is" }

/** Every logit after a prompt, by id. */
const logitsOf = (path: string): Promise<ReadonlyMap<number, number>> =>
  Effect.runPromise(Effect.provide(
    Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.load(path)
      const options = { temperature: 0, maxTokens: 1, topLogits: llama.config.vocab }
      const { topLogits } = yield* speak(llama, "In the beginning God created", options)
      return new Map(topLogits[0])
    })),
    cpu,
  ))

/** The tensors rounded to bf16, as some dtype that holds that. */
const rounded = (dtype: "BF16" | "F32"): ReadonlyArray<Data> =>
  tensors.map(({ data, ...rest }) => {
    const bits = bitsOf(Float32Array.from(new Uint16Array(data.buffer), (half) => f16[half]!))
    const narrow = Uint16Array.from(bits, bf16OfBits)
    const stored = dtype === "BF16" ? narrow : Float32Array.from(narrow, (half) => bf16[half]!)
    return { ...rest, dtype, data: new Uint8Array(stored.buffer) }
  })

const shard = (i: number) => `model-0000${i + 1}-of-00003.safetensors`

/** Three shards and their index. */
const sharded = (all: ReadonlyArray<Data>): Files => {
  const parts = [all.slice(0, 10), all.slice(10, 40), all.slice(40)]
  const map = parts.flatMap((part, i) => part.map(({ name }) => [name, shard(i)] as const))
  return {
    ...Object.fromEntries(parts.map((part, i) => [shard(i), fileOf(part)])),
    "model.safetensors.index.json": {
      metadata: { total_size: 5_510_016 },
      weight_map: Object.fromEntries(map),
    },
  }
}

test("Llama.load() reads sharded bf16 as f32 of the same values, and near the f16 they are of", {
  timeout: 60_000,
}, async () => {
  const [whole, bf16Logits, f32Logits] = [
    await logitsOf(hf),
    await withFolder({ ...own, ...sharded(rounded("BF16")) }, logitsOf),
    await withFolder({ ...own, "model.safetensors": fileOf(rounded("F32")) }, logitsOf),
  ]
  assert.equal(whole.size, 2048)
  assert.deepEqual(bf16Logits, f32Logits)
  const errors = Array.from(whole, ([id, logit]) => Math.abs(logit - bf16Logits.get(id)!))
  const largest = Math.max(...errors)
  console.log(`sharded bf16 against f16: largest logit difference ${largest.toExponential(1)}`)
  // A weight keeps 8 bits of 11: half a unit in the last place is 2^-9 of it.
  assert.ok(largest > 0 && largest < 0.1, `${largest}`)
})

test("Llama.load() tells progress in bytes of the device, one tensor at a time", {
  timeout: 60_000,
}, async () => {
  const told: Array<readonly [number, number]> = []
  let headers = 0
  const options: Llama.LoadOptions = {
    progress: ({ phase, done, total }) =>
      Effect.sync(() => void (phase === "header" ? headers++ : told.push([done, total]))),
  }
  const load = Effect.scoped(Effect.map(Llama.load(hf, options), ({ weights }) => weights.bytes))
  const bytes = await Effect.runPromise(Effect.provide(load, cpu))
  assert.deepEqual([headers, told.length], [1, tensors.length + 1])
  const done = told.map(([done]) => done)
  assert.deepEqual([done[0], done.at(-1)], [0, bytes])
  assert.ok(done.every((at, i) => i === 0 || at > done[i - 1]!))
  assert.ok(told.every(([, total]) => total === bytes))
  // Norms are widened: 13 vectors of 192 elements take 2 bytes more each.
  const stored = tensors.reduce((sum, { data }) => sum + data.length, 0)
  assert.equal(bytes, stored + 13 * 192 * 2)
})

const weights = { "model.safetensors": "as is" }
const index = (map: unknown) => ({ ...own, "model.safetensors.index.json": { weight_map: map } })
const tiny = (...names: ReadonlyArray<string>) =>
  file(
    Object.fromEntries(names.map((n, i) => [n, row("F32", [1], 4 * i, 4 * i + 4)])),
    4 * names.length,
  )

/** The files of a folder, and all that is said of it. */
const halves: ReadonlyArray<
  readonly [what: string, files: Files, text: string]
> = [
  ["nothing", {}, "DIR/config.json at byte 0: there is no such file"],
  [
    "no vocabulary",
    { "config.json": "as is", ...weights },
    "DIR/tokenizer.json at byte 0: there is no such file",
  ],
  [
    "no weights",
    own,
    "DIR at byte 0: it has neither model.safetensors nor model.safetensors.index.json",
  ],
  [
    "half a config",
    { ...own, ...weights, "config.json": '{"model_type": "llama",' },
    "DIR/config.json at byte 23: it ends: a key is needed",
  ],
  [
    "an empty vocabulary file",
    { ...own, ...weights, "tokenizer.json": "" },
    "DIR/tokenizer.json at byte 0: it ends: a value is needed",
  ],
  [
    "weights that are a pointer to them",
    { ...own, "model.safetensors": "version https://git-lfs.github.com/spec/v1" },
    "DIR/model.safetensors at byte 0: it is a pointer of Git LFS: the file itself is needed",
  ],
  [
    "damaged optional files",
    { ...own, ...weights, "generation_config.json": "[]" },
    "DIR/generation_config.json at byte 0: it is not an object",
  ],
  [
    "an index without a map",
    { ...own, "model.safetensors.index.json": {} },
    'DIR/model.safetensors.index.json at byte 0: "weight_map" is missing: an object is needed',
  ],
  [
    "an index of a file that is not there",
    index({ a: "x.safetensors" }),
    "DIR/x.safetensors at byte 0: there is no such file",
  ],
  ...["../x.safetensors", "/x.safetensors", "a/x.safetensors", "..\\x.safetensors", "x.bin", ""]
    .map(
      (name) =>
        [
          `an index of ${JSON.stringify(name)}`,
          index({ a: name }),
          `DIR/model.safetensors.index.json at byte 1: "weight_map.a" is ${
            JSON.stringify(name)
          }: ` +
          "the name of a .safetensors file beside it is needed",
        ] as const,
    ),
  [
    "an index of a number",
    index({ a: 1 }),
    'DIR/model.safetensors.index.json at byte 1: "weight_map.a" is 1: ' +
    "the name of a .safetensors file beside it is needed",
  ],
  [
    "an index of 1,025 files",
    index(Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, `${i}.safetensors`]))),
    'DIR/model.safetensors.index.json at byte 1: "weight_map" has 1025 files: over limits.shards, 1024',
  ],
  [
    "a shard that lacks a tensor",
    { ...index({ a: "x.safetensors", b: "x.safetensors" }), "x.safetensors": tiny("a") },
    'DIR/model.safetensors.index.json at byte 1: tensor "b" should be in x.safetensors, and is not',
  ],
  [
    "a shard with a tensor more",
    { ...index({ a: "x.safetensors" }), "x.safetensors": tiny("a", "b") },
    'DIR/x.safetensors at byte 119: tensor "b" is in this file, and not so in DIR/model.safetensors.index.json',
  ],
  [
    "a tensor in two shards",
    {
      ...index({ a: "x.safetensors", b: "y.safetensors" }),
      "x.safetensors": tiny("a", "b"),
      "y.safetensors": tiny("b"),
    },
    'DIR/x.safetensors at byte 119: tensor "b" is in this file, and not so in DIR/model.safetensors.index.json',
  ],
  [
    "a tensor by both its names",
    {
      ...own,
      "model.safetensors": tiny("model.norm.weight", "output_norm.weight"),
    },
    'DIR/model.safetensors at byte 152: tensor "output_norm.weight" is there as "model.norm.weight" too',
  ],
]

for (const [what, files, text] of halves) {
  test(`Llama.open() of a folder refuses ${what}`, async () => {
    assert.equal(await withFolder(files, refusal), `Cannot read the model ${text}`)
  })
}

test("Llama.open() says that weights alone are no model", async () => {
  assert.equal(
    await refusal(join(hf, "model.safetensors")),
    "Cannot read the model DIR at byte 0: " +
      "weights alone have no vocabulary and no sizes: name the folder they are in",
  )
})

const untied = { tie_word_embeddings: false }
const changed = (change: (one: Data) => Data | ReadonlyArray<Data>): Content =>
  fileOf(tensors.flatMap(change))
const q = "model.layers.3.self_attn.q_proj.weight"
const vector = { dtype: "F16", shape: [192], data: new Uint8Array(384) }

/** Weights that do not fit the config, and what is said of them. */
const misfits: ReadonlyArray<readonly [what: string, weights: Content, text: string]> = [
  [
    "a tensor that is missing",
    changed((one) => one.name === q ? [] : one),
    `read the model DIR at byte 0: the tensor "${q}" is missing`,
  ],
  [
    "a tensor that is turned",
    changed((one) => one.name === q ? { ...one, shape: [96, 384] } : one),
    `read the model DIR/model.safetensors at byte AT: "${q}" is [96, 384]: ` +
    "[192, 192] (qDim model) is needed",
  ],
  [
    "a bias",
    changed((one) =>
      one.name === q ? [one, { ...vector, name: q.replace("weight", "bias") }] : one
    ),
    'run a model whose unexpected tensor is "model.layers.3.self_attn.q_proj.bias": ' +
    'a "llama" without it is supported',
  ],
]

for (const [what, content, text] of misfits) {
  test(`Llama.load() of a folder refuses ${what}`, { timeout: 60_000 }, async () => {
    const files = { ...own, "model.safetensors": content }
    const message = await withFolder(files, async (path) => {
      const failing = Effect.flip(Effect.scoped(Llama.load(path)))
      const { message } = await Effect.runPromise(Effect.provide(failing, cpu))
      return message.replaceAll(path, "DIR")
    })
    assert.equal(message.replace(/byte [1-9]\d*/, "byte AT"), `Cannot ${text}`)
  })
}

test(
  "Llama.load() of a folder takes the head of its own where it is not tied, and no tables of RoPE",
  {
    timeout: 60_000,
  },
  async () => {
    const [embed] = tensors
    const table = "model.layers.0.self_attn.rotary_emb.inv_freq"
    const zeros = { ...embed!, name: "lm_head.weight", data: new Uint8Array(embed!.data.length) }
    const all = fileOf([...tensors, zeros, { ...vector, name: table }])
    const headless = { ...own, ...weights, "config.json": { ...config, ...untied } }
    assert.equal(
      await withFolder(headless, refusal),
      'Cannot read the model DIR at byte 0: the tensor "lm_head.weight" is missing: ' +
        '"tie_word_embeddings" is false',
    )
    const apart = await withFolder({ ...headless, "model.safetensors": all }, logitsOf)
    assert.deepEqual(new Set(apart.values()), new Set([0]))
    const tied = await withFolder({ ...own, "model.safetensors": all }, logitsOf)
    assert.deepEqual(tied, await logitsOf(hf))
  },
)

test("Llama.open() of a folder finds the chat template, in a file or in tokenizer_config.json", async () => {
  const templateOf = (files: Files) =>
    withFolder(
      { ...own, ...weights, ...files },
      (path) =>
        Effect.runPromise(Effect.scoped(Effect.map(Llama.open(path), ({ template }) =>
          Result.match(template, {
            onFailure: ({ message }) => message.replaceAll(path, "DIR"),
            onSuccess: ({ file, source }) => `${basename(file)}: ${source}`,
          })))),
    )
  const config = (chat_template: unknown) => ({ "tokenizer_config.json": { chat_template } })
  assert.match(await templateOf({}), /^Cannot run a model whose chat template is missing: /)
  assert.equal(await templateOf(config("{{ 1 }}")), "tokenizer_config.json: {{ 1 }}")
  const several = ["tool_use", "default"].map((name) => ({ name, template: `{{ ${name} }}` }))
  assert.equal(await templateOf(config(several)), "tokenizer_config.json: {{ default }}")
  const file = { "chat_template.jinja": "{{ 2 }}" }
  assert.equal(await templateOf({ ...config("{{ 1 }}"), ...file }), "chat_template.jinja: {{ 2 }}")
  assert.match(
    await templateOf(config([])),
    /"chat_template" has no template of the name "default"$/,
  )
  assert.match(await templateOf(config(7)), /"chat_template" is 7: a string is needed$/)
  const large = { "chat_template.jinja": "x".repeat(2 ** 20) }
  const odd = { "chat_template.jinja": Uint8Array.of(0x7b, 0xff) }
  assert.match(await templateOf(odd), /chat_template.jinja at byte 0: it is not UTF-8$/)
  assert.match(await templateOf(large), /it has 1048576 bytes: over limits.template, 65536$/)
})
