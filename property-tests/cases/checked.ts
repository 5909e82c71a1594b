/** What checking a recorded case says. @module */
import { Cause, Effect, Exit } from "effect"

/** A case that was compared, or could not be. */
export type Checked =
  | ({ readonly _tag: "Compared"; readonly name: string } & Distance)
  | { readonly _tag: "Skipped"; readonly name: string; readonly reason: string }

/** How far a result is from what was recorded. */
export interface Distance {
  /** Largest absolute difference of two numbers; 0 where nothing but equality counts. */
  readonly error: number
  /** What is not as recorded, with numbers; empty if the case passes. */
  readonly differs: ReadonlyArray<string>
  /** What a reader should know of a case that passes. */
  readonly notes: ReadonlyArray<string>
}

/** `|actual − expected| ≤ abs + rel · |expected|`. */
export interface Tolerance {
  readonly abs: number
  readonly rel: number
}

/** No difference. */
export const none: Distance = { error: 0, differs: [], notes: [] }

/** All differences of several comparisons. */
export const all = (...parts: ReadonlyArray<Distance>): Distance => ({
  error: Math.max(0, ...parts.map(({ error }) => error)),
  differs: parts.flatMap(({ differs }) => differs),
  notes: parts.flatMap(({ notes }) => notes),
})

/** Compares numbers; equal infinities are equal. */
export const numbers = (
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { abs, rel }: Tolerance,
): Distance => {
  if (actual.length !== expected.length) {
    return { ...none, differs: [`${what}: ${actual.length} numbers, not ${expected.length}`] }
  }
  let [error, wrong, worst, beyond] = [0, 0, 0, 0]
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!]
    if (a === e || Object.is(a, e)) continue
    const distance = Number.isNaN(a - e) ? Infinity : Math.abs(a - e)
    const allowed = Number.isFinite(e) ? abs + rel * Math.abs(e) : 0
    error = Math.max(error, distance)
    if (distance <= allowed) continue
    wrong++
    if (distance - allowed > beyond) [beyond, worst] = [distance - allowed, i]
  }
  if (wrong === 0) return { ...none, error }
  const allowed = rel === 0 ? `${abs}` : `${abs} + ${rel} of it`
  const at = `[${worst}] is ${actual[worst]}, not ${expected[worst]}`
  return {
    error,
    differs: [`${what}: ${wrong} of ${expected.length} differ, ${at} (${allowed} allowed)`],
    notes: [],
  }
}

/** Compares exactly; shows where the two part. */
export const equal = (
  what: string,
  actual: Iterable<string | number>,
  expected: Iterable<string | number>,
): Distance => {
  const [a, e] = [[...actual], [...expected]]
  const at = Array.from({ length: Math.max(a.length, e.length) }, (_, i) => i)
    .find((i) => a[i] !== e[i])
  if (at === undefined) return none
  const show = (one: string | number | undefined) => JSON.stringify(one) ?? "missing"
  return { ...none, differs: [`${what}[${at}] is ${show(a[at])}, not ${show(e[at])}`] }
}

/** A case that is not compared, and why. */
export const skipped = (name: string, reason: string): Checked => ({
  _tag: "Skipped",
  name,
  reason,
})

interface Failure {
  readonly _tag: string
  readonly message: string
}

/** Checks one case: whatever goes wrong in it is what differs. */
export const check = <R>(
  name: string,
  compared: Effect.Effect<Distance, Failure, R>,
): Effect.Effect<Checked, never, R> =>
  Effect.map(Effect.exit(compared), (exit): Checked => {
    if (Exit.isSuccess(exit)) return { _tag: "Compared", name, ...exit.value }
    const failure = exit.cause.reasons.find(Cause.isFailReason)?.error
    const why = failure === undefined
      ? Cause.pretty(exit.cause)
      : `${failure._tag}: ${failure.message}`
    return { _tag: "Compared", name, ...none, differs: [why] }
  })

/** Checks a case that must be refused with one of these tags. */
export const refused = <A, R>(
  name: string,
  tags: ReadonlyArray<string>,
  tried: Effect.Effect<A, Failure, R>,
): Effect.Effect<Checked, never, R> =>
  check(
    name,
    Effect.matchEffect(tried, {
      onSuccess: () =>
        Effect.succeed({ ...none, differs: [`no refusal, not ${tags.join(" or ")}`] }),
      onFailure: (failure) =>
        tags.includes(failure._tag) ? Effect.succeed(none) : Effect.fail(failure),
    }),
  )
