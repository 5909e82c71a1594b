/** Error scopes and the device's loss, as effects. @module */
import { Deferred, Effect, Result } from "effect"
import { GpuFault, type GpuLost } from "../../errors.ts"

/** A device that was opened, and the news of its loss. */
export interface Opened {
  readonly device: GPUDevice
  /** The adapter's own words. */
  readonly adapter: string
  /** The adapter says that it is a processor that plays a GPU. */
  readonly software: boolean
  /** Optional features the adapter lists. */
  readonly features: ReadonlyArray<string>
  /** Fails when the device is lost; never succeeds. */
  readonly lost: Deferred.Deferred<never, GpuLost>
}

const scopes = ["internal", "out-of-memory", "validation"] as const

// Deno and Dawn have classes of their own for these, so only the name is common.
const kindOf = (error: GPUError): GpuFault["kind"] =>
  error.constructor.name === "GPUOutOfMemoryError"
    ? "out-of-memory"
    : error.constructor.name === "GPUInternalError"
    ? "internal"
    : "validation"

/** What the device says of some work, later. It never rejects. */
export type Verdict = Promise<GpuFault | undefined>

/** Work that was given to the device: what came back at once, and its verdict. */
export interface Tried<out A> {
  readonly made: Result.Result<A, GpuFault>
  readonly verdict: Verdict
}

/**
 * Runs `make` inside error scopes. It is synchronous, because scopes are one stack a device: nothing of
 * another fiber may come between push and pop.
 */
export const tried = <A>(device: GPUDevice, kernel: string, make: () => A): Tried<A> => {
  for (const scope of scopes) device.pushErrorScope(scope)
  let made: Tried<A>["made"]
  try {
    made = Result.succeed(make())
  } catch (error) { // a binding that checks in JavaScript throws where others report
    made = Result.fail(
      new GpuFault({ kind: "validation", kernel, detail: (error as Error).message }),
    )
  }
  const verdict = Promise.all(scopes.map(() => device.popErrorScope())).then(
    (errors) => {
      const error = errors.find((e) => e !== null && e !== undefined)
      if (error) return new GpuFault({ kind: kindOf(error), kernel, detail: error.message.trim() })
    },
    (error) => new GpuFault({ kind: "internal", kernel, detail: String(error) }),
  )
  return { made, verdict }
}

/** The first fault of several verdicts, in their order. */
export const all = (verdicts: ReadonlyArray<Verdict>): Verdict =>
  Promise.all(verdicts).then((faults) => faults.find((fault) => fault !== undefined))

/** One turn of the event loop. */
const turn: Effect.Effect<void> = Effect.callback((resume) => {
  const timer = setTimeout(() => resume(Effect.void), 0)
  return Effect.sync(() => clearTimeout(timer))
})

/**
 * Work that ends with an error when the device is lost, instead of waiting for ever. Deno tells of a loss just after
 * what fails by it, so a fault waits a turn for the reason behind it.
 */
export const alive = <A, E>(
  { lost }: Opened,
  work: Effect.Effect<A, E>,
): Effect.Effect<A, E | GpuLost> =>
  Effect.raceFirst(Effect.tapError(work, () => turn), Deferred.await(lost))

/** Runs `make` inside error scopes, and waits for the verdict. */
export const guarded = <A>(
  opened: Opened,
  kernel: string,
  make: () => A,
): Effect.Effect<A, GpuFault | GpuLost> =>
  alive(
    opened,
    Effect.callback<A, GpuFault>((resume) => {
      const { made, verdict } = tried(opened.device, kernel, make)
      verdict.then((fault) =>
        resume(fault === undefined ? Effect.fromResult(made) : Effect.fail(fault))
      )
    }),
  )
