/** A GGUF file of a whole model, whose keys and tensors are spoilt by name, opened as a model. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { type Checkpoint, fromGguf } from "../../../lib/model/Checkpoint.ts"
import * as Chat from "../../../lib/model/Chat.ts"
import { most } from "../../../lib/model/Config.ts"
import * as Source from "../../../lib/model/gguf/Source.ts"
import * as Tokenizer from "../../../lib/model/Tokenizer.ts"
import { smollm2 } from "../../model/chat.templates.ts"
import { types } from "../../model/writer.ts"
import { guarded, type Outcome } from "../guard.ts"
import { hostileWhole } from "../hostile.ts"
import type { Random } from "../random.ts"
import { anyProse } from "../tokenizer/make.ts"
import {
  anyEntry,
  bytesOf,
  type Data,
  type Described,
  type Entry,
  type Row,
  scalar,
} from "./describe.ts"
import { lie, spoil } from "./mutate.ts"
import { write } from "./write.ts"

const whole = (key: string, data: number): Entry => ({
  key,
  type: types.u32,
  of: types.u32,
  data: BigInt(data),
})
const number = (key: string, data: number): Entry => ({ key, type: types.f32, of: types.f32, data })
const text = (key: string, data: string): Entry => ({
  key,
  type: types.string,
  of: types.string,
  data,
})
const list = (key: string, of: number, data: ReadonlyArray<Data>): Entry => ({
  key,
  type: types.array,
  of,
  data: [...data],
})

const words = ["<s>", "</s>", "a", "b", "ab", "Ġ", "Ġa", "c", "<0x0A>", "▁", "▁a", "th", "t", "h"]

const model = (random: Random): Described => {
  const scored = random.oneIn(2)
  const own = (name: string) => `${random.oneIn(50) ? "qwen2" : "llama"}.${name}`
  const kinds = words.map((word, id) => BigInt(id < 2 ? 3 : word.startsWith("<0x") ? 6 : 1))
  const entries: Array<Entry> = [
    text("general.architecture", "llama"),
    text("tokenizer.ggml.model", scored ? "llama" : "gpt2"),
    text("tokenizer.ggml.pre", random.pick(["gpt-2", "smollm", "llama-bpe", "qwen2", "default"])),
    list("tokenizer.ggml.tokens", types.string, words),
    list("tokenizer.ggml.token_type", types.i32, kinds),
    list("tokenizer.ggml.merges", types.string, ["a b", "Ġ a", "t h"]),
    list("tokenizer.ggml.scores", types.f32, words.map((_, id) => -id)),
    whole("tokenizer.ggml.bos_token_id", 0),
    whole("tokenizer.ggml.eos_token_id", 1),
    { key: "tokenizer.ggml.add_bos_token", type: types.bool, of: types.bool, data: true },
    text("tokenizer.chat_template", smollm2),
    whole(own("block_count"), 1),
    whole(own("context_length"), 64),
    whole(own("embedding_length"), 8),
    whole(own("feed_forward_length"), 8),
    whole(own("attention.head_count"), 2),
    whole(own("attention.head_count_kv"), 1),
    number(own("attention.layer_norm_rms_epsilon"), 1e-5),
    number(own("rope.freq_base"), 10_000),
    ...(random.oneIn(2) ? [] : [
      text(own("rope.scaling.type"), random.pick(["linear", "none", "linear", "yarn"])),
      number(own("rope.scaling.factor"), 2),
    ]),
    ...(random.oneIn(3)
      ? []
      : [whole(own("attention.key_length"), 4), whole(own("rope.dimension_count"), 4)]),
  ]
  const rows: Array<Row> = [
    { name: "token_embd.weight", sizes: [8n, 14n], type: 0, offset: 0n },
    { name: "output_norm.weight", sizes: [8n], type: 0, offset: 0n },
    { name: "rope_freqs.weight", sizes: [2n], type: 0, offset: 0n },
  ]
  let end = 0n
  for (const row of rows) {
    row.offset = (end + 31n) / 32n * 32n
    end = row.offset + bytesOf(row)
  }
  return { version: 3, entries, rows, alignment: 32, data: Number(end) }
}

const spoilers: Readonly<Record<string, (random: Random, entry: Entry, all: Described) => void>> = {
  "another number": (random, entry) => {
    if (entry.type === types.u32) {
      Object.assign(entry, { type: types.u64, data: hostileWhole(random) })
    } else if (entry.type === types.f32) entry.data = scalar(random, types.f32)
  },
  "a number near": (random, entry) => {
    if (typeof entry.data === "bigint") entry.data += BigInt(random.pick([-1, 1, 2, 3, 1000, 4096]))
  },
  "a large number": (random, entry) => {
    if (entry.type === types.u32) entry.data = BigInt(random.pick([4097, 65_536, 2 ** 20, 2 ** 24]))
  },
  "minus one": (_, entry) => {
    Object.assign(entry, { type: types.i32, of: types.i32, data: -1n })
  },
  "another type": (random, entry) => {
    Object.assign(entry, anyEntry(random, entry.key))
  },
  "missing": (_, entry, all) => {
    all.entries = all.entries.filter((one) => one !== entry)
  },
  "an element": (random, entry) => {
    if (!Array.isArray(entry.data) || entry.data.length === 0) return
    entry.data[random.below(entry.data.length)] = scalar(random, entry.of)
  },
  "fewer elements": (random, entry) => {
    if (Array.isArray(entry.data)) entry.data = entry.data.slice(random.below(3))
  },
  "an element twice": (random, entry) => {
    if (Array.isArray(entry.data) && entry.data.length > 0) entry.data.push(random.pick(entry.data))
  },
  "another text": (random, entry) => {
    if (entry.type === types.string) entry.data = scalar(random, types.string)
  },
}

/** A file, and what was done to it. */
export interface Made {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly how: ReadonlyArray<string>
  readonly prose: string
}

