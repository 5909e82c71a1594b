/**
 * Plays a case while something goes wrong, and looks at everything afterwards: the error, the books, older values, what
 * is alive, and whether the same works when it is tried again.
 *
 * @module
 */
import { Cause, Context, Effect, Exit, Fiber, Layer, Scheduler, Scope } from "effect"
import assert from "node:assert/strict"
import { Gpu, Lease } from "../../mod.ts"
import type { Plan, Rig } from "./faults.ts"
import type { Case } from "./programs.ts"
import * as Stage from "./stage.ts"

/** What goes wrong. */
export interface Trouble {
  /** A call of the device. */
  readonly plan?: Plan
  /** Interrupted when the device is called for this time. */
  readonly call?: number
  /** Interrupted before this step of any of its fibers. */
  readonly step?: number
  /** Interrupted so many milliseconds after the fault: where it would wait for ever. */
  readonly patience?: number
}

/** What was seen. */
export interface Played {
  /** Calls of the device, and steps of fibers, until it ended. */
  readonly calls: ReadonlyArray<string>
  readonly steps: number
  /** What went wrong; undefined where everything went well. */
  readonly struck: string | undefined
  readonly outcome: "done" | "interrupted" | "GpuFault" | "GpuLost"
  /** What it read, when it went well at last, and the books after each of its operations. */
  readonly value: unknown
  readonly landed: ReadonlyArray<unknown>
}

/** Longest that anything may take before it counts as hanging. */
const longest = 20_000

const ends = async <A>(what: string, promise: Promise<A>): Promise<A> => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} never ends`)), longest)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Counts the steps of all fibers under it, and yields at one of them. */
const counting = (at: number | undefined, then: () => void) => {
  const usual = new Scheduler.MixedScheduler()
  const counted = {
    steps: 0,
    scheduler: {
      executionMode: usual.executionMode,
      makeDispatcher: () => usual.makeDispatcher(),
      shouldYield: (fiber: Fiber.Fiber<unknown, unknown>) => {
        if (counted.steps++ !== at) return usual.shouldYield(fiber)
        then()
        return true
      },
    } satisfies Scheduler.Scheduler,
  }
  return counted
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>, interrupted: boolean): Played["outcome"] => {
  if (Exit.isSuccess(exit)) return "done"
  const { cause } = exit
  if (interrupted && Cause.hasInterruptsOnly(cause)) return "interrupted"
  const error = cause.reasons.find(Cause.isFailReason)?.error as { _tag?: string } | undefined
  const tag = error?._tag
  if (Cause.hasDies(cause) || (tag !== "GpuFault" && tag !== "GpuLost")) {
    throw new Error(`not a typed error of the device: ${Cause.pretty(cause)}`)
  }
  return tag
}

/** Is the device gone after this? */
const loses = (struck: string | undefined): boolean => /: (destroy|lost)$/.test(struck ?? "")

/**
 * Plays it on a device of its own. `want` is what happens when nothing goes wrong; without it only the case's own
 * checks are made.
 */
export const play = async (
  rig: Rig,
  { act }: Case,
  trouble: Trouble = {},
  want?: Played,
): Promise<Played> => {
  const { faults } = rig
  const outer = Scope.makeUnsafe()
  const context = await Effect.runPromise(Layer.buildWithScope(Layer.orDie(rig.layer), outer))
  const run = <A>(effect: Effect.Effect<A, unknown, Gpu>) =>
    ends("what comes afterwards", Effect.runPromiseExit(Effect.provideContext(effect, context)))
  const well = async <A>(effect: Effect.Effect<A, unknown, Gpu>): Promise<A> => {
    const exit = await run(effect)
    if (Exit.isSuccess(exit)) return exit.value
    throw new Error(`it goes wrong afterwards: ${Cause.pretty(exit.cause)}`)
  }
  const stage = await well(Scope.provide(Stage.make, outer))
  const gpu = Context.get(context, Gpu.Service)
  const [before, live] = [Stage.holdings(stage.arena), gpu.live()]
  const acting = Lease.scoped(stage.arena)(act(stage))

  const nothing = () => {}
  let interrupt = nothing
  let interrupted = false
  const stop = () => {
    interrupted = true
    interrupt()
  }
  let timer: ReturnType<typeof setTimeout> | undefined
  const counted = counting(trouble.step, stop)
  faults.arm(trouble.plan, (call) => {
    if (call === trouble.call) stop()
    if (call === trouble.plan?.at && trouble.patience !== undefined) {
      timer = setTimeout(stop, trouble.patience)
    }
  })
  const fiber = Effect.runFork(
    Effect.provideContext(
      Effect.provideService(acting, Scheduler.Scheduler, counted.scheduler),
      context,
    ),
  )
  interrupt = () => fiber.interruptUnsafe()
  if (interrupted) interrupt() // it has happened in the very tick of its birth
  const exit = await ends("it", Effect.runPromise(Fiber.await(fiber)))
  clearTimeout(timer)
  const { calls, struck } = faults
  const { steps } = counted
  faults.arm()
  const outcome = outcomeOf(exit, interrupted)
  if (outcome !== "done" && struck === undefined && !interrupted) {
    assert.fail("nothing went wrong, and it failed")
  }

  Stage.balanced(stage)
  let value = Exit.isSuccess(exit) ? exit.value : undefined
  if (outcome === "done") {
    if (want !== undefined) assert.deepEqual(value, want.value, "it succeeds with other numbers")
  }
  const landed = stage.landed.splice(0)
  if (want !== undefined) {
    assert.deepEqual(landed, want.landed.slice(0, landed.length), "law 4: all or nothing")
  }
  assert.deepEqual(Stage.holdings(stage.arena), before, "law 3: what is over holds nothing")
  assert.deepEqual(gpu.live(), live, "law 10: what fails leaves no buffer")
  if (loses(struck)) {
    const lost = await run(Stage.readOlder(stage))
    assert.equal(
      Exit.isFailure(lost) && outcomeOf(lost, false),
      "GpuLost",
      "older values after a loss",
    )
    const again = await run(acting)
    assert.equal(Exit.isFailure(again) && outcomeOf(again, false), "GpuLost", "again after a loss")
  } else {
    await well(Stage.readOlder(stage))
    value = await well(acting)
    if (want !== undefined) assert.deepEqual(value, want.value, "again it gives other numbers")
    await well(Stage.readOlder(stage))
  }
  Stage.balanced(stage)
  assert.deepEqual(gpu.live(), live, "law 10: when it is over no buffer of it is alive")
  await ends("closing everything", Effect.runPromise(Scope.close(outer, Exit.void)))
  for (const { numFree, numBlocks } of stage.arena.ledgers) {
    assert.equal(numFree, numBlocks, "law 10: every block is free")
  }
  assert.equal(stage.arena.owners.size, 0, "law 10: no owner is left")
  assert.deepEqual(gpu.live(), { buffers: 0, bytes: 0 }, "law 10: no buffer is alive")
  assert.equal(faults.left(), 0, "law 10: every buffer that was made is destroyed")
  assert.deepEqual(faults.unheard(), [])
  return { calls, steps, struck, outcome, value, landed }
}
