/** An interruption that comes while memory is made: nobody would give it back. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Effect, Exit, Fiber } from "effect"
import { Gpu, Program, Tensor } from "../../mod.ts"

/** Runs a program whose fiber is interrupted as the n-th buffer is made; were there so many? */
const interrupted = <A, E>(n: number, program: Effect.Effect<A, E, Gpu.Gpu>) =>
  Effect.gen(function* () {
    const gpu = yield* Gpu.Service
    let made = 0
    const interrupting: Gpu.GpuShape = {
      ...gpu,
      create: (bytes) => {
        if (made++ === n) Fiber.getCurrent()!.interruptUnsafe()
        return gpu.create(bytes)
      },
    }
    const fiber = yield* Effect.forkChild(
      Effect.provideService(program, Gpu.Service, interrupting),
    )
    const exit = yield* Fiber.await(fiber)
    assert.ok(Exit.isSuccess(exit) || Exit.hasInterrupts(exit))
    assert.deepEqual(yield* Gpu.live, { buffers: 0, bytes: 0 })
    return made > n
  })

const everywhere = <A, E>(program: Effect.Effect<A, E, Gpu.Gpu>) =>
  Effect.runPromise(Effect.provide(
    Effect.gen(function* () {
      let n = 0
      while (yield* interrupted(n, program)) n++
      return n
    }),
    Gpu.layerCpu(),
  ))

const x = Gpu.upload("f32", "n", { n: 3 }, Float32Array.of(1, 2, 3))

test("Program.run() interrupted as memory is made keeps none of it", async () => {
  const program = Effect.scoped(Effect.flatMap(x, (given) =>
    Program.run(Effect.gen(function* () {
      const twice = yield* Tensor.add(given, given)
      const thrice = yield* Tensor.add(twice, given)
      return [thrice, yield* Tensor.mul(thrice, twice)]
    }))))
  assert.equal(await everywhere(program), 4)
})

test("Program.capture() interrupted as memory is made keeps none of it", async () => {
  const inputs = { a: Program.tensor("f32", "n", { n: 3 }) }
  const program = Effect.scoped(
    Effect.flatMap(x, (given) =>
      Program.capture(inputs, ({ a }) =>
        Effect.gen(function* () {
          const sum = yield* Tensor.add(a, given)
          return yield* Tensor.mul(sum, a)
        }))),
  )
  assert.equal(await everywhere(program), 4)
})
