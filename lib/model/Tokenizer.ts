/**
 * Text to token ids and back: byte-level BPE, and vocabularies of letters and byte tokens.
 *
 * Text of ids is the bytes of the tokens, one after the other, read as UTF-8: nothing is cleaned up, so
 * decoding what was encoded gives the text again (`encode` names the exceptions).
 *
 * @module
 */
import { Result } from "effect"
import { type BadModelFile, InvalidArgument, UnsupportedModel } from "../errors.ts"
import * as Gguf from "./Gguf.ts"
import * as byteLevel from "./tokenizer/byte_level.ts"
import * as ranked from "./tokenizer/ranked.ts"
import * as scored from "./tokenizer/scored.ts"
import * as utf8 from "./tokenizer/utf8.ts"
import {
  type Coder,
  type Ends,
  ends,
  kinds,
  literal,
  read,
  type Tokens,
  turns,
  type Vocabulary,
  written,
} from "./tokenizer/vocabulary.ts"

/** A vocabulary, ready for use. */
export interface Tokenizer {
  /** Tokens; ids go from 0 to one less. */
  readonly vocabSize: number
  /** The id that begins a text, if there is one. */
  readonly bos: number | undefined
  /** The id that ends a text, if there is one. */
  readonly eos: number | undefined
  /** Whether `addSpecial` puts BOS first. */
  readonly addBos: boolean
  /** Whether `addSpecial` puts EOS last. */
  readonly addEos: boolean
  /** Ids that end an answer: EOS, the end of a turn, and what chat templates write there. */
  readonly stops: ReadonlySet<number>
  /** Ids of control tokens: they steer the model and are not part of its prose. */
  readonly special: ReadonlySet<number>
  /** Bytes of all tokens, one after the other. */
  readonly bytes: Uint8Array
  /** Where in `bytes` each token begins, `[vocabSize + 1]`. */
  readonly starts: ArrayLike<number>
  /** The ids of a text, without checks. */
  readonly ids: (text: string) => ReadonlyArray<number>
  /** The texts that decoding the ids of a text may give, when nothing of it was lost. */
  readonly returns: (text: string) => ReadonlyArray<string>
}

/** Kinds of vocabularies, by `tokenizer.ggml.model`. */
const coders: ReadonlyMap<string, typeof byteLevel.read> = new Map([
  ["gpt2", byteLevel.read],
  ["llama", scored.read],
])

/** The bytes of all tokens in one buffer: an array for each would take more memory than they do. */
const pack = (
  { tokens, types }: Tokens,
  coder: Coder,
): Pick<Tokenizer, "bytes" | "starts"> => {
  const starts = new Uint32Array(tokens.length + 1)
  // No letter of a token stands for more bytes than its own UTF-8 has.
  const bytes = new Uint8Array(tokens.reduce((sum, token) => sum + 3 * token.length, 0))
  for (let id = 0; id < tokens.length; id++) {
    const [token, at] = [tokens[id]!, starts[id]!]
    starts[id + 1] = literal(types[id])
      ? utf8.write(token, bytes, at)
      : coder.write(token, types[id], bytes, at)
  }
  return { bytes: bytes.slice(0, starts[tokens.length]), starts }
}

const assemble = (
  vocabulary: Tokens,
  coder: Coder,
  { bos, eos, addBos, addEos }: Ends,
  turnEnds: ReadonlyArray<number>,
): Tokenizer => {
  const { tokens, types } = vocabulary
  return {
    vocabSize: tokens.length,
    bos,
    eos,
    addBos,
    addEos,
    stops: new Set([...(eos === undefined ? [] : [eos]), ...turnEnds, ...written(vocabulary)]),
    special: new Set([...tokens.keys()].filter((id) => types[id] === kinds.control)),
    ...pack(vocabulary, coder),
    ids: coder.ids,
    returns: coder.returns,
  }
}

/** Makes the tokenizer of a vocabulary whose pairs merge in the order of a list. */
export const fromVocabulary = ({ pre, ...vocabulary }: Vocabulary): Tokenizer => {
  const coder = pre === undefined
    ? ranked.coder(vocabulary)
    : byteLevel.coder({ ...vocabulary, pre })
  return assemble(vocabulary, coder, vocabulary, [])
}

/** Makes the tokenizer of a file. */
export const fromGguf = (
  gguf: Gguf.Metadata,
): Result.Result<Tokenizer, BadModelFile | UnsupportedModel> =>
  Result.gen(function* () {
    const model = yield* Gguf.string(gguf, "tokenizer.ggml.model")
    const readCoder = coders.get(model)
    if (readCoder === undefined) {
      const supported = [...coders.keys()].map((name) => `"${name}"`).join(" or ")
      return yield* Result.fail(
        new UnsupportedModel({ what: "tokenizer", value: Gguf.quote(model), supported }),
      )
    }
    const vocabulary = yield* read(gguf)
    const coder = yield* readCoder(gguf, vocabulary)
    return assemble(
      vocabulary,
      coder,
      yield* ends(gguf, vocabulary, coder.addBos),
      yield* turns(gguf, vocabulary),
    )
  })

