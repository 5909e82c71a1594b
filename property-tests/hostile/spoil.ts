/** Everything that a number, a list or an option of a call's arguments should not be. @module */

/** Numbers of JavaScript at the ends of every kind that a size, an index or a word may have. */
export const numbers: ReadonlyArray<number> = [
  -(2 ** 31),
  -1,
  -0,
  0,
  1,
  0.5,
  1.5,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e308,
  Infinity,
  -Infinity,
  NaN,
]

/** What TypeScript refuses, and JavaScript does not. */
export const foreign: ReadonlyArray<unknown> = [undefined, null, "1", 1n, [], {}]

/** Where in the arguments: the number of one, then names of members. */
export type Path = ReadonlyArray<string | number>

/** Values of the library are none of a caller's making: they are not looked into. */
const isPlain = (x: object): boolean =>
  Object.getPrototypeOf(x) === Object.prototype && Object.getOwnPropertySymbols(x).length === 0 &&
  ![
    "ledgers",
    "arena",
    "pages",
    "views",
    "collection",
    "slot",
    "groups",
    "weights",
    "owners",
    "kernel",
    "vocabSize",
  ]
    .some((name) => name in x)

/** Elements of a long list that are tried: the first two and the last. */
const some = (length: number): ReadonlyArray<number> =>
  [...new Set([0, 1, length - 1])].filter((i) => i >= 0 && i < length)

const isWords = (x: unknown): x is Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer> =>
  x instanceof Uint32Array || x instanceof Int32Array

/** Paths of all numbers, and of all lists of numbers. */
export const leaves = (given: unknown, path: Path = []): ReadonlyArray<Path> => {
  if (typeof given === "number") return [path]
  if (typeof given !== "object" || given === null) return []
  if (Array.isArray(given) || isWords(given)) {
    const parts = some(given.length).flatMap((i) => leaves(given[i], [...path, i]))
    return path.length > 0 && [...given].some((one) => typeof one === "number")
      ? [path, ...parts]
      : parts
  }
  if (!isPlain(given)) return []
  return Object.entries(given).flatMap(([name, part]) => leaves(part, [...path, name]))
}

/** What is there. */
export const at = (given: unknown, path: Path): unknown =>
  path.reduce((part, name) => (part as Readonly<Record<string, unknown>>)[name], given)

/** The same with something else there; nothing that was given is written to. */
export const put = (given: unknown, [name, ...rest]: Path, bad: unknown): unknown => {
  if (name === undefined) return bad
  const part = (given as Readonly<Record<string, unknown>>)[name]
  const next = put(part, rest, bad)
  if (Array.isArray(given)) return given.with(name as number, next)
  if (isWords(given)) {
    return typeof next === "number"
      ? given.with(name as number, next)
      : [...given].with(name as number, next as number)
  }
  return { ...given as object, [name]: next }
}

/** Lists that are too short, too long, or have a hole. */
const lists = (list: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const holed = [...list]
  delete holed[list.length - 1]
  return [[], list.slice(1), [...list, list.at(-1)], holed, list.toReversed()]
}

/** What a leaf is replaced by. */
export const spoilt = (value: unknown): ReadonlyArray<unknown> =>
  Array.isArray(value) || isWords(value) ? lists([...value]) : numbers

/** A value in a report. */
export const show = (value: unknown, most: number = 400): string => {
  const seen = new Set<unknown>()
  const text = JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "number") {
      return Number.isFinite(part) && !Object.is(part, -0)
        ? part
        : `${Object.is(part, -0) ? "-0" : part}`
    }
    if (typeof part === "bigint") return `${part}n`
    if (typeof part === "function") return "function"
    if (typeof part !== "object" || part === null) return part
    if (seen.has(part)) return "…"
    seen.add(part)
    if ("slot" in part && "shape" in part) return `tensor [${part.shape}]`
    if (Array.isArray(part)) return Array.from(part, (one) => one === undefined ? "nothing" : one)
    return isPlain(part) || isWords(part) ? part : "value"
  })
  return text?.slice(0, most) ?? "undefined"
}
