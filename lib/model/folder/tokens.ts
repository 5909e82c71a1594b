/**
 * The tokens of a byte-level BPE `tokenizer.json`, and how they merge, checked.
 *
 * @module
 */
import { Result } from "effect"
import type { BadModelFile, UnsupportedModel } from "../../errors.ts"
import { quote } from "../gguf/bytes.ts"
import * as Get from "../json/get.ts"
import type { Document, Json } from "../json/parse.ts"
import { kinds, literals, type Tokens, type Vocabulary } from "../tokenizer/vocabulary.ts"
import { unsupported } from "./pre.ts"

type Read<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** Tokens by id, and ids by token; an id that no token has is of the empty text. */
interface Known extends Tokens {
  readonly ids: ReadonlyMap<string, number>
}

const isId = (value: Json | undefined, size: number): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < size

const readVocab = (model: Document, size: number): Read<Map<number, string>> =>
  Result.gen(function* () {
    const out = new Map<number, string>()
    for (const [token, id] of (yield* Get.object(model, "vocab")).keys) {
      const what = `has ${quote(token)}`
      if (!isId(id, size)) {
        const need = `a whole number below the model's vocabulary of ${size} is needed`
        return yield* Get.bad(model, "vocab", `${what} at ${Get.show(id)}: ${need}`)
      }
      if (out.has(id)) {
        return yield* Get.bad(model, "vocab", `${what} and ${quote(out.get(id)!)} at ${id}`)
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
): Read<void> =>
  Result.gen(function* () {
    const known = new Map([...byId].map(([id, token]) => [token, id]))
    let total = 0
    for (const added of yield* Get.objects(tokenizer, "added_tokens", [])) {
      const id = yield* Get.integer(added, "id", { min: 0, max: types.length - 1 })
      const token = yield* Get.string(added, "content")
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
      types[id] = (yield* Get.boolean(added, "special", false)) ? kinds.control : kinds.userDefined
    }
  })

/** Reads the tokens; all ids are below `size`. */
export const readTokens = (tokenizer: Document, model: Document, size: number): Read<Known> =>
  Result.gen(function* () {
    const byId = yield* readVocab(model, size)
    const types = new Array<number>(size).fill(kinds.normal)
    yield* addLiterals(tokenizer, byId, types)
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
