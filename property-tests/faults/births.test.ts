/** Devices that are not born, or lost at birth; and a new one in place of one that was lost. @module */
import { Cause, Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Arena, Gpu, KvCache, Lease, Llama, Program } from "../../mod.ts"
import { kinds } from "./rigs.ts"
import * as Stage from "./stage.ts"
import type { Birth } from "./webgpu.ts"

const timeout = 120_000

const failure = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit)
    ? exit.cause.reasons.find(Cause.isFailReason)?.error as { _tag: string; message: string }
    : undefined

for (const kind of kinds) {
  const { born, name } = kind
  if (born === undefined) continue
  const opened = (birth: Birth) => {
    const { layer, faults } = born(birth)
    return { faults, open: Effect.scoped(Layer.build(layer)) }
  }

  test(`a device that cannot be had is GpuUnavailable [${name}]`, { timeout }, async () => {
    for (const birth of ["no adapter", "no adapter, thrown", "rejected"] as const) {
      const { faults, open } = opened(birth)
      const error = failure(await Effect.runPromiseExit(open))
      assert.equal(error?._tag, "GpuUnavailable")
      assert.match(error.message, new RegExp(`^Cannot open the ${name} device: `))
      assert.deepEqual(faults.unheard(), [])
    }
  })

  test(
    `waiting for a device that never comes can be interrupted [${name}]`,
    { timeout },
    async () => {
      const fiber = Effect.runFork(opened("never").open)
      await new Promise((resolve) => setTimeout(resolve, 20))
      await Effect.runPromise(Fiber.interrupt(fiber))
      const exit = await Effect.runPromise(Fiber.await(fiber))
      assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    },
  )

  test(
    `a device that comes when nobody waits any more is destroyed [${name}]`,
    { timeout },
    async () => {
      const { faults, open } = opened("late")
      const fiber = Effect.runFork(open)
      await new Promise((resolve) => setTimeout(resolve, 20))
      await Effect.runPromise(Fiber.interrupt(fiber))
      await new Promise((resolve) => setTimeout(resolve, 500))
      assert.equal(faults.left(), 0)
    },
  )

  test(
    `a device that is lost at birth opens, and reading from it is GpuLost [${name}]`,
    { timeout },
    () =>
      Effect.runPromise(Effect.gen(function* () {
        const { layer, faults } = born("lost")
        // Deno tells of the loss when something is read: until then the device takes work and does nothing.
        const read = Effect.scoped(Effect.flatMap(Stage.make, Stage.readOlder))
        const exit = yield* Effect.exit(Effect.provide(read, layer))
        assert.equal(failure(exit)?._tag, "GpuLost")
        assert.equal(faults.left(), 0)
        assert.deepEqual(faults.unheard(), [])
      })),
  )

  test(`a device that is destroyed at any call: Llama.rebuild() goes on on a new one [${name}]`, {
    timeout,
  }, async () => {
    const tokens = [0, 42, 79, 260, 1828, 1271, 270, 260]
    const reading = Effect.scoped(Effect.gen(function* () {
      const llama = yield* Llama.load()
      const arena = yield* Arena.make(yield* Effect.fromResult(Llama.layout(llama)), 4)
      return yield* Lease.scoped(arena)(Effect.gen(function* () {
        const cache = yield* Llama.rebuild(llama, arena, tokens)
        const { keys } = yield* Program.run(KvCache.gather(cache))
        return yield* Gpu.read(keys)
      }))
    }))
    /** Its numbers, or how it ended, on a device of its own; calls are counted from its birth. */
    const on = async (at?: number) => {
      const { layer, faults } = kind.open()
      const scope = Scope.makeUnsafe()
      faults.arm(at === undefined ? undefined : { at, way: "destroy" })
      const context = await Effect.runPromise(Layer.buildWithScope(Layer.orDie(layer), scope))
      const exit = await Effect.runPromiseExit(Effect.provideContext(reading, context))
      const { calls } = faults
      await Effect.runPromise(Scope.close(scope, Exit.void))
      assert.deepEqual(Context.get(context, Gpu.Service).live(), { buffers: 0, bytes: 0 })
      assert.equal(faults.left(), 0)
      assert.deepEqual(faults.unheard(), [])
      return { exit, calls }
    }
    const whole = await on()
    assert.ok(Exit.isSuccess(whole.exit))
    for (let i = 0; i < 3; i++) {
      const at = Math.floor((i + Math.random()) / 3 * whole.calls.length)
      const { exit } = await on(at)
      assert.equal(failure(exit)?._tag, "GpuLost", `destroyed at call ${at}, ${whole.calls[at]}`)
      if (i > 0) continue
      const again = await on()
      assert.deepEqual(again.exit, whole.exit)
    }
  })
}
