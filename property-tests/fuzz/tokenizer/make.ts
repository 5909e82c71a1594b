/** The files that speak of a vocabulary, sound or spoilt. @module */
import { gemma3Tokenizer, qwen2Tokenizer } from "../../model/tiny.vocabularies.ts"
import { configOf } from "../../model/tiny.files.ts"
import { tinyGemma3, tinyQwen2 } from "../../model/tiny.ts"
import { anyText } from "../hostile.ts"
import { anyTree, bytesOf, spoilTree, type Tree, treeOf } from "../json/tree.ts"
import type { Random } from "../random.ts"

/** Files by name. */
export interface Trees {
  readonly config: Tree
  readonly tokenizer: Tree
  readonly tokenizerConfig: Tree
  readonly generationConfig: Tree
}

/** What is put there of a file that is spoilt: the whole of it in a few. */
const spoilFile = (random: Random, trees: Trees): string => {
  const name = random.pick(
    [
      "tokenizer",
      "tokenizer",
      "tokenizer",
      "config",
      "tokenizerConfig",
      "generationConfig",
    ] as const,
  )
  return `${name}${spoilTree(random, trees[name])}`
}

/** A way into a tree. */
const at = (tree: Tree, ...keys: ReadonlyArray<string>): Tree | undefined => {
  let here: Tree | undefined = tree
  for (const key of keys) {
    const inside: Tree | undefined = here
    if (typeof inside !== "object" || inside === null || !("pairs" in inside)) return undefined
    here = inside.pairs.find(([name]) => name === key)?.[1]
  }
  return here
}

const put = (tree: Tree, key: string, value: Tree): void => {
  if (typeof tree !== "object" || tree === null || !("pairs" in tree)) return
  const pair = tree.pairs.find(([name]) => name === key)
  if (pair === undefined) tree.pairs.push([key, value])
  else pair[1] = value
}

const expressions = [
  "(a+)+$",
  "(?:.*)*x",
  "(\\s*)*\\S",
  "[",
  "(?=",
  "",
  "\\p{L}+",
  "(?:" + "a?".repeat(99) + ")" + "a".repeat(99),
]

type Spoil = (random: Random, tokenizer: Tree, config: Tree) => void

/** What only a vocabulary can be spoilt by. */
const spoilers: Readonly<Record<string, Spoil>> = {
  "an expression": (random, tokenizer) => {
    const split = treeOf({
      type: "Split",
      pattern: { Regex: random.pick(expressions) },
      behavior: random.pick(["Isolated", "Removed", "Contiguous"]),
      invert: random.oneIn(3),
    })
    const bytes = treeOf({ type: "ByteLevel", add_prefix_space: false, use_regex: random.oneIn(2) })
    const steps = random.pick([
      [split, bytes],
      [bytes, split],
      [bytes, bytes],
      [split],
      [bytes],
      [],
    ])
    put(tokenizer, "pre_tokenizer", { pairs: [["type", "Sequence"], ["pretokenizers", steps]] })
  },
  "merges": (random, tokenizer) => {
    const merges = at(tokenizer, "model", "merges")
    if (!Array.isArray(merges)) return
    const one = random.pick<Tree>([
      "a a",
      ["a", "a"],
      "a  a",
      " ",
      "",
      ["", ""],
      ["a", ""],
      ["__proto__", "x"],
      ["a"],
      ["a", 1],
      anyTree(random),
    ])
    merges.splice(random.below(merges.length + 1), random.below(2), one)
  },
  "merges the other way": (_, tokenizer) => {
    const merges = at(tokenizer, "model", "merges")
    if (Array.isArray(merges)) merges.reverse()
  },
  "an id": (random, tokenizer) => {
    const vocab = at(tokenizer, "model", "vocab")
    if (typeof vocab !== "object" || vocab === null || !("pairs" in vocab)) return
    const pair = random.pick(vocab.pairs)
    pair[1] = random.oneIn(2) ? random.pick(vocab.pairs)[1] : anyTree(random)
  },
  "a token": (random, tokenizer) => {
    const vocab = at(tokenizer, "model", "vocab")
    if (typeof vocab !== "object" || vocab === null || !("pairs" in vocab)) return
    random.pick(vocab.pairs)[0] = anyText(random)
  },
  "an added token": (random, tokenizer) => {
    const added = at(tokenizer, "added_tokens")
    if (!Array.isArray(added)) return
    added.push(treeOf({
      id: random.pick([0, 1, 65, 266, 267, 268, 299, 300, 1e6, -1, 0.5]),
      content: random.pick([
        anyText(random),
        "a",
        "the",
        "<s>",
        "<|im",
        "im_end",
        "x".repeat(random.pick([1024, 1025])),
      ]),
      special: random.oneIn(2),
      lstrip: random.oneIn(9),
      normalized: random.oneIn(2),
    }))
  },
  "a size of the model": (random, _, config) => {
    const key = random.pick([
      "vocab_size",
      "vocab_size",
      "head_dim",
      "hidden_size",
      "num_hidden_layers",
    ])
    put(config, key, random.pick([299, 301, 4096, 5000, 65_536, 2 ** 20]))
  },
  "byte fallback": (random, tokenizer) => {
    const model = at(tokenizer, "model")
    if (model !== undefined) put(model, "byte_fallback", random.oneIn(2))
  },
  "what stands around a text": (random, tokenizer) => {
    const token = () =>
      random.pick(["<bos>", "<|im_end|>", "<|endoftext|>", "a", "__proto__", "none"])
    put(
      tokenizer,
      "post_processor",
      treeOf({
        type: "TemplateProcessing",
        single: [
          ...random.some(2, () => ({ SpecialToken: { id: token(), type_id: 0 } })),
          { Sequence: { id: "A", type_id: 0 } },
          ...random.some(1, () => ({ SpecialToken: { id: token(), type_id: 0 } })),
        ],
      }),
    )
  },
}

