/**
 * Bytes and text: UTF-8, and the letters that byte-level vocabularies write bytes with.
 *
 * @module
 */

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** Text of bytes; what is not UTF-8 reads as U+FFFD. */
export const decode = (bytes: Uint8Array): string => utf8.decode(bytes)

const between = (byte: number, low: number, high: number): boolean => byte >= low && byte <= high

/**
 * Letter by letter the byte it stands for: printable Latin-1 stands for itself, and the other 68 bytes
 * are the letters from U+0100 on. Source: GPT-2's `bytes_to_unicode`.
 */
export const alphabet: ReadonlyMap<string, number> = (() => {
  const out = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 0x100; byte++) {
    const self = between(byte, 0x21, 0x7e) || between(byte, 0xa1, 0xac) || between(byte, 0xae, 0xff)
    out.set(String.fromCharCode(self ? byte : next++), byte)
  }
  return out
})()

const encoder = new TextEncoder()

/** UTF-8 of a text. */
export const encode = (text: string): Uint8Array => encoder.encode(text)

const letters: ReadonlyArray<string> = [...alphabet].sort(([, a], [, b]) => a - b).map(
  ([letter]) => letter,
)

/** The bytes of a text, written in the alphabet. */
export const spell = (text: string): string => {
  let out = ""
  for (const byte of encode(text)) out += letters[byte]!
  return out
}

/** Writes the UTF-8 of a text to `out` from `at` on, which has the room; gives where it ends. */
export const write = (text: string, out: Uint8Array<ArrayBuffer>, at: number): number =>
  at + encoder.encodeInto(text, out.subarray(at)).written

/** By code unit the byte that a letter of the alphabet stands for, and -1. */
const byteOf = Int16Array.from(
  { length: 0x144 },
  (_, unit) => alphabet.get(String.fromCharCode(unit)) ?? -1,
)

/** The same of a token written in the alphabet: its bytes, or the text itself when some letter is outside it. */
export const unspell = (token: string, out: Uint8Array<ArrayBuffer>, at: number): number => {
  for (let i = 0; i < token.length; i++) {
    const byte = byteOf[token.charCodeAt(i)] ?? -1
    if (byte < 0) return write(token, out, at)
    out[at + i] = byte
  }
  return at + token.length
}

const width = (lead: number): number =>
  between(lead, 0xc2, 0xdf) ? 2 : between(lead, 0xe0, 0xef) ? 3 : between(lead, 0xf0, 0xf4) ? 4 : 1

// Past these a second byte would write a character in too many bytes, a surrogate or above U+10FFFF.
const seconds = (lead: number): readonly [low: number, high: number] => [
  lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80,
  lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf,
]

/** How many bytes at the end begin a character that further bytes may complete: 0 to 3. */
export const unfinished = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const lead = bytes[bytes.length - back]!
    if (between(lead, 0x80, 0xbf)) continue
    if (width(lead) <= back) return 0
    return back === 1 || between(bytes[bytes.length - back + 1]!, ...seconds(lead)) ? back : 0
  }
  return 0
}