const bytesOf = (self: Tokenizer, id: number): Uint8Array =>
  self.bytes.subarray(self.starts[id], self.starts[id + 1])

const textOf = (self: Tokenizer, ids: ReadonlyArray<number>): string => {
  const parts = ids.map((id) => bytesOf(self, id))
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return utf8.decode(bytes)
}

/** The ids, all inside the vocabulary, or the first that is not. */
const checked = (
  self: Tokenizer,
  ids: ReadonlyArray<number>,
): Result.Result<ReadonlyArray<number>, InvalidArgument> => {
  // By place: what is found may be a hole.
  const outside = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < self.vocabSize))
  if (outside < 0) return Result.succeed(ids)
  const value = ids[outside] ?? "nothing"
  const need = `a whole number from 0 to ${self.vocabSize - 1}`
  return Result.fail(new InvalidArgument({ name: "a token id", value, need }))
}

/** Nothing that a terminal would obey: JSON leaves some of it as it is. */
const shown = (text: string): string =>
  JSON.stringify(text).replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`,
  )

const refuse = (text: string, need: string) =>
  Result.fail(new InvalidArgument({ name: "text", value: shown(text), need }))

/**
 * The ids of a text. Special tokens written out in it become their ids; with `addSpecial`, BOS and EOS
 * are added as the model wants.
 *
 * The ids give the text back when decoded, but for habits of vocabularies: with those of letters `▁` reads as a
 * space, and some put a space before a text; Qwen's folders compose letters and marks (NFC). Fails with `InvalidArgument` where they could not: half a
 * surrogate pair, or a character for which the vocabulary lacks bytes (most have all; SmolLM2 has
 * not). About linear in the text.
 */
export const encode = (
  self: Tokenizer,
  text: string,
  { addSpecial = false }: { readonly addSpecial?: boolean } = {},
): Result.Result<ReadonlyArray<number>, InvalidArgument> => {
  const half = text.isWellFormed() ? undefined : /\p{Surrogate}/u.exec(text)?.[0]
  if (half !== undefined) return refuse(half, "part of a whole surrogate pair")
  const kept = (text: string, ids = self.ids(text)) =>
    self.returns(text).includes(textOf(self, ids))
  const ids = self.ids(text)
  // What has no token was dropped.
  if (!kept(text, ids)) {
    const lost = [...new Set(text)].find((letter) => !kept(letter))
    return refuse(lost ?? text.slice(0, 64), "of bytes that this vocabulary has tokens for")
  }
  return Result.succeed(
    addSpecial
      ? [...(self.addBos ? [self.bos!] : []), ...ids, ...(self.addEos ? [self.eos!] : [])]
      : ids,
  )
}

/** The text of ids. Bytes that are not UTF-8 read as U+FFFD. Fails with `InvalidArgument`. */
export const decode = (
  self: Tokenizer,
  ids: ReadonlyArray<number>,
): Result.Result<string, InvalidArgument> =>
  Result.map(checked(self, ids), (ids) => textOf(self, ids))

const hex = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`

/** A token as it can be shown alone: its text, or `<0xE6><0x97>` where it is part of a character. */
export const piece = (self: Tokenizer, id: number): Result.Result<string, InvalidArgument> =>
  Result.map(checked(self, [id]), () => {
    const bytes = bytesOf(self, id)
    const text = utf8.decode(bytes)
    const whole = utf8.encode(text)
    return whole.length === bytes.length && whole.every((byte, i) => byte === bytes[i])
      ? text
      : Array.from(bytes, hex).join("")
  })

/** Ids decoded one by one: the bytes of a character that is not whole yet. */
export interface Decoder {
  /** At most 3 bytes. */
  readonly held: Uint8Array
}

/** A decoder before the first id. */
export const decoder: Decoder = { held: new Uint8Array(0) }

/**
 * Takes one more id; gives the next decoder and the text that is certain now.
 *
 * The texts of all ids and then of `flush`, joined, are what `decode` gives for the ids.
 */
export const push = (
  self: Tokenizer,
  state: Decoder,
  id: number,
): Result.Result<readonly [next: Decoder, text: string], InvalidArgument> =>
  Result.map(checked(self, [id]), () => {
    const bytes = Uint8Array.of(...state.held, ...bytesOf(self, id))
    const whole = bytes.length - utf8.unfinished(bytes)
    return [{ held: bytes.subarray(whole) }, utf8.decode(bytes.subarray(0, whole))]
  })

/** The text that is left when no id follows: empty, or U+FFFD for a character that never got whole. */
export const flush = (state: Decoder): string => utf8.decode(state.held)
