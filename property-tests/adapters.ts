/** The devices of this machine, for everything that is checked on each of them. @module */
import { Context, Effect, Layer, Result } from "effect"
import { Gpu, type GpuUnavailable } from "../mod.ts"

/** A device by name. Each use of the layer opens a device of its own. */
export interface Adapter {
  readonly name: string
  /** What the adapter calls itself. */
  readonly adapter: string
  readonly layer: Layer.Layer<Gpu>
}

const layers: ReadonlyArray<
  { readonly name: string; readonly layer: Layer.Layer<Gpu, GpuUnavailable> }
> = [
  { name: "cpu", layer: Gpu.layerCpu() },
  { name: "webgpu", layer: Gpu.layerWebGpu },
  { name: "dawn", layer: Gpu.layerDawn },
]

/** Two WebGPU implementations in one process disturb each other: Dawn is tested where it is the only one. */
const native = (globalThis as { navigator?: { gpu?: unknown } }).navigator?.gpu !== undefined

const probed = await Promise.all(layers.map(async ({ name, layer }) => {
  const probe = native && name === "dawn"
    ? Effect.fail({ message: "this runtime has WebGPU of its own; Dawn is tested under Bun" })
    : Effect.scoped(
      Effect.map(Layer.build(layer), (made) => Context.get(made, Gpu.Service).adapter),
    )
  const opened = await Effect.runPromise(Effect.result(probe))
  return { name, layer, opened }
}))

/** What this machine has; the CPU is always there, and first. */
export const adapters: ReadonlyArray<Adapter> = probed.flatMap(({ name, layer, opened }) =>
  Result.isSuccess(opened) ? [{ name, adapter: opened.success, layer: Layer.orDie(layer) }] : []
)

/** What it has not, and why. */
export const absent: ReadonlyArray<{ readonly name: string; readonly reason: string }> = probed
  .flatMap(({ name, opened }) =>
    Result.isFailure(opened) ? [{ name, reason: opened.failure.message }] : []
  )
