/** Runs: memory, staleness, transactions, interruption. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Deferred, Effect, Fiber, Layer, Result } from "effect"
import { Gpu, GpuFault, Kernel, Program, Recording, Tensor } from "../../mod.ts"

const poisoned = Gpu.layerCpu({ poison: true })

const run = <A, E>(program: Effect.Effect<A, E, Gpu.Gpu>): Promise<A> =>
  Effect.runPromise(Effect.provide(program, poisoned))

const vector = (...values: ReadonlyArray<number>) =>
  Gpu.upload("f32", "n", { n: values.length }, Float32Array.from(values))

test("Program.run() gives back what the body returns, and only that keeps memory", () =>
  run(Effect.gen(function* () {
    yield* Effect.scoped(Effect.gen(function* () {
      const x = yield* vector(1, 2, 3)
      let secret = x
      const out = yield* Program.run(Effect.gen(function* () {
        secret = yield* Tensor.add(x, x)
        return { deep: [yield* Tensor.mul(secret, x)] as const }
      }))
      assert.deepEqual([...yield* Gpu.read(out.deep[0])], [2, 8, 18])
      assert.equal((yield* Gpu.live).buffers, 2)
      const used = yield* Effect.flip(Program.run(Tensor.add(secret, x)))
      assert.equal(used._tag, "StaleTensor")
      assert.equal(used.message, "Cannot read add.a: it was not returned from its recording")
    }))
    assert.deepEqual(yield* Gpu.live, { buffers: 0, bytes: 0 })
  })))

test("Program.run() shares scratch memory by last use and never mixes it up", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const x = yield* vector(1, 2)
    const out = yield* Program.run(Effect.gen(function* () {
      let [a, b] = [x, x]
      for (let i = 0; i < 20; i++) [a, b] = [b, yield* Tensor.add(a, b)]
      return b
    }))
    assert.deepEqual([...yield* Gpu.read(out)], [17711, 35422]) // Fibonacci
  }))))

test("Gpu.read() of a tensor whose scope is closed fails with StaleTensor", () =>
  run(Effect.gen(function* () {
    const x = yield* Effect.scoped(vector(1))
    const error = yield* Effect.flip(Gpu.read(x))
    assert.equal(error._tag, "StaleTensor")
    assert.equal(error.message, "Cannot read tensor [n]: its scope is closed")
  })))

test("Program.run() of a body that fails leaves no memory and runs nothing", () =>
  run(Effect.gen(function* () {
    yield* Effect.scoped(Effect.gen(function* () {
      const x = yield* vector(1)
      const before = yield* Gpu.live
      const y = yield* vector(1, 2)
      const error = yield* Effect.flip(Program.run(Tensor.add(x, y)))
      assert.equal(error._tag, "ShapeMismatch")
      assert.equal(error.message, 'Cannot bind axis "n" of that to 1: it is 2')
      assert.equal((yield* Gpu.live).buffers, before.buffers + 1)
    }))
    assert.equal((yield* Gpu.live).buffers, 0)
  })))

test("Program.run() settles endings together: in order when it landed, newest first when not", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const log: Array<string> = []
    const ending = (name: string) =>
      Effect.map(Recording.Once, (rec) => {
        rec.endings.push({
          refuses: () => undefined,
          settle: (landed) => log.push(`settle ${name} ${landed}`),
          close: (landed) => log.push(`close ${name} ${landed}`),
        })
      })
    yield* Program.run(Effect.andThen(ending("a"), ending("b")))
    assert.deepEqual(log.splice(0), [
      "settle a true",
      "settle b true",
      "close a true",
      "close b true",
    ])
    yield* Effect.flip(
      Program.run(Effect.andThen(Effect.andThen(ending("a"), ending("b")), Effect.fail("no"))),
    )
    assert.deepEqual(log, ["settle b false", "settle a false", "close a false", "close b false"])
  }))))

test("Program.fetch() brings values to the host and leaves the transaction open", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const x = yield* vector(1, 2)
    let ended = 0
    const out = yield* Program.run(Effect.gen(function* () {
      const rec = yield* Recording.Once
      rec.endings.push({ refuses: () => undefined, settle: () => ended++, close: () => {} })
      const [first] = yield* Program.fetch(yield* Tensor.add(x, x))
      assert.equal(ended, 0)
      return yield* first === 2 ? Tensor.mul(x, x) : Tensor.add(x, x)
    }))
    assert.equal(ended, 1)
    assert.deepEqual([...yield* Gpu.read(out)], [1, 4])
  }))))

test("Program.run() that is interrupted while it waits undoes its endings and keeps nothing", () =>
  run(Effect.gen(function* () {
    const settled: Array<boolean> = []
    const begun = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkChild(Effect.scoped(Program.run(Effect.gen(function* () {
      const rec = yield* Recording.Once
      rec.endings.push({
        refuses: () => undefined,
        settle: (landed) => settled.push(landed),
        close: () => {},
      })
      yield* Deferred.succeed(begun, undefined)
      return yield* Effect.never
    }))))
    yield* Deferred.await(begun)
    yield* Fiber.interrupt(fiber)
    assert.deepEqual(settled, [false])
    assert.equal((yield* Gpu.live).buffers, 0)
  })))

test("Program.run() whose submit fails gives back the memory it had made", () =>
  run(Effect.gen(function* () {
    const gpu = yield* Gpu.Service
    const fault = new GpuFault({ kind: "internal", kernel: "add", detail: "planted" })
    const broken = Layer.succeed(Gpu.Service, { ...gpu, submit: () => Effect.fail(fault) })
    yield* Effect.scoped(Effect.gen(function* () {
      const x = yield* vector(1)
      const error = yield* Effect.flip(
        Program.run(Tensor.add(x, x)).pipe(Effect.provide(broken)),
      )
      assert.equal(error.message, "Cannot run add on the device (internal): planted")
      assert.equal((yield* Gpu.live).buffers, 1)
    }))
  })))

test("Gpu.upload() of too many bytes fails with GpuFault, and of a wrong length with both numbers", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const fault = yield* Effect.flip(Gpu.allocate(2 ** 52))
    assert.equal(fault._tag, "GpuFault")
    assert.match(
      fault.message,
      /^Cannot run allocation on the device \(out-of-memory\): 4503599627370496 bytes/,
    )
    const shape = yield* Effect.flip(Gpu.upload("f32", "n", { n: 3 }, new Float32Array(2)))
    assert.equal(shape.message, 'Cannot bind axis "n" of data to 3: it is 2')
    assert.equal((yield* Gpu.live).buffers, 0)
  }))))

test("Recording.launch() of a kernel whose shader differs from its record is a defect", async () => {
  const kernel = Kernel.make(
    {
      name: "wrong",
      bindings: { x: "read f32[n]", out: "write f32[n]" },
      overrides: {},
      params: { n: "u32", scale: "f32" },
    },
    { source: "struct Params { scale: f32, n: u32 }", grid: ({ n }) => [n, 1, 1], twin: () => {} },
  )
  const program = Effect.scoped(Effect.gen(function* () {
    const x = yield* vector(1)
    return yield* Program.run(
      Recording.launch(kernel, {
        reads: { x },
        writes: { out: x },
        params: { scale: 1 },
        overrides: {},
      }),
    )
  }))
  await assert.rejects(run(program), /its shader lacks `struct Params \{ n: u32, scale: f32 \}`/)
})

test("Recording.constant() refuses host values of another length", () => {
  const made = Recording.constant("u32", "n", { n: 2 }, new Uint32Array(3))
  assert.ok(Result.isFailure(made))
  assert.equal(made.failure.message, 'Cannot bind axis "n" of data to 2: it is 3')
})