/** A file of a model that is sound, or spoilt in one to four ways. */
export const makeModel = (random: Random): Made => {
  const all = model(random)
  const how: Array<string> = []
  for (let i = random.below(4); i > 0; i--) {
    const entry = random.pick(all.entries)
    if (entry === undefined) break
    const name = random.pick(Object.keys(spoilers))
    spoilers[name]!(random, entry, all)
    how.push(`${entry.key}: ${name}`)
  }
  if (random.oneIn(5)) how.push(spoil(random, all))
  const written = write(all)
  // Factors must be above zero: all data are ones.
  const start = Math.ceil(written.head / 32) * 32
  const { bytes: plain } = written
  for (let at = start; at + 4 <= plain.length; at += 4) plain.set([0, 0, 0x80, 0x3f], at)
  if (!random.oneIn(5)) return { bytes: written.bytes, how, prose: anyProse(random) }
  const [bytes, name] = lie(random, written, written.bytes)
  return { bytes, how: [...how, name], prose: anyProse(random) }
}

const checkSizes = ({ config }: Checkpoint): void => {
  const within = (size: number, max: number) => Number.isInteger(size) && size >= 1 && size <= max
  assert.ok(within(config.layers, most.layers) && within(config.model, most.width))
  assert.ok(within(config.numQHeads, most.heads) && within(config.numKvHeads, config.numQHeads))
  assert.equal(config.numQHeads % config.numKvHeads, 0)
  assert.ok(within(config.headDim, most.headDim) && within(config.rotary, config.headDim))
  assert.ok(within(config.context, most.context) && config.eps > 0 && Number.isFinite(config.theta))
  for (const factor of config.factors ?? []) assert.ok(factor > 0 && Number.isFinite(factor))
}

/** Opens a model, cuts a text by its vocabulary, and renders its template. */
export const checkModel = ({ bytes, prose }: Made): Outcome<Checkpoint> => {
  const outcome = guarded(
    bytes.length,
    () => Effect.runSync(Effect.result(fromGguf(Source.bytes("x.gguf", bytes)))),
  )
  if (Result.isFailure(outcome)) return outcome
  const { success } = outcome
  checkSizes(success)
  const { tokenizer, template } = success
  const ids = guarded(bytes.length + 16 * prose.length, () => Tokenizer.encode(tokenizer, prose))
  if (Result.isSuccess(ids)) {
    assert.ok(
      ids.success.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize),
    )
    const back = Result.getOrThrow(Tokenizer.decode(tokenizer, ids.success))
    assert.ok(tokenizer.returns(prose).includes(back), "what was encoded decodes to the text")
  }
  if (Result.isSuccess(template)) {
    const options = { addGenerationPrompt: true, bosToken: "", eosToken: "" }
    const messages = [{ role: "user", content: prose }] as const
    guarded(2 ** 20, () => Chat.render(template.success, messages, options))
  }
  return outcome
}
