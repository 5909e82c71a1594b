/** A short soak on every device, and that it would notice what stays. @module */
import { Effect, Scope } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Gpu, KvCache, Lease, Program } from "../../mod.ts"
import { adapters } from "../adapters.ts"
import { operations } from "./operations.ts"
import type { Operation } from "./operations.ts"
import { isFlat, slopeOf } from "./slope.ts"
import { soak } from "./soak.ts"
import type { World } from "./world.ts"

const short = { minutes: 0.05, seconds: 1, seed: 7 }

for (const { name, layer } of adapters) {
  test(`soak() ends a few rounds with nothing left on ${name}`, { timeout: 120_000 }, async () => {
    const counts = new Map<string, number>()
    const { live, samples } = await soak(layer, short, counts)
    assert.equal(live, 0)
    assert.ok(samples.length > (name === "cpu" ? 1 : 0)) // a round of a slow adapter may last
    assert.ok([...counts.values()].reduce((sum, n) => sum + n, 0) >= samples.length)
  })
}

test(
  "soak() gives every operation a turn, each of which succeeds",
  { timeout: 120_000 },
  async () => {
    for (const operation of operations) {
      const needed = operations.filter(({ name }) => name === "fork" || name === "save")
      const counts = new Map<string, number>()
      await soak(Gpu.layerCpu({ poison: true }), {
        ...short,
        minutes: 0.005,
        operations: [...needed, { ...operation, weight: 20 }],
      }, counts)
      assert.ok(counts.has(operation.name) || counts.has("out of blocks"), operation.name)
    }
  },
)

/** An operation that leaves something behind. */
const leaving = (run: (world: World) => Effect.Effect<unknown, unknown, Gpu>) =>
  soak(Gpu.layerCpu(), {
    ...short,
    minutes: 0,
    operations: [{ name: "leaves", weight: 1, run } satisfies Operation],
  })

test("soak() notices a buffer that stays", async () => {
  const leak = Effect.flatMap(Gpu.Service, (gpu) => Effect.fromResult(gpu.create(64)))
  await assert.rejects(leaving(() => leak), /and 1 buffers of 64 bytes stay alive/)
})

test("soak() notices a lease that stays open", async () => {
  const leak = ({ arena }: World) =>
    Effect.gen(function* () {
      const lease = yield* Scope.provide(Lease.make(arena), yield* Scope.make())
      const use = Program.run(KvCache.realize([KvCache.empty(arena)]))
      yield* Effect.scoped(Lease.under(lease)(use))
    })
  await assert.rejects(leaving(leak), /1 owners hold 0 blocks/)
})

test("soak() rejects with the fault of an operation", async () => {
  await assert.rejects(leaving(() => Effect.fail(new Error("a fault"))), /a fault/)
})

test("slopeOf() finds a line's rise and how sure it is, and isFlat() takes what is not sure", () => {
  const line = (rise: number, noise: number) =>
    Array.from({ length: 60 }, (_, i) => ({
      hours: i / 120,
      value: 100 + rise * i / 120 + noise * Math.sin(7 * i * i),
    }))
  const exact = slopeOf(line(12, 0))
  assert.ok(Math.abs(exact.slope - 12) < 1e-9 && exact.error < 1e-9)
  assert.equal(isFlat(exact, 8), false)
  assert.equal(isFlat(slopeOf(line(0, 0)), 0), true)
  const noisy = slopeOf(line(12, 5))
  assert.ok(Math.abs(noisy.slope - 12) < 3 * noisy.error && noisy.error > 1)
  // By hand: deviations of 0.1 0.8 -1.3 0.6 (squared 2.7), over 2 and over a spread of 5.
  const known = [1, 3, 2, 5].map((value, hours) => ({ hours, value }))
  const { slope, error } = slopeOf(known)
  assert.ok(Math.abs(slope - 1.1) < 1e-12 && Math.abs(error - Math.sqrt(0.27)) < 1e-12)
  // Deviations that last are fewer samples than they look.
  const slow = line(0, 0).map(({ hours }, i) => ({ hours, value: Math.floor(i / 10) % 2 }))
  const mixed = slow.map(({ hours }, i) => ({ hours, value: i % 2 }))
  assert.ok(slopeOf(slow).error > 2 * slopeOf(mixed).error)
  assert.equal(slopeOf(known.slice(0, 2)).error, Infinity)
  assert.equal(isFlat({ slope: 0, error: Infinity }, 8), true)
})
