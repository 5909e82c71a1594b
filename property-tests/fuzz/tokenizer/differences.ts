/**
 * Where this reader and `@huggingface/tokenizers` 0.2.0 give one text other ids, kind by kind, and who is right. A
 * difference of no kind that is listed here is a finding.
 *
 * @module
 */
import type { Difference } from "./case.ts"

const parts = ["model", "decoder", "normalizer", "pre_tokenizer", "post_processor", "added_tokens"]

/** The kinds; the first that may be meant is. */
export const differences: ReadonlyArray<Difference> = [
  {
    kind: "a file without some part",
    right: "both",
    why: "the other wants each part to be there, if only as null; here what is missing is none",
    is: ({ json }) => parts.some((part) => !Object.hasOwn(json, part)),
  },
  {
    kind: "a model that does not say its type",
    right: "this reader",
    why:
      "its merges say that it is BPE, as the format's own library takes it; the other cuts without them",
    is: ({ json }) => !Object.hasOwn(json["model"] as object, "type"), // it was read
  },
  {
    kind: "merges as texts and as pairs in one list",
    right: "both",
    why: "the other looks at the first to know how all are written, and stops",
    is: ({ json }) => {
      const { merges } = json["model"] as { readonly merges: ReadonlyArray<unknown> } // it was read
      return new Set(merges.map((merge) => typeof merge)).size > 1
    },
  },
  {
    kind: "▁ written in a text",
    right: "both",
    why: "the other finds added tokens of ▁ as written; here they are left to the merges",
    is: ({ vocabulary, text }) => vocabulary.pre === undefined && text.includes("▁"),
  },
  {
    kind: "U+0085 beside what expressions call a space",
    right: "this reader",
    why: "the other runs Oniguruma's expressions as JavaScript's, whose \\s lacks it",
    is: ({ vocabulary, text }) => vocabulary.pre !== undefined && text.includes("\u0085"),
  },
  {
    kind: "an added token past the model's embeddings",
    right: "this reader",
    why:
      "the other does not know the model: the token it finds has no embedding, so here it is text",
    is: ({ vocabulary, text, json }) =>
      (json["added_tokens"] as ReadonlyArray<{ readonly id: number; readonly content: string }>) // it was read
        .some(({ id, content }) => id >= vocabulary.tokens.length && text.includes(content)),
  },
]
