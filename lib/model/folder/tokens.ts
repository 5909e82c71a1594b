/**
 * The tokens of a BPE `tokenizer.json`, and how they merge, checked.
 *
 * @module
 */
import { Result } from "effect"
import type { BadModelFile, UnsupportedModel } from "../../errors.ts"
import { quote } from "../gguf/bytes.ts"
import * as Get from "../json/get.ts"
import type { Document, Json } from "../json/parse.ts"
import { kinds, literals, type Tokens, type Vocabulary } from "../tokenizer/vocabulary.ts"
import { byteOf, space } from "../tokenizer/letters.ts"
import { unsupported } from "./pre.ts"

type Read<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** Tokens by id, and ids by token; an id that no token has is of the empty text. */
interface Known extends Tokens {
  readonly ids: ReadonlyMap<string, number>
}

const isId = (value: Json | undefined, size: number): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < size

/**
 * Added tokens past the embeddings, by their text: Gemma 3's text models have one that stands for an image. No
 * model could read them, so they are letters here like any others.
 */
const readPast = (tokenizer: Document, size: number): Read<ReadonlySet<string>> =>
  Result.gen(function* () {
    const out = new Set<string>()
    for (const added of yield* Get.objects(tokenizer, "added_tokens", [])) {
      const id = yield* Get.integer(added, "id", { min: 0, max: Number.MAX_SAFE_INTEGER })
      if (id >= size) out.add(yield* Get.string(added, "content"))
    }
    return out
  })

const readVocab = (
  model: Document,
  size: number,
  past: ReadonlySet<string>,
): Read<Map<number, string>> =>
  Result.gen(function* () {
    const out = new Map<number, string>()
    for (const [token, id] of (yield* Get.object(model, "vocab")).keys) {
      if (past.has(token)) continue
      if (!isId(id, size)) {
        const need = `a whole number below the model's vocabulary of ${size} is needed`
        const state = `has ${quote(token)} at ${Get.show(id)}: ${need}`
        return yield* Get.bad(model, "vocab", state)
      }
      if (out.has(id)) {
        const state = `has ${quote(token)} and ${quote(out.get(id)!)} at ${id}`
        return yield* Get.bad(model, "vocab", state)
      }
      out.set(id, token)
    }
    return out
  })

/** Adds the tokens that are found as written; a file may have them among the others too. */
const addLiterals = (
  tokenizer: Document,
  byId: Map<number, string>,
  types: Array<number>,
  byteFallback: boolean,
): Read<void> =>
  Result.gen(function* () {
    const known = new Map([...byId].map(([id, token]) => [token, id]))
    let total = 0
    for (const added of yield* Get.objects(tokenizer, "added_tokens", [])) {
      const id = yield* Get.integer(added, "id", { min: 0, max: Number.MAX_SAFE_INTEGER })
      const token = yield* Get.string(added, "content")
      if (id >= types.length) continue
      for (const flag of ["single_word", "lstrip", "rstrip"]) {
        if (!(yield* Get.boolean(added, flag, false))) continue
        return yield* unsupported(`special token ${quote(token)}`, flag, "none of it")
      }
      total += token.length
      if (token === "" || token.length > literals.one || total > literals.all) {
        const need = `1 to ${literals.one} in one and ${literals.all} in all are read`
        return yield* Get.bad(added, "content", `has ${token.length} characters: ${need}`)
      }
      const same = (byId.get(id) ?? token) === token && (known.get(token) ?? id) === id
      if (!same || types[id] !== kinds.normal) {
        return yield* Get.bad(added, "content", `is ${quote(token)} at ${id}, and is there twice`)
      }
      byId.set(id, token)
      known.set(token, id)
      const special = yield* Get.boolean(added, "special", false)
      // Where spaces are written ▁ merges make such a token; as written, no text with spaces has it.
      if (byteFallback && !special && token.includes(space)) {
        if (!(yield* Get.boolean(added, "normalized", true))) continue
        return yield* unsupported(`token ${quote(token)}`, "normalized", "none of it")
      }
      types[id] = special ? kinds.control : kinds.userDefined
    }
  })

/** Ids that need no token. */
const spare = 4096

/** Reads the tokens; all ids are below `size`. With `byteFallback` some of them stand for bytes. */
export const readTokens = (
  tokenizer: Document,
  model: Document,
  size: number,
  byteFallback: boolean,
): Read<Known> =>
  Result.gen(function* () {
    const byId = yield* readVocab(model, size, yield* readPast(tokenizer, size))
    const added = yield* Get.array(tokenizer, "added_tokens", [])
    // Ids without a token take memory too: embeddings are padded, but never to several times the tokens.
    if (size > 2 * (byId.size + added.length) + spare) {
      const state = `has ${byId.size} tokens, and ${added.length} are added`
      return yield* Get.bad(model, "vocab", `${state}: too few for a vocabulary of ${size}`)
    }
    const types = new Array<number>(size).fill(kinds.normal)
    yield* addLiterals(tokenizer, byId, types, byteFallback)
    for (const [id, token] of byteFallback ? byId : []) {
      if (types[id] === kinds.normal && byteOf(token) !== undefined) types[id] = kinds.byte
    }
    return {
      tokens: types.map((_, id) => byId.get(id) ?? ""),
      types,
      ids: new Map([...byId].map(([id, token]) => [token, id])),
    }
  })

/** Reads the merges: pairs, or two words with a space. */
export const readMerges = (
  model: Document,
  ids: ReadonlyMap<string, number>,
): Read<Vocabulary["merges"]> =>
  Result.gen(function* () {
    const out: Array<readonly [string, string]> = []
    for (const [i, merge] of (yield* Get.array(model, "merges")).entries()) {
      const words: ReadonlyArray<Json> = typeof merge === "string"
        ? merge.split(" ")
        : Get.isArray(merge)
        ? merge
        : []
      const [left, right] = words
      if (typeof left !== "string" || typeof right !== "string" || words.length !== 2) {
        return yield* Get.bad(
          model,
          "merges",
          `has ${Get.show(merge)} at ${i}: two words are needed`,
        )
      }
      if (!ids.has(left) || !ids.has(right) || !ids.has(left + right)) {
        const need = "both words and the two joined must be tokens"
        const shown = quote(`${left} ${right}`)
        return yield* Get.bad(model, "merges", `has ${shown} at ${i}: ${need}`)
      }
      out.push([left, right])
    }
    return out
  })
