/**
 * Where this reader and `@huggingface/gguf` 0.4.6 disagree over one file, kind by kind, and who is right. A
 * difference of no kind that is listed here is a finding.
 *
 * @module
 */
import { Result } from "effect"
import { isDeepStrictEqual } from "node:util"
import type { Gguf, Value } from "../../../lib/model/Gguf.ts"
import type { Outcome } from "../guard.ts"
import { saidByThem, type Theirs } from "./beside.ts"
import { said } from "./case.ts"

/** A kind of difference. */
export interface Difference {
  readonly kind: string
  readonly right: "this reader" | "the other" | "both"
  readonly why: string
}

/** Files that only the other takes, by what is said here of them. */
export const onlyTheirs: ReadonlyArray<Difference & { readonly says: RegExp }> = [
  {
    kind: "a file that is cut",
    says: /: the file ends in |^the file ends in |ends at byte \d+: the file has/,
    right: "this reader",
    why: "the other reads zeros past the end of its first 2 MB, and asks for no tensor's data",
  },
  {
    kind: "tensors off their alignment",
    says: /is at offset \d+: a multiple of \d+ is needed$/,
    right: "this reader",
    why: "the format wants offsets to be multiples of general.alignment",
  },
  {
    kind: "tensors that overlap",
    says: /^tensor .* overlaps tensor /,
    right: "this reader",
    why: "no writer makes them; one that is written would change the other",
  },
  {
    kind: "a key or a tensor twice",
    says: /is there twice$/,
    right: "this reader",
    why: "the format wants names to be unique; the other keeps the last key and both tensors",
  },
  {
    kind: "text that is not UTF-8",
    says: /is not UTF-8$/,
    right: "this reader",
    why: "the other puts U+FFFD there, so that different names become one",
  },
  {
    kind: "a bool that is neither 0 nor 1",
    says: /has a bool of \d+: 0 or 1 is needed$/,
    right: "this reader",
    why: "the format says that such a file is invalid",
  },
  {
    kind: "an alignment that is no power of two, or no number",
    says: /^"general\.alignment" is .* is needed$/,
    right: "this reader",
    why: "ggml refuses it too; the other's padding is right for powers of two only",
  },
  {
    kind: "rows that are no whole number of blocks",
    says: /has rows of \d+ elements: \w+ needs a multiple of \d+$/,
    right: "this reader",
    why: "no such row can be stored",
  },
  {
    kind: "no axes, or more than four",
    says: /has \d+ axes: 1 to limits\.dimensions, 4, are read$/,
    right: "this reader",
    why: "ggml has at most four; a scalar has one axis of size 1",
  },
  {
    kind: "an axis of size 0",
    says: /has an axis of size 0$/,
    right: "both",
    why: "the format does not forbid it; no weight of a model is empty",
  },
  {
    kind: "arrays of arrays",
    says: /is an array of arrays: only flat ones are read$/,
    right: "both",
    why: "the format has them, no model's metadata does; here they are refused, and named",
  },
  {
    kind: "more metadata entries than any model has",
    says: /^\d+ metadata entries: over limits\.metadataEntries, \d+$/,
    right: "both",
    why: "the other has no limit; a file of a few bytes an entry would cost many times its size",
  },
  {
    kind: "versions 1 and 2, and big-endian files",
    says: /GGUF version is \d+: 3 is supported|it is big-endian/,
    right: "both",
    why: "the other reads them; here they are refused, and named",
  },
  {
    kind: "forms of weights that are not run, or not known",
    says: /^Cannot run a model whose tensor .* type is /,
    right: "both",
    why: "the other reads no weights, so it needs no form; here the form is named",
  },
]

/** Files that only this reader takes, by what the other says of them. */
export const onlyOurs: ReadonlyArray<Difference & { readonly says: RegExp }> = [
  {
    kind: "arrays of 1,000,001 to 1,048,576 elements",
    says: /^Metadata array length \d+ exceeds maximum allowed/,
    right: "both",
    why: "two limits, both above every vocabulary known",
  },
]

const texts = ({ metadata, tensors }: Gguf): ReadonlyArray<string> => [
  ...metadata.keys(),
  ...tensors.keys(),
  ...Array.from(metadata.values(), ({ data }: Value) => data).flat().filter((one) =>
    typeof one === "string"
  ),
]

/** Files that both take, and read differently. */
export const unlike: ReadonlyArray<Difference & { readonly is: (gguf: Gguf) => boolean }> = [
  {
    kind: "a byte order mark at the beginning of a text",
    is: (gguf) => texts(gguf).some((text) => text.startsWith("\ufeff")),
    right: "this reader",
    why: "U+FEFF is a token of many vocabularies; the other's TextDecoder drops it",
  },
  {
    kind: "the key __proto__",
    is: ({ metadata }) => metadata.has("__proto__"),
    right: "this reader",
    why: "the other's metadata is an object, whose prototype it becomes",
  },
  {
    kind: "keys that the other adds: version, tensor_count, kv_count",
    is: ({ metadata }) => ["version", "tensor_count", "kv_count"].some((key) => metadata.has(key)),
    right: "this reader",
    why: "the other writes the file's value over its own",
  },
]

/** What came of one file in both readers. */
export type Compared = "equal" | "both refuse" | Difference

/** Compares; throws on a difference of no kind. */
export const compare = (
  ours: Outcome<Gguf>,
  other: Theirs,
): Compared => {
  const unknown = (what: string): never => {
    throw new Error(`a difference of no kind that is listed: ${what}`)
  }
  if (Result.isFailure(ours)) {
    if ("refused" in other) return "both refuse"
    const { failure } = ours
    const text = failure._tag === "BadModelFile" ? failure.reason : failure.message
    return onlyTheirs.find(({ says }) => says.test(text)) ??
      unknown(`only the other takes: ${text}`)
  }
  if ("refused" in other) {
    const { refused } = other
    return onlyOurs.find(({ says }) => says.test(refused)) ?? unknown(`the other says ${refused}`)
  }
  if (isDeepStrictEqual(saidByThem(other.taken), said(ours.success))) return "equal"
  return unlike.find(({ is }) => is(ours.success)) ??
    unknown("both take it and read it differently")
}
