/** What one transaction does, as data that prints as the call that makes it. @module */
import fc from "fast-check"
import { index, some } from "./command.ts"

/** One row of a step: how many tokens a value claims, and how many of them stay. */
export interface StepRow {
  /** Counted back from the newest. */
  readonly value: number
  /** Tokens claimed. */
  readonly count: number
  /** Tokens of them that stay. */
  readonly kept: number
}

/** `fetch`: asks for a value inside. `fail`: fails after its launches. `leak`: others see its result at once. */
export type StepHow = "plain" | "fetch" | "fail" | "leak"

/** An effect on caches. Values are counted back from the newest, those of this run included. */
export type Effect =
  | { readonly kind: "realize"; readonly values: ReadonlyArray<number> }
  | { readonly kind: "gather"; readonly value: number }
  | { readonly kind: "read"; readonly value: number; readonly group: number }
  | { readonly kind: "make"; readonly value: number; readonly count: number }
  | { readonly kind: "step"; readonly rows: ReadonlyArray<StepRow>; readonly how: StepHow }

/** An effect; one that fails and is caught lets the rest of the run go on. */
export type Act = Effect & { readonly caught: boolean }

const plain = <E extends Effect>(effect: E): E & { readonly caught: boolean } => ({
  ...effect,
  caught: false,
})

/** Places values. */
export const realize = (...values: ReadonlyArray<number>): Act => plain({ kind: "realize", values })
/** Reads all a value sees. */
export const gather = (value: number): Act => plain({ kind: "gather", value })
/** Reads all that the layers of a group see, by attention. */
export const read = (value: number, group: number): Act => plain({ kind: "read", value, group })
/** Appends rows that the run itself makes. */
export const make = (value: number, count: number): Act => plain({ kind: "make", value, count })
/** Adds rows to several values at once. */
export const step = (rows: ReadonlyArray<StepRow>, how: StepHow = "plain"): Act =>
  plain({ kind: "step", rows, how })
/** A row of a step. */
export const row = (value: number, count: number, kept: number = count): StepRow => ({
  value,
  count,
  kept,
})
/** An act that may fail: the run goes on. */
export const attempt = (act: Act): Act => ({ ...act, caught: true })

const showRow = ({ value, count, kept }: StepRow): string =>
  kept >= count ? `row(${value}, ${count})` : `row(${value}, ${count}, ${kept})`

const showEffect = (act: Effect): string => {
  switch (act.kind) {
    case "realize":
      return `realize(${act.values.join(", ")})`
    case "gather":
      return `gather(${act.value})`
    case "read":
      return `read(${act.value}, ${act.group})`
    case "make":
      return `make(${act.value}, ${act.count})`
    case "step": {
      const how = act.how === "plain" ? "" : `, "${act.how}"`
      return `step([${act.rows.map(showRow).join(", ")}]${how})`
    }
  }
}

/** The acts as they are written. */
export const show = (acts: ReadonlyArray<Act>): string =>
  `[${acts.map((act) => act.caught ? `attempt(${showEffect(act)})` : showEffect(act)).join(", ")}]`

const effect: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: some.map((values) => realize(...values)) },
  { weight: 1, arbitrary: index.map(gather) },
  { weight: 1, arbitrary: fc.tuple(index, fc.nat(2)).map(([value, group]) => read(value, group)) },
  {
    weight: 1,
    arbitrary: fc.tuple(index, fc.integer({ min: 1, max: 4 }))
      .map(([value, count]) => make(value, count)),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.array(fc.record({ value: index, count: fc.nat(5), kept: fc.nat(5) }), {
        minLength: 1,
        maxLength: 3,
      }),
      fc.constantFrom<StepHow>("plain", "plain", "fetch", "fail", "leak"),
    ).map(([rows, how]) => step(rows, how)),
  },
)

/** What a transaction may do. */
export const acts: fc.Arbitrary<ReadonlyArray<Act>> = fc.array(
  fc.tuple(effect, fc.constantFrom(false, false, true))
    .map(([act, caught]): Act => ({ ...act, caught })),
  { minLength: 1, maxLength: 3 },
).filter((all) =>
  // Rows that a failed run made are gone, and so must be what was made of them.
  !(all.some(({ kind }) => kind === "make") &&
    all.some((act) => act.kind === "step" && act.how === "leak"))
)
