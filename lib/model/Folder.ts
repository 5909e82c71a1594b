/**
 * A model as Hugging Face lays it out: a folder of
 *
 * ```text
 * config.json             sizes and constants
 * tokenizer.json          the vocabulary
 * tokenizer_config.json   which of its tokens begin and end a text          optional
 * generation_config.json  ids of those tokens                               optional
 * chat_template.jinja     how a conversation becomes a text                 optional
 * model.safetensors       the weights, or model.safetensors.index.json and the files it names
 * ```
 *
 * @module
 */
import { Effect, Result, type Scope } from "effect"
import { existsSync, statSync } from "node:fs"
import { basename, join, resolve } from "node:path"
import { decode, type Weight } from "../../kernels/decode.ts"
import { BadModelFile } from "../errors.ts"
import { view } from "../tensor/DType.ts"
import type { Checkpoint, OpenError, Stored } from "./Checkpoint.ts"
import type { Family } from "./families.ts"
import * as Config from "./folder/config.ts"
import { calledIn, canonicalIn, isDerived, isNorm } from "./folder/names.ts"
import * as Shards from "./folder/shards.ts"
import * as Template from "./folder/template.ts"
import * as Vocabulary from "./folder/vocabulary.ts"
import { quote } from "./gguf/bytes.ts"
import * as Get from "./json/get.ts"
import type { Document } from "./json/parse.ts"
import * as Tokenizer from "./Tokenizer.ts"

/** Whether a path is a folder. */
export const isFolder = (path: string): Effect.Effect<boolean> =>
  Effect.sync(() => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false)

/** Vectors become f32, which the norms need, with `offset` added; they are small. Matrices stay as stored. */
const stored = ({ source, ...info }: Shards.Located, offset: number): Stored => {
  const { shape: [count], dtype } = info
  if (info.shape.length !== 1 || (dtype === "f32" && offset === 0)) {
    const fill: Stored["fill"] = (into, at) => source.fill(into, info.offset + at)
    return { ...info, file: source.name, fill }
  }
  const widen = ({ buffer }: Uint8Array<ArrayBuffer>) => {
    const out = new Float64Array(count!)
    const narrow = dtype as Weight // the reader gives no other
    decode[narrow](view(narrow, buffer, count!), 0, count!, out, 0)
    return new Uint8Array(Float32Array.from(out, (x) => x + offset).buffer)
  }
  return {
    ...info,
    dtype: "f32",
    bytes: 4 * count!,
    file: source.name,
    fill: (into, at) =>
      Effect.map(
        source.read(info.offset, info.bytes),
        (data) => into.set(widen(data).subarray(at, at + into.length)),
      ),
  }
}

/** Tensors by canonical names; `tied` leaves out a head, which is then the embedding. */
const byName = (
  located: ReadonlyArray<Shards.Located>,
  family: Family,
  tied: boolean,
): Result.Result<ReadonlyMap<string, Stored>, BadModelFile> => {
  const out = new Map<string, Stored>()
  const canonical = canonicalIn(family)
  for (const one of located) {
    const name = canonical(one.name)
    if (isDerived(one.name) || (tied && name === "output.weight")) continue
    if (out.has(name)) {
      const { offset, source } = one
      const reason = `tensor ${quote(one.name)} is there as ${quote(out.get(name)!.name)} too`
      return Result.fail(new BadModelFile({ file: source.name, offset, reason }))
    }
    out.set(name, stored(one, isNorm(name) ? family.folder.normOffset : 0))
  }
  return Result.succeed(out)
}

/** Opens a folder: reads no weights. Its files stay open until the scope closes. */
export const open = (path: string): Effect.Effect<Checkpoint, OpenError, Scope.Scope> =>
  Effect.gen(function* () {
    const optional = (name: string): Effect.Effect<Document | undefined, BadModelFile> =>
      existsSync(join(path, name)) ? Get.file(join(path, name)) : Effect.succeed(undefined)
    const config = yield* Get.file(join(path, "config.json"))
    const sizes = yield* Effect.fromResult(Config.read(config, basename(resolve(path))))
    const { family } = sizes
    const { otherwise } = family.folder
    const tied = yield* Effect.fromResult(
      Get.boolean(config, "tie_word_embeddings", otherwise.tied),
    )
    const files = {
      config,
      tokenizer: yield* Get.file(join(path, "tokenizer.json")),
      tokenizerConfig: yield* optional("tokenizer_config.json"),
      generationConfig: yield* optional("generation_config.json"),
    }
    const vocabulary = yield* Effect.fromResult(Vocabulary.read(files, sizes.vocab))
    const located = yield* Shards.open(path)
    const tensors = yield* Effect.fromResult(byName(located, family, tied))
    if (!tied && !tensors.has("output.weight")) {
      const reason = `the tensor "lm_head.weight" is missing: "tie_word_embeddings" is false`
      return yield* new BadModelFile({ file: path, offset: 0, reason })
    }
    const known = Tokenizer.fromVocabulary(vocabulary)
    const tokenizer = { ...known, stops: new Set([...known.stops, ...vocabulary.stops]) }
    const template = yield* Template.read(path, files.tokenizerConfig)
    return { name: path, config: sizes, tokenizer, template, tensors, called: calledIn(family) }
  })
