/** JSON as a tree that can be spoilt: keys may stand twice, and any text may stand where a value should. @module */
import { anyText, hostileWhole } from "../hostile.ts"
import type { Random } from "../random.ts"

/** An object, in the order of its text. */
export interface Members {
  pairs: Array<[key: string, value: Tree]>
}

/** Text that stands as it is. */
export interface Raw {
  readonly raw: string
}

/** A value. */
export type Tree = null | boolean | number | string | Array<Tree> | Members | Raw

const isMembers = (tree: Tree): tree is Members =>
  typeof tree === "object" && tree !== null && "pairs" in tree

/** The tree of what JSON would be made of. */
export const treeOf = (value: unknown): Tree => {
  if (Array.isArray(value)) return value.map(treeOf)
  if (typeof value === "bigint") return { raw: `${value}` }
  if (typeof value !== "object" || value === null) {
    return value === undefined ? null : value as boolean | number | string // what else JSON has
  }
  return { pairs: Object.entries(value).map(([key, one]) => [key, treeOf(one)]) }
}

/** The text of a tree. */
export const textOf = (tree: Tree): string => {
  if (Array.isArray(tree)) return `[${tree.map(textOf).join(",")}]`
  if (typeof tree !== "object" || tree === null) return JSON.stringify(tree)
  if ("raw" in tree) return tree.raw
  return `{${tree.pairs.map(([key, one]) => `${JSON.stringify(key)}:${textOf(one)}`).join(",")}}`
}

/** Its bytes. */
export const bytesOf = (tree: Tree): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(textOf(tree))

const nested = (random: Random): Raw => {
  const depth = random.pick([1, 60, 63, 64, 65, 200, 20_000])
  const [open, close] = random.pick([["[", "]"], ['{"a":', "}"], ["[", ""]])
  return { raw: open.repeat(depth) + (close === "}" ? "0" : "") + close.repeat(depth) }
}

const numerals = [
  "-1",
  "0.5",
  "-0",
  "1e400",
  "-1e400",
  "1e-400",
  "01",
  "+1",
  ".5",
  "1.",
  "1e",
  "0x10",
  "NaN",
  "Infinity",
  "9".repeat(64),
  "9".repeat(65),
  "1" + "0".repeat(300),
]

/** Some value that is not what anybody asks for. */
export const anyTree = (random: Random): Tree => {
  switch (random.below(12)) {
    case 0:
      return null
    case 1:
      return random.oneIn(2)
    case 2:
      return random.below(4)
    case 3:
      return { raw: `${hostileWhole(random)}` }
    case 4:
      return { raw: `-${hostileWhole(random)}` }
    case 5:
      return { raw: random.pick(numerals) }
    case 6:
    case 7:
      return anyText(random)
    case 8:
      return []
    case 9:
      return { pairs: random.some(2, () => [anyText(random), random.below(9)]) }
    case 10:
      return random.some(3, () => anyTree(random))
    default:
      return nested(random)
  }
}

/** Places that hold a value: what is in it, and how to put another there. */
interface Place {
  readonly name: string
  readonly value: Tree
  readonly put: (value: Tree) => void
  /** Its object, if it is a member, and which. */
  readonly of?: readonly [Members, number]
}

const placesOf = (tree: Tree, name: string, out: Array<Place>, most: number): void => {
  // Of a vocabulary a few are enough.
  const step = (length: number) => Math.max(1, Math.floor(length / most))
  if (Array.isArray(tree)) {
    for (let i = 0; i < tree.length; i += step(tree.length)) {
      out.push({ name: `${name}[${i}]`, value: tree[i]!, put: (value) => void (tree[i] = value) })
      placesOf(tree[i]!, `${name}[${i}]`, out, most)
    }
  } else if (isMembers(tree)) {
    for (let i = 0; i < tree.pairs.length; i += step(tree.pairs.length)) {
      const pair = tree.pairs[i]!
      const here = `${name}.${pair[0]}`
      const put = (value: Tree) => void (pair[1] = value)
      out.push({ name: here, value: pair[1], put, of: [tree, i] })
      placesOf(pair[1], here, out, most)
    }
  }
}

const spoilers: Readonly<Record<string, (random: Random, place: Place) => void>> = {
  "another value": (random, { put }) => put(anyTree(random)),
  "another whole number": (random, { put }) => put({ raw: `${hostileWhole(random)}` }),
  "missing": (_, { of }) => void of?.[0].pairs.splice(of[1], 1),
  "twice": (random, { of, value }) => {
    if (of === undefined) return
    const [{ pairs }, i] = of
    pairs.splice(random.below(pairs.length + 1), 0, [pairs[i]![0], random.oneIn(2) ? value : null])
  },
  "another key": (random, { of }) => {
    if (of !== undefined) of[0].pairs[of[1]]![0] = anyText(random)
  },
  "one more member": (random, { of }) => {
    const key = random.pick(["__proto__", "constructor", "toString", anyText(random)])
    of?.[0].pairs.push([key, anyTree(random)])
  },
  "a little off": (random, { value, put }) => {
    if (typeof value === "number") put(value + random.pick([-1, 1, 0.5, 2 ** 31, 2 ** 53]))
    else if (typeof value === "string") put(value + random.pick(["", " ", "x", "\0"]))
    else if (typeof value === "boolean") put(!value)
    else if (Array.isArray(value)) put(random.oneIn(2) ? value.slice(1) : [...value, ...value])
  },
}

/** Spoils one place of a tree; gives how. Of long lists a few places are tried, `most` of them. */
export const spoilTree = (random: Random, tree: Tree, most: number = 12): string => {
  const places: Array<Place> = []
  placesOf(tree, "", places, most)
  if (places.length === 0) return "nothing"
  const place = random.pick(places)
  const how = random.pick(Object.keys(spoilers))
  spoilers[how]!(random, place)
  return `${place.name}: ${how}`
}
