/** The ten laws by name, and who counts how often each was put to the test. @module */

/** What a law is called. */
export type Name =
  | "persistence"
  | "writeOnce"
  | "conservation"
  | "atomicity"
  | "noSilentCorruption"
  | "oneOracle"
  | "merge"
  | "inertness"
  | "batchInvariance"
  | "noLeak"

/** One law. */
export interface Law {
  /** From 1 to 10. */
  readonly number: number
  /** What code calls it. */
  readonly name: Name
  /** What must hold, whatever a program does. */
  readonly statement: string
}

const law = (number: number, name: Name, statement: string): Law => ({ number, name, statement })

/** The laws by name. `Object.values(Laws)` has them in order. */
export const Laws: Readonly<Record<Name, Law>> = {
  persistence: law(
    1,
    "persistence",
    "a value that some open lease holds reads as when it was made; any other reads so too, or is refused",
  ),
  writeOnce: law(2, "writeOnce", "no write touches a slot that a value sees"),
  conservation: law(
    3,
    "conservation",
    "a block is either free or referenced, and its references are those of its open owners",
  ),
  atomicity: law(
    4,
    "atomicity",
    "what failed, was interrupted or was refused changed neither the books nor anything readable",
  ),
  noSilentCorruption: law(
    5,
    "noSilentCorruption",
    "what cannot be done is refused with an error that says why, and what can be done is done",
  ),
  oneOracle: law(6, "oneOracle", "reading gives what the naive list of rows gives"),
  merge: law(7, "merge", "attention over a cache is the merge over any partition of it"),
  inertness: law(8, "inertness", "what nobody may see changes nothing that is read"),
  batchInvariance: law(9, "batchInvariance", "a row reads the same alone and in any batch"),
  noLeak: law(
    10,
    "noLeak",
    "when all scopes are closed, every block is free and no buffer is alive",
  ),
}

/** All of them, in order. */
export const laws: ReadonlyArray<Law> = Object.values(Laws)

/** A law that did not hold. */
export class LawBroken extends Error {
  /** `LawBroken`. */
  override readonly name = "LawBroken"
  /** Which one. */
  readonly law: Name
  /** What was seen. */
  readonly detail: string
  /** Says which law, and what was seen. */
  constructor(law: Name, detail: string, cause?: unknown) {
    const { number, statement } = Laws[law]
    super(`Law ${number}, ${law}, is broken: ${detail} (it says: ${statement})`, { cause })
    this.law = law
    this.detail = detail
  }
}

/** What a defect breaks: the law it names itself, or else law 5, by which nothing but errors with a reason comes out. */
export const brokenBy = (defect: unknown): LawBroken => {
  if (defect instanceof LawBroken) return defect
  const text = defect instanceof Error ? defect.message : String(defect)
  const number = Number(/^law (\d+)/.exec(text)?.[1] ?? 5)
  const { name } = laws.find((law) => law.number === number)!
  return new LawBroken(name, `a defect: ${text}`, defect)
}

/** What programs met so far. */
export interface Tally {
  /** Laws that are asked for; the others may break unnoticed. */
  readonly asked: ReadonlySet<Name>
  /** How often each law was put to the test. */
  readonly checks: Map<Name, number>
  /** Outcomes of commands, counted. */
  readonly outcomes: Map<string, number>
}

/** Nothing met yet. */
export const tally = (asked: ReadonlyArray<Law> = laws): Tally => ({
  asked: new Set(asked.map(({ name }) => name)),
  checks: new Map(),
  outcomes: new Map(),
})

/** Counts an outcome. */
export const count = ({ outcomes }: Tally, outcome: string): void => {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
}

/** Puts a law to the test, if it was asked for. */
export const must = (
  { asked, checks }: Tally,
  law: Name,
  holds: boolean,
  detail: string | (() => string),
): void => {
  if (!asked.has(law)) return
  checks.set(law, (checks.get(law) ?? 0) + 1)
  if (!holds) throw new LawBroken(law, typeof detail === "string" ? detail : detail())
}
