/** Error scopes and the device's loss, as effects. @module */
import { Deferred, Effect, Exit } from "effect"
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

/** Work that ends with an error when the device is lost, instead of waiting for ever. */
export const alive = <A, E>(
  { lost }: Opened,
  work: Effect.Effect<A, E>,
): Effect.Effect<A, E | GpuLost> => Effect.raceFirst(work, Deferred.await(lost))

/**
 * Runs `make` inside error scopes. It is synchronous, because scopes are one stack a device: nothing of
 * another fiber may come between push and pop.
 */
export const guarded = <A>(
  opened: Opened,
  kernel: string,
  make: () => A,
): Effect.Effect<A, GpuFault | GpuLost> =>
  alive(
    opened,
    Effect.callback<A, GpuFault>((resume) => {
      const { device } = opened
      const fault = (kind: GpuFault["kind"], detail: string) =>
        Effect.fail(new GpuFault({ kind, kernel, detail }))
      for (const scope of scopes) device.pushErrorScope(scope)
      let made: Exit.Exit<A, GpuFault>
      try {
        made = Exit.succeed(make())
      } catch (error) { // a binding that checks in JavaScript throws where others report
        made = Exit.fail(
          new GpuFault({ kind: "validation", kernel, detail: (error as Error).message }),
        )
      }
      Promise.all(scopes.map(() => device.popErrorScope())).then(
        (errors) => {
          const error = errors.find((e) => e !== null && e !== undefined)
          resume(error ? fault(kindOf(error), error.message.trim()) : made)
        },
        (error) => resume(fault("internal", String(error))),
      )
    }),
  )
