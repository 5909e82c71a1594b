/**
 * How a `tokenizer.json` cuts a text before pairs are merged, and what it puts around it.
 *
 * Expressions of a file are not run, as one can be made to take forever: those that are known are.
 *
 * @module
 */
import { Result } from "effect"
import { type BadModelFile, UnsupportedModel } from "../../errors.ts"
import { quote } from "../gguf/bytes.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import { pres } from "../tokenizer/pre.ts"

type Read<A> = Result.Result<A, BadModelFile | UnsupportedModel>

const gpt2 = pres.get("gpt-2")!.splits
const known: ReadonlySet<string> = new Set([...pres.values()].flatMap(({ splits }) => splits))

/** Files write the one group that ignores case as Oniguruma has it. */
const spelled = (regex: string): string =>
  regex.replace(
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]",
  )

/** A failure that names a value of a file. */
export const unsupported = (what: string, value: string, supported: string): Read<never> =>
  Result.fail(new UnsupportedModel({ what, value: quote(value), supported }))

/** The step that writes bytes as letters: the last one. */
const toBytes = "ByteLevel"

const split = (pre: Document): Read<ReadonlyArray<string>> =>
  Result.gen(function* () {
    const regex = spelled(yield* Get.string(yield* Get.object(pre, "pattern"), "Regex", ""))
    const behavior = yield* Get.string(pre, "behavior")
    const inverted = yield* Get.boolean(pre, "invert", false)
    if (inverted) return yield* unsupported("Split", "invert", "none of it")
    if (behavior !== "Isolated") return yield* unsupported("Split", behavior, '"Isolated"')
    return known.has(regex) ? [regex] : yield* unsupported(
      "Split expression",
      regex,
      `one of ${[...pres.keys()].map(quote).join(", ")}`,
    )
  })

const steps = (pre: Document): Read<ReadonlyArray<string>> =>
  Result.gen(function* () {
    const type = yield* Get.string(pre, "type")
    switch (type) {
      case "Sequence": {
        const all = yield* Result.all((yield* Get.objects(pre, "pretokenizers")).map(steps))
        return all.flat()
      }
      case "Split":
        return yield* split(pre)
      case "Digits":
        return [(yield* Get.boolean(pre, "individual_digits", false)) ? "\\p{N}" : "\\p{N}+"]
      case "ByteLevel":
        if (yield* Get.boolean(pre, "add_prefix_space", true)) {
          return yield* unsupported("ByteLevel", "add_prefix_space", "none of it")
        }
        return [...(yield* Get.boolean(pre, "use_regex", true)) ? gpt2 : [], toBytes]
      default:
        return yield* unsupported("pre-tokenizer", type, "Sequence, Split, Digits or ByteLevel")
    }
  })

/** The expressions that cut out their matches, one after the other. */
export const splits = (tokenizer: Document): Read<ReadonlyArray<string>> =>
  Result.gen(function* () {
    const pre = yield* Get.object(tokenizer, "pre_tokenizer")
    const all = yield* steps(pre)
    return all.at(-1) === toBytes && all.indexOf(toBytes) === all.length - 1
      ? all.slice(0, -1)
      : yield* unsupported("pre-tokenizer", all.join(" "), "one that ends in its only ByteLevel")
  })

/** Special tokens around a text, as written. */
export interface Around {
  readonly before: ReadonlyArray<string>
  readonly after: ReadonlyArray<string>
}

const template = (post: Document): Read<Around> =>
  Result.gen(function* () {
    const before: Array<string> = []
    const after: Array<string> = []
    let texts = 0
    for (const piece of yield* Get.objects(post, "single")) {
      if (Get.has(piece, "SpecialToken")) {
        const side = texts === 0 ? before : after
        side.push(yield* Get.string(yield* Get.object(piece, "SpecialToken"), "id"))
        continue
      }
      texts++
      const id = yield* Get.string(yield* Get.object(piece, "Sequence"), "id")
      if (id !== "A" || texts > 1) return yield* unsupported("post-processor", id, '"A", once,')
    }
    if (texts === 1) return { before, after }
    return yield* unsupported("post-processor", "single", "one with the text in it")
  })

/** What the post-processor puts around a text, if it says. */
export const around = (post: Document): Read<Around | undefined> =>
  Result.gen(function* () {
    const type = yield* Get.string(post, "type")
    if (type === "ByteLevel") return undefined // about offsets, which are not used
    if (type === "TemplateProcessing") return yield* template(post)
    if (type !== "Sequence") {
      return yield* unsupported("post-processor", type, "TemplateProcessing or ByteLevel")
    }
    const all = yield* Result.all((yield* Get.objects(post, "processors")).map(around))
    return all.find((one) => one !== undefined)
  })
