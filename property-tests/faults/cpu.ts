/** The CPU layer, whose calls can be made to fail as those of a device do. @module */
import { Effect, Layer, Result } from "effect"
import { Gpu, GpuFault, GpuLost } from "../../mod.ts"
import { counter, type Rig } from "./faults.ts"

/** `refused`: it never ran. `ran`: it did, and fails. `lost`: it fails, and everything after it. */
type Way = "refused" | "ran" | "lost"

type Failing = GpuFault | GpuLost

const lost = () => new GpuLost({ reason: "unknown", detail: "made to fail" })

/** A rig over the CPU. */
export const rig = (): Rig => {
  const count = counter<Way>()
  const alive = new Set<unknown>()
  const unheard: Array<string> = []
  let gone = false

  const failure = (call: string, way: Way): Failing => {
    if (way === "lost") gone = true
    return gone ? lost() : new GpuFault({ kind: "internal", kernel: call, detail: "made to fail" })
  }
  const wrapped = <A, R>(
    call: string,
    ways: ReadonlyArray<Way>,
    work: Effect.Effect<A, Failing, R>,
  ): Effect.Effect<A, Failing, R> =>
    Effect.suspend(() => {
      const way = count.strike(call, ways)
      if (gone) return Effect.fail(lost())
      if (way === undefined) return work
      const fails = Effect.suspend(() => Effect.fail(failure(call, way)))
      return way === "ran" ? Effect.andThen(work, fails) : fails
    })
  const wrap = (gpu: Gpu.GpuShape): Gpu.GpuShape => ({
    ...gpu,
    create: (bytes) => {
      const way = count.strike("create", ["refused"])
      if (way !== undefined) {
        return Result.fail(
          new GpuFault({ kind: "out-of-memory", kernel: "allocation", detail: "made to fail" }),
        )
      }
      return Result.map(gpu.create(bytes), (buffer) => {
        alive.add(buffer)
        return buffer
      })
    },
    destroy: (buffer) => {
      if (!alive.delete(buffer)) unheard.push("a buffer is destroyed twice")
      gpu.destroy(buffer)
    },
    prepare: (work) => wrapped("prepare", ["refused", "ran", "lost"], gpu.prepare(work)),
    submit: (work) => wrapped("submit", ["refused", "ran", "lost"], gpu.submit(work)),
    read: (buffer, bytes) =>
      wrapped(
        "read",
        ["refused", "lost"],
        Effect.suspend(() => {
          if (!alive.has(buffer)) unheard.push("a buffer is read after its end")
          return gpu.read(buffer, bytes)
        }),
      ),
  })
  return {
    layer: Layer.effect(Gpu.Service, Effect.map(Gpu.Service, wrap)).pipe(
      Layer.provide(Gpu.layerCpu({ poison: true })),
    ),
    faults: {
      arm: count.arm,
      get calls() {
        return count.calls
      },
      get struck() {
        return count.struck
      },
      left: () => alive.size,
      unheard: () => unheard,
    },
  }
}
