/**
 * Runs recordings: one run is one transaction.
 *
 * @module
 */
import { Context, Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import type { ArrayOf, DType } from "../../kernels/kernel.ts"
import { type DeviceError, type LeaseClosed, StaleTensor } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import { back, launchesOf, staleIn } from "./memory.ts"
import { type Gpu, Service } from "./service.ts"
import { read } from "./transfer.ts"

/** What any run may fail with besides its body's own errors. */
export type RunError = DeviceError | StaleTensor | LeaseClosed

/**
 * Submits what is recorded so far; slots in `keep` get memory of their own, owned by the scope. Only the submit can be
 * interrupted: between making memory and seeing to its end there is nobody who would give it back.
 */
const send = (
  rec: Recording.Open,
  keep: unknown,
): Effect.Effect<void, DeviceError | StaleTensor, Gpu | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const gpu = yield* Service
      const work = rec.work.splice(0)
      // What follows may stand on what was lost: its values would mean nothing.
      if (rec.lost !== undefined) return yield* Effect.fail(rec.lost)
      const gone = staleIn(work)
      if (gone !== undefined) return yield* gone
      const { kept, scratch } = yield* Effect.fromResult(back(gpu, launchesOf(work), keep))
      const release = (why: string) =>
        Effect.sync(() => {
          for (const slot of kept) {
            if (slot.stale !== undefined) continue // the submit failed, and its memory went then
            slot.stale = why
            gpu.destroy(slot.buffer!)
          }
        })
      // A loop of runs that keep nothing adds nothing to its scope.
      if (kept.length > 0) yield* Effect.addFinalizer(() => release("its scope is closed"))
      yield* restore(gpu.submit(work)).pipe(
        Effect.onError(() => release("its run did not succeed")),
        Effect.ensuring(Effect.sync(() => scratch.forEach(gpu.destroy))),
      )
    })
  )

/** Waits for submits that the body did not wait for: if one fails, nothing lands. */
const sent = ({ sending }: Recording.Open): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.forEach([...sending], (over) => Deferred.await(over), { discard: true })
  )

/** Ends the transaction: all of its endings land, or none does. */
const end = (rec: Recording.Open, succeeded: boolean): Effect.Effect<void, LeaseClosed> =>
  Effect.suspend(() => {
    rec.ended = true // also where the body failed
    const endings = rec.endings.splice(0)
    const refusal = endings.map((ending) => ending.refuses()).find((why) => why !== undefined)
    const landed = succeeded && refusal === undefined
    // Undo newest first: an older claim's marks are only right again when younger ones are gone.
    for (const ending of landed ? endings : endings.toReversed()) ending.settle(landed)
    for (const ending of endings) ending.close(landed)
    return succeeded && refusal !== undefined ? Effect.fail(refusal) : Effect.void
  })

/**
 * Records `body`, submits it, returns its value. Only the tensors in that value keep memory, owned by the
 * scope. If the body, the submit or a claim fails, or the fiber is interrupted, nothing has happened:
 * no cache changed, no block is held, no memory stays.
 *
 * One run is one submit, unless the body asks for values on the way with `fetch`.
 */
export const run = <A, E, R>(
  body: Effect.Effect<A, E, R>,
): Effect.Effect<
  A,
  E | RunError,
  Exclude<R, Recording.Recording | Recording.Transaction> | Gpu | Scope.Scope
> =>
  Effect.uninterruptibleMask((restore) => {
    const rec = Recording.open()
    const services = Context.make(Recording.Service, rec).pipe(Context.add(Recording.Once, rec))
    const work = Effect.provideContext(body, services).pipe(
      Effect.flatMap((value) => {
        rec.ended = true // whatever a forked fiber still records would not be sent
        return Effect.as(Effect.andThen(send(rec, value), sent(rec)), value)
      }),
    )
    return Effect.flatMap(
      Effect.exit(restore(work)),
      (ended): Effect.Effect<A, E | RunError> => {
        // A body may go on after a submit that failed, but its transaction cannot land.
        const lost = Exit.isSuccess(ended) ? rec.lost : undefined
        const exit = lost === undefined ? ended : Exit.fail(lost)
        return Effect.flatMap(end(rec, Exit.isSuccess(exit)), () => exit)
      },
    )
  })

/**
 * Inside a run: submits what is recorded so far and begins to bring a tensor to the host; what it gives back
 * waits for the values. So the next submit can be on its way before the last is awaited. The transaction
 * stays open; other tensors recorded so far are stale afterwards.
 */
export const begin = <D extends DType>(
  tensor: Tensor<D, string>,
): Effect.Effect<
  Effect.Effect<ArrayOf[D], DeviceError | StaleTensor>,
  DeviceError | StaleTensor,
  Recording.Transaction | Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const rec = yield* Recording.Once
    // Also when the body goes on: what was not written must not land.
    const loses = (error: DeviceError | StaleTensor) => Effect.sync(() => rec.lost ??= error)
    const why = "its submit was interrupted"
    const over = Deferred.makeUnsafe<void>()
    rec.sending.add(over)
    yield* send(rec, tensor).pipe(
      Effect.tapError(loses),
      Effect.onInterrupt(() => loses(new StaleTensor({ name: "the recording", why }))),
      Effect.ensuring(Effect.suspend(() => {
        rec.sending.delete(over)
        return Deferred.succeed(over, undefined)
      })),
    )
    const values = Effect.tapError(read(tensor), loses)
    return Fiber.join(yield* Effect.forkChild(values, { startImmediately: true }))
  })

/**
 * Inside a run: submits what is recorded so far and brings a tensor to the host. This is how a step decides
 * from device values how many tokens it keeps.
 */
export const fetch = <D extends DType>(
  tensor: Tensor<D, string>,
): Effect.Effect<
  ArrayOf[D],
  DeviceError | StaleTensor,
  Recording.Transaction | Gpu | Scope.Scope
> => Effect.flatten(begin(tensor))

export {
  capture,
  type Given,
  type Inputs,
  type Program,
  replay,
  tensor,
  type Values,
} from "./capture.ts"
