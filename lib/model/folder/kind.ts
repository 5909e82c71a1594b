/** Which of the two kinds of BPE a `tokenizer.json` is: of bytes, or of letters. @module */
import { Result } from "effect"
import type { BadModelFile, UnsupportedModel } from "../../errors.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import { space } from "../tokenizer/letters.ts"
import type { Pre } from "../tokenizer/pre.ts"
import { splits, unsupported } from "./pre.ts"

type Checked<A> = Result.Result<A, BadModelFile | UnsupportedModel>

/** How bytes are cut before they merge; or letters merge, which are not cut. */
export type Kind = Omit<Pre, "addBos"> | "letters"

/** Refuses what BPE as it is run here would leave out. */
export const checkModel = (model: Document): Checked<void> =>
  Result.gen(function* () {
    const type = yield* Get.string(model, "type", "BPE")
    if (type !== "BPE") return yield* unsupported("tokenizer", type, '"BPE"')
    for (const affix of ["continuing_subword_prefix", "end_of_word_suffix"]) {
      if ((yield* Get.string(model, affix, "")) !== "") {
        return yield* unsupported("tokenizer", affix, "BPE without it")
      }
    }
  })

const typeOf = (tokenizer: Document, part: string): Checked<string | undefined> =>
  Get.has(tokenizer, part)
    ? Result.flatMap(Get.object(tokenizer, part), (found) => Get.string(found, "type"))
    : Result.succeed(undefined)

const readBytes = (tokenizer: Document, model: Document): Checked<Kind> =>
  Result.gen(function* () {
    if (yield* Get.boolean(model, "fuse_unk", false)) {
      return yield* unsupported(
        "tokenizer",
        "fuse_unk",
        "byte-level BPE, or one with byte_fallback,",
      )
    }
    const normalizer = yield* typeOf(tokenizer, "normalizer")
    if (normalizer !== undefined && normalizer !== "NFC") {
      return yield* unsupported("normalizer", normalizer, '"NFC" or none')
    }
    const decoder = yield* typeOf(tokenizer, "decoder")
    if (decoder !== undefined && decoder !== "ByteLevel") {
      return yield* unsupported("decoder", decoder, '"ByteLevel"')
    }
    return {
      splits: yield* splits(tokenizer),
      ignoreMerges: yield* Get.boolean(model, "ignore_merges", false),
      composes: normalizer === "NFC",
    }
  })

/** The text that a step of a tokenizer looks for, if it is one and not an expression. */
const textOf = (step: Document): Checked<string> =>
  Result.flatMap(Get.object(step, "pattern", new Map()), (found) => Get.string(found, "String", ""))

const isReplace = (step: Document, from: string, to: string): Checked<boolean> =>
  Result.gen(function* () {
    return (yield* Get.string(step, "type")) === "Replace" && (yield* textOf(step)) === from &&
      (yield* Get.string(step, "content", "")) === to
  })

/** A part that is refused beside byte tokens. */
const beside = (part: string): string => `${part} beside byte_fallback`

/** The one pre-tokenizer that there may be cuts at spaces, of which none are left. */
const checkPre = (tokenizer: Document): Checked<void> =>
  Result.gen(function* () {
    const type = yield* typeOf(tokenizer, "pre_tokenizer")
    if (type === undefined) return
    const pre = yield* Get.object(tokenizer, "pre_tokenizer")
    if (type === "Split" && (yield* textOf(pre)) === " ") {
      yield* Get.string(pre, "behavior") // whichever: nothing is cut
      if (!(yield* Get.boolean(pre, "invert", false))) return
      return yield* unsupported(beside("Split"), "invert", "none of it")
    }
    return yield* unsupported(beside("pre-tokenizer"), type, 'Split at " "')
  })

const checkDecoder = (tokenizer: Document): Checked<void> =>
  Result.gen(function* () {
    if (!Get.has(tokenizer, "decoder")) return
    const decoder = yield* Get.object(tokenizer, "decoder")
    const type = yield* Get.string(decoder, "type")
    const steps = type === "Sequence" ? yield* Get.objects(decoder, "decoders") : [decoder]
    const types = yield* Result.all(steps.map((step) => Get.string(step, "type")))
    const usual = types.join() === "Replace,ByteFallback,Fuse"
    if (usual && (yield* isReplace(steps[0]!, space, " "))) return
    return yield* unsupported(beside("decoder"), types.join(" "), "Replace, ByteFallback and Fuse")
  })

const readLetters = (tokenizer: Document, model: Document): Checked<Kind> =>
  Result.gen(function* () {
    const type = yield* typeOf(tokenizer, "normalizer")
    const spaces = type !== undefined &&
      (yield* isReplace(yield* Get.object(tokenizer, "normalizer"), " ", space))
    if (!spaces) {
      const supported = `Replace of " " by "${space}"`
      return yield* unsupported(beside("normalizer"), type ?? "none", supported)
    }
    yield* checkPre(tokenizer)
    yield* checkDecoder(tokenizer)
    if (yield* Get.boolean(model, "ignore_merges", false)) {
      return yield* unsupported(beside("tokenizer"), "ignore_merges", "BPE without it")
    }
    return "letters" as const
  })

/** Reads which kind it is; what it asks for besides is refused. */
export const kindOf = (tokenizer: Document, model: Document): Checked<Kind> =>
  Result.flatMap(
    Get.boolean(model, "byte_fallback", false),
    (letters) => (letters ? readLetters : readBytes)(tokenizer, model),
  )
