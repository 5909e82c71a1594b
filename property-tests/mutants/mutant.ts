/** What a list of mutants holds. @module */

/** One change to a source, after which some test has to fail. */
export interface Mutant {
  /** Path of the source from the root of the project. */
  readonly file: string
  /** Text that stands in it exactly once. */
  readonly from: string
  /** What is put in its place. */
  readonly to: string
  /** The mistake that it makes. */
  readonly why: string
  /** Test files to try before those of `tests.ts`. */
  readonly tests?: ReadonlyArray<string>
}

/** Lists of this folder; the others are parts of them. */
export const lists: ReadonlyArray<string> = [
  "semantics",
  "cache",
  "attention",
  "kernels",
  "device",
  "snapshot",
  "views",
]

/** Changes of one file, as (text, its replacement, the mistake). */
export const inside = (
  file: string,
  changes: ReadonlyArray<readonly [from: string, to: string, why: string]>,
  tests: ReadonlyArray<string> = [],
): ReadonlyArray<Mutant> => changes.map(([from, to, why]) => ({ file, from, to, why, tests }))

const texts = ["file", "from", "to", "why"] as const

const isMutant = (value: unknown): value is Mutant => {
  if (typeof value !== "object" || value === null) return false
  const { tests = [], ...fields }: { readonly [name: string]: unknown } = { ...value }
  return texts.every((name) => typeof fields[name] === "string") && Array.isArray(tests) &&
    tests.every((test) => typeof test === "string")
}

/** A list as it was read, or what is wrong with it. */
export const parse = (name: string, value: unknown): ReadonlyArray<Mutant> | string => {
  if (!Array.isArray(value)) return `Cannot read ${name} as a list of mutants: it is no array`
  const bad = value.findIndex((one) => !isMutant(one))
  return bad === -1
    ? value
    : `Cannot read entry ${bad} of ${name} as a mutant: it needs ${texts.join(", ")} as strings`
}