/** Files, and what was done to them. */
export interface Made {
  readonly trees: Trees
  readonly how: ReadonlyArray<string>
}

/** Files of one of two vocabularies, sound or spoilt in one to three ways. */
export const make = (random: Random): Made => {
  const letters = random.oneIn(2)
  const trees: Trees = {
    config: treeOf(configOf(letters ? tinyGemma3 : tinyQwen2)),
    tokenizer: treeOf(letters ? gemma3Tokenizer : qwen2Tokenizer),
    tokenizerConfig: treeOf(
      letters
        ? { bos_token: "<bos>", eos_token: "<eos>", add_bos_token: true }
        : { bos_token: null, eos_token: "<|im_end|>", tokenizer_class: "Qwen2Tokenizer" },
    ),
    generationConfig: treeOf({ eos_token_id: [1, 2], bos_token_id: 2 }),
  }
  const how: Array<string> = []
  for (let i = random.below(4); i > 0; i--) {
    if (random.oneIn(2)) how.push(spoilFile(random, trees))
    else {
      const name = random.pick(Object.keys(spoilers))
      spoilers[name]!(random, trees.tokenizer, trees.config)
      how.push(name)
    }
  }
  return { trees, how }
}

/** The bytes of each file. */
export const bytesOfAll = (
  trees: Trees,
): { readonly [K in keyof Trees]: Uint8Array<ArrayBuffer> } => ({
  config: bytesOf(trees.config),
  tokenizer: bytesOf(trees.tokenizer),
  tokenizerConfig: bytesOf(trees.tokenizerConfig),
  generationConfig: bytesOf(trees.generationConfig),
})

/** A text to be cut: words that the vocabularies know, and what is hard. */
export const anyProse = (random: Random): string => {
  const pieces = [
    ..." \n▁\té'",
    "the ",
    "abc",
    "1234",
    "'ll",
    "<eos>",
    "<bos>",
    "<|im_end|>",
    "<|im_end",
    "im_end|>",
    "\n\n\n",
    "   ",
    "🙂",
    "e\u0301",
    "\u0085",
    "\0",
    "<0x0A>",
  ]
  const text = random.some(12, () => random.pick(pieces)).join("")
  return random.oneIn(40) ? random.pick(pieces).repeat(2000) + text : text
}
