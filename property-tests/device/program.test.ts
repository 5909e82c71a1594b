/** Runs: memory, staleness, transactions, interruption. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Deferred, Effect, Fiber, Layer, Result } from "effect"
import {
  Arena,
  Gpu,
  GpuFault,
  Kernel,
  KvCache,
  Layout,
  Lease,
  Program,
  Recording,
  Tensor,
} from "../../mod.ts"

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
    const gpu = yield* Gpu.Service
    let made = 0
    const counting = Layer.succeed(Gpu.Service, {
      ...gpu,
      create: (bytes) => (made++, gpu.create(bytes)),
    })
    const numbers = Program.run(Effect.gen(function* () {
      let [a, b] = [x, x]
      for (let i = 0; i < 20; i++) [a, b] = [b, yield* Tensor.add(a, b)]
      return b
    }))
    const out = yield* numbers.pipe(Effect.provide(counting))
    assert.deepEqual([...yield* Gpu.read(out)], [17711, 35422]) // Fibonacci
    assert.equal(made, 4) // the last, two before it, and the one that is being written
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

test("Program.run() that finds no memory at any of its tensors keeps none", () =>
  run(Effect.gen(function* () {
    const gpu = yield* Gpu.Service
    const fault = new GpuFault({ kind: "out-of-memory", kernel: "allocation", detail: "planted" })
    for (const keeps of [true, false]) {
      for (let at = 0; at < 3; at++) {
        let made = 0
        const create = (bytes: number) => made++ === at ? Result.fail(fault) : gpu.create(bytes)
        const broken = Layer.succeed(Gpu.Service, { ...gpu, create })
        yield* Effect.scoped(Effect.gen(function* () {
          const x = yield* vector(1)
          const sums = Effect.flatMap(
            Tensor.add(x, x),
            (y) =>
              Effect.flatMap(
                Tensor.mul(y, x),
                (z) => Effect.map(Tensor.add(y, z), (sum) => keeps ? [y, z, sum] : sum),
              ),
          )
          const error = yield* Effect.flip(Program.run(sums).pipe(Effect.provide(broken)))
          assert.equal(error, fault)
          assert.equal((yield* Gpu.live).buffers, 1)
        }))
      }
    }
  })))

test("Program.run() reads host values as they are given, also after other launches", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const x = yield* vector(1, 2)
    const { out } = yield* Program.run(Effect.gen(function* () {
      let y = x
      for (let i = 0; i < 3; i++) y = yield* Tensor.add(y, x)
      const ten = Recording.fresh("f32", "n", [2], Float32Array.of(10, 20))
      const itself: { out: typeof x; itself?: unknown } = { out: yield* Tensor.add(y, ten) }
      itself.itself = itself // what a body gives back may hold itself
      return itself
    }))
    assert.deepEqual([...yield* Gpu.read(out)], [14, 28])
  }))))

test("Program.run() keeps the rows that a cache it gives back owes", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const layout = Result.getOrThrow(
      Layout.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 2 }),
    )
    const arena = yield* Arena.make(layout, 2)
    const x = yield* vector(1, 2)
    const cache = yield* Program.run(Effect.gen(function* () {
      const shape = [1, 1, 1, 2]
      const keys = {
        ...yield* Tensor.add(x, x),
        axes: "layers tokens keyHeads keyDim",
        shape,
      } as const
      const values = { ...keys, axes: "layers tokens valueHeads valueDim" } as const
      return yield* Effect.fromResult(KvCache.append(KvCache.empty(arena), { keys, values }))
    }))
    const gathered = yield* Lease.scoped(arena)(
      Effect.flatMap(Program.run(KvCache.gather(cache)), ({ keys }) => Gpu.read(keys)),
    )
    assert.deepEqual([...gathered], [2, 4])
  }))))

test("Program.capture() keeps the constants of its body from one replay to the next", () =>
  run(Effect.gen(function* () {
    const one = Program.tensor("f32", "n", { n: 1 })
    yield* Effect.scoped(Effect.gen(function* () {
      const program = yield* Program.capture({ x: one }, ({ x }) =>
        Effect.gen(function* () {
          const y = yield* Tensor.add(x, Recording.fresh("f32", "n", [1], Float32Array.of(10)))
          const z = yield* Tensor.mul(y, y)
          return yield* Tensor.add(yield* Tensor.mul(z, y), x)
        }))
      for (const x of [1, 2]) {
        const out = yield* Program.run(Program.replay(program, { x: Float32Array.of(x) }))
        assert.deepEqual([...yield* Gpu.read(out)], [(x + 10) ** 3 + x])
      }
      const short = Program.run(Program.replay(program, { x: new Float32Array(0) }))
      assert.equal((yield* Effect.flip(short)).message, 'Cannot bind axis "n" of x to 1: it is 0')
    }))
    assert.equal((yield* Gpu.live).buffers, 0)
    const gone = yield* Effect.scoped(vector(1))
    const late = Effect.scoped(Program.capture({ x: one }, ({ x }) => Tensor.add(x, gone)))
    assert.equal((yield* Effect.flip(late)).message, "Cannot read add.b: its scope is closed")
  })))

test("Gpu.uploadAll() asks for as many elements as each tensor has", () =>
  run(Effect.scoped(Effect.gen(function* () {
    const asked: Array<readonly [string, number]> = []
    const made = yield* Gpu.uploadAll(
      "f32",
      { a: "n", b: "n m" },
      { n: 2, m: 3 },
      (name, length) => {
        asked.push([name, length])
        return new Float32Array(length).fill(asked.length)
      },
    )
    assert.deepEqual(asked, [["a", 2], ["b", 6]])
    assert.deepEqual([...yield* Gpu.read(made.a)], [1, 1])
    assert.deepEqual(made.b.shape, [2, 3])
  }))))

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
