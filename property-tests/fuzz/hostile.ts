/** Numbers and texts that readers trip over. @module */
import type { Random } from "./random.ts"

/** Near what widths of integers, and of doubles, hold. */
export const wholes: ReadonlyArray<bigint> = [
  0n,
  1n,
  2n,
  3n,
  4n,
  5n,
  7n,
  8n,
  9n,
  31n,
  32n,
  33n,
  255n,
  256n,
  65_535n,
  65_536n,
  65_537n,
  ...[20n, 23n, 24n, 28n, 31n, 32n, 53n, 62n, 63n, 64n].flatMap((power) => {
    const around = 2n ** power
    return [around - 1n, around, around + 1n]
  }),
].filter((whole) => whole < 2n ** 64n)

/** The same, and their negatives as unsigned numbers of 64 bits. */
export const hostileWhole = (random: Random): bigint => {
  const whole = random.pick(wholes)
  return random.oneIn(4) ? BigInt.asUintN(64, -whole) : whole
}

/** Texts that are keys of every object, that end lines, that turn around, that are long or nothing. */
export const texts: ReadonlyArray<string> = [
  "",
  " ",
  "\0",
  "\n",
  "\ufeff",
  "\ufeffb",
  "\ufffd",
  "\u202e",
  "\x1b[2J",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "length",
  "naïve 🙂",
  "▁",
  "<s>",
  "\u0301",
  "x".repeat(70),
  "é".repeat(300),
]

/** One of them, or a few letters. */
export const anyText = (random: Random): string =>
  random.oneIn(3)
    ? random.pick(texts)
    : Array.from({ length: random.below(9) }, () => random.pick([..."abcdeé._🙂"])).join("")

const joined = (first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(first.length + second.length)
  out.set(first)
  out.set(second, first.length)
  return out
}

/** Bytes with some of them flipped, replaced, left out, doubled, or the end cut off. */
export const damaged = (random: Random, bytes: Uint8Array): Uint8Array<ArrayBuffer> => {
  const out = Uint8Array.from(bytes)
  if (out.length === 0) return out
  const at = random.below(out.length)
  switch (random.below(6)) {
    case 0:
      out[at]! ^= 1 << random.below(8)
      return out
    case 1:
      out[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)])
      return out
    case 2: {
      const whole = hostileWhole(random)
      for (let i = 0; i < 8 && at + i < out.length; i++) {
        out[at + i] = Number((whole >> BigInt(8 * i)) & 0xffn)
      }
      return out
    }
    case 3:
      return out.slice(0, at)
    case 4: {
      const length = 1 + random.below(Math.min(16, out.length - at))
      return joined(out.subarray(0, at), out.subarray(at + length))
    }
    default: {
      const length = 1 + random.below(Math.min(16, out.length - at))
      return joined(out.subarray(0, at + length), out.subarray(at))
    }
  }
}
