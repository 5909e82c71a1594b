/** Faults that were found so, each by its smallest program. @module */
import { Effect, Fiber, Layer, type Scope } from "effect"
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { Arena, Gpu, KvCache, Lease, Llama, Program, Snapshot, Tensor } from "../../mod.ts"
import { poisoned, withModel } from "../model/llama.ts"
import type { Plan } from "./faults.ts"
import { type Kind, kinds } from "./rigs.ts"
import { cases } from "./programs.ts"
import { plain, sweep, tried } from "./tries.ts"
import { layout } from "./stage.ts"
import { ways } from "./ways.ts"

const timeout = 120_000
const [cpu] = kinds as [Kind]
const gpus = kinds.filter(({ born }) => born !== undefined)
const named = (name: string) => cases.find((one) => one.name === name)!

test(
  "a run or a capture that is interrupted before its submit leaves no memory",
  { timeout },
  async () => {
    for (const name of ["gather", "replay"]) await sweep(cpu, named(name), "step", Infinity, 0)
  },
)

const read = (cache: KvCache) =>
  Effect.flatMap(Program.run(KvCache.gather(cache)), ({ keys }) => Gpu.read(keys))

type Ready<A> = Effect.Effect<
  Effect.Effect<A, { readonly _tag: string; readonly message: string }, Gpu | Scope.Scope>,
  unknown,
  Gpu | Scope.Scope
>

/** What something calls when all goes well. */
const callsOf = <A>(kind: Kind, ready: Ready<A>): Promise<ReadonlyArray<string>> => {
  const { layer, faults } = kind.open()
  const program = Effect.scoped(Effect.flatMap(ready, (act) => {
    faults.arm()
    return Effect.map(act, () => faults.calls)
  }))
  return Effect.runPromise(Effect.provide(program, Layer.orDie(layer)))
}

/** Runs something while one call goes wrong, and again when all goes well. */
const twice = async <A>(kind: Kind, plan: Plan, ready: Ready<A>) => {
  const { layer, faults } = kind.open()
  const program = Effect.scoped(Effect.gen(function* () {
    const act = yield* ready
    const before = yield* Gpu.live
    faults.arm(plan)
    const error = yield* Effect.flip(act)
    faults.arm()
    assert.deepEqual(yield* Gpu.live, before)
    return { error, value: yield* act }
  }))
  const both = await Effect.runPromise(Effect.provide(program, Layer.orDie(layer)))
  assert.equal(faults.left(), 0)
  assert.deepEqual(faults.unheard(), [])
  return both
}

for (const kind of kinds) {
  test(`a run whose submit fails keeps no memory, though its scope stays open [${kind.name}]`, {
    timeout,
  }, async () => {
    const ready = Effect.map(
      Gpu.upload("f32", "n", { n: 3 }, Float32Array.of(1, 2, 3)),
      (x) =>
        Effect.gen(function* () {
          const sum = yield* Program.run(Tensor.add(x, x))
          return [...yield* Gpu.read(sum)]
        }),
    )
    const calls = await callsOf(kind, ready)
    const { value } = await twice(kind, { at: calls.indexOf("submit"), way: 0 }, ready)
    assert.deepEqual(value, [2, 4, 6])
  })
}

for (const kind of gpus) {
  test(
    `a launch whose places were not written is not submitted [${kind.name}]`,
    { timeout },
    async () => {
      const one = named("gather")
      const { calls } = await plain(kind, one)
      // A launch would write the new rows over those of an older value.
      for (const [at, call] of calls.entries()) {
        if (call !== "writeBuffer") continue
        const { outcome } = await tried(kind, one, { plan: { at, way: "out-of-memory" } })
        assert.equal(outcome, "GpuFault")
      }
    },
  )

  test(
    `Arena.make() without memory for its third pool is a GpuFault, and leaves none [${kind.name}]`,
    { timeout },
    async () => {
      const ready = Effect.succeed(Effect.as(Effect.scoped(Arena.make(layout, 8)), "made"))
      const pools = (await callsOf(kind, ready)).flatMap((call, at) =>
        call === "createBuffer" ? [at] : []
      )
      for (const way of ["out-of-memory", "throws", "validation", "internal"]) {
        const { error, value } = await twice(kind, { at: pools[2]!, way }, ready)
        assert.equal(error._tag, "GpuFault")
        if (way === "out-of-memory") {
          assert.match(error.message, /^Cannot run allocation on the device \(out-of-memory\)/)
        }
        assert.equal(value, "made")
      }
    },
  )

  test(`a read that fails at any call is a GpuFault, and the next one reads [${kind.name}]`, {
    timeout,
  }, async () => {
    const ready = Effect.map(
      Gpu.upload("f32", "n", { n: 3 }, Float32Array.of(1, 2, 3)),
      (x) => Effect.map(Gpu.read(x), (got) => [...got]),
    )
    const calls = await callsOf(kind, ready)
    assert.ok(calls.includes("getMappedRange"))
    for (const [at, call] of calls.entries()) {
      for (const way of ways[call]!) {
        if (way === "destroy") continue
        const { error, value } = await twice(kind, { at, way }, ready)
        assert.equal(error._tag, "GpuFault", `${call}: ${way}`)
        assert.deepEqual(value, [1, 2, 3], `${call}: ${way}`)
      }
    }
  })
}

test("Llama.rebuild() under windows lets go of nothing that the lease held, also where it fails", () =>
  withModel(poisoned, (plain) => {
    const { theta } = plain.config
    const windows = { window: 24, windows: { every: 2, theta } }
    const llama = { ...plain, config: { ...plain.config, ...windows } }
    return Effect.scoped(Effect.gen(function* () {
      const layout = yield* Effect.fromResult(Llama.layout(llama))
      const arena = yield* Arena.make(layout, 24)
      const tokens = Array.from({ length: 70 }, (_, i) => 300 + i)
      yield* Lease.scoped(arena)(Effect.gen(function* () {
        const first = yield* Llama.rebuild(llama, arena, tokens)
        const keys = yield* Effect.scoped(read(first))
        const before = Arena.usage(arena)
        const error = yield* Effect.flip(Llama.rebuild(llama, arena, [...tokens, -1]))
        assert.equal(error._tag, "InvalidArgument")
        assert.deepEqual(Arena.usage(arena), before)
        yield* Llama.rebuild(llama, arena, tokens.toReversed())
        assert.deepEqual(yield* Effect.scoped(read(first)), keys)
      }))
    }))
  }))

test(
  "an interrupted write of a snapshot is over when the interruption is",
  { timeout },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "kvasir-faults-"))
    try {
      const file = join(folder, "large")
      const bytes = new Uint8Array(2 ** 26)
      const fiber = Effect.runFork(Snapshot.Files.node.write(file, bytes))
      await new Promise((resolve) => setTimeout(resolve, 2))
      await Effect.runPromise(Fiber.interrupt(fiber))
      const { size } = statSync(file)
      await new Promise((resolve) => setTimeout(resolve, 200))
      assert.equal(statSync(file).size, size)
      assert.equal(size, bytes.length)
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
