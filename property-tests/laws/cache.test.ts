/** The ten laws by name, in every program, under every fault and interleaving, on each adapter. @module */
import { Effect, Layer } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Gpu, type Recording } from "../../mod.ts"
import * as testing from "../../testing/mod.ts"
import { absent, adapters } from "../adapters.ts"
import { runs } from "../arbitraries/runs.ts"

const { check, kvasir, kvasirOn, laws, ProgramFailed, tally } = testing

const timeout = 600_000

const chosen = (numRuns: number): testing.CheckOptions => {
  const { numRuns: all, seed } = runs(numRuns)
  return { runs: all, ...(seed === undefined ? {} : { seed }) }
}

/** What a few hundred programs must have met, or they prove nothing. */
const met = [
  ...["realize landed", "gather landed", "read landed", "make landed", "step landed", "kept"],
  ...["realize OutOfBlocks", "realize StaleCache", "step StaleCache", "step CapacityExceeded"],
  ...["step BodyFailed", "run GpuFault", "run LeaseClosed", "keep StaleCache", "Interrupted"],
  ...["reading StaleCache", "snapshot read"],
]

test("KvCache obeys its laws in every program, under every fault and interleaving", {
  timeout,
}, async () => {
  const all = tally()
  const options = chosen(300)
  const findings = await check(kvasir, { ...options, tally: all })
  if (options.runs! < 300) return
  assert.deepEqual(findings.filter(({ because }) => because !== undefined), [])
  assert.deepEqual(met.filter((name) => !all.outcomes.has(name)), [])
})

for (const law of laws) {
  test(`KvCache obeys law ${law.number}, ${law.name}, asked for alone`, { timeout }, async () => {
    const [finding] = await check(kvasir, { ...chosen(30), laws: [law] })
    assert.equal(finding!.law, law)
    assert.equal(finding!.because, undefined)
  })
}

for (const { name, layer } of adapters.slice(1)) {
  test(`KvCache obeys its laws in programs on a GPU [${name}]`, { timeout }, async () => {
    const findings = await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(
          kvasirOn(name, layer),
          (stage) => Effect.promise(() => check(stage, { ...chosen(16), maxCommands: 25 })),
        ),
      ),
    )
    assert.equal(findings.length, laws.length)
  })
}
for (const { name } of absent) {
  test(`KvCache obeys its laws in programs on a GPU [${name}]`, {
    skip: "no adapter of this kind here",
  }, () => {})
}

/** A CPU that carries no slots along. */
const forgetful: Layer.Layer<Gpu> = Layer.effect(
  Gpu.Service,
  Effect.map(Gpu.Service, (gpu) => ({
    ...gpu,
    submit: (work: ReadonlyArray<Recording.Work>) =>
      gpu.submit(
        work.map((item) =>
          item._tag === "Dispatch" && item.kernel.spec.name.startsWith("append_")
            ? { ...item, axes: { ...item.axes, copies: 0 } }
            : item
        ),
      ),
  })),
).pipe(Layer.provide(Gpu.layerCpu()))

/** Runs a program's text, as if it stood in a test. */
const pasted = (program: string, stage: testing.Stage<testing.Config>): Promise<void> => {
  const names = Object.keys(testing)
  const Async = (async () => {}).constructor as FunctionConstructor
  return new Async(stage.name, ...names, program)(stage, ...Object.values(testing))
}

test(
  "check() names the law that broke, with a program that breaks it when it is pasted",
  {
    timeout,
  },
  () =>
    Effect.runPromise(
      Effect.scoped(Effect.flatMap(kvasirOn("forgetful", forgetful), (stage) =>
        Effect.promise(async () => {
          const failed: unknown = await check(stage, { runs: 100, seed: 1 }).then(
            () => {},
            (e) => e,
          )
          assert.ok(failed instanceof ProgramFailed)
          assert.ok(["persistence", "oneOracle"].includes(failed.cause.law))
          const again: unknown = await pasted(failed.program, stage).then(() => {}, (e) => e)
          assert.ok(again instanceof ProgramFailed)
          assert.equal(again.cause.message, failed.cause.message)
          assert.equal(again.program, failed.program)
          await pasted(failed.program, { ...kvasir, name: "forgetful" }) // the program itself is sound
        }))),
    ),
)
