/** `navigator.gpu`: Deno and browsers. @module */
import { Effect, type Layer } from "effect"
import { GpuUnavailable } from "../errors.ts"
import type { Gpu } from "./service.ts"
import { layerOf, type Origin } from "./webgpu/layer.ts"

const remedy = "install a Vulkan driver (Debian: mesa-vulkan-drivers), or use --device cpu"

/** The runtime's own WebGPU. */
export const origin: Origin = {
  device: "webgpu",
  remedy,
  gpu: Effect.suspend(() => {
    const gpu = globalThis.navigator?.gpu
    if (gpu !== undefined) return Effect.succeed(gpu)
    const reason = "this runtime has no navigator.gpu"
    return Effect.fail(
      new GpuUnavailable({ device: "webgpu", reason, remedy: "use --device dawn or cpu" }),
    )
  }),
}

/** The device of `navigator.gpu`. */
export const layer: Layer.Layer<Gpu, GpuUnavailable> = layerOf(origin)
