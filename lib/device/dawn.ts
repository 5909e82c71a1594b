/** Dawn through the npm package `webgpu`: Bun, Node, and Deno. @module */
import { Effect, type Layer } from "effect"
import { GpuUnavailable } from "../errors.ts"
import type { Gpu } from "./service.ts"
import { layerOf, type Origin } from "./webgpu/layer.ts"

const remedy =
  "install the package webgpu and a Vulkan driver that Dawn takes (Debian's Mesa 22 is too old: " +
  "VK_ICD_FILENAMES can name SwiftShader's, from chromium-common), or use --device cpu"

/**
 * Dawn ends the process when the object of `create` is collected while a device of it lives (webgpu 0.6.2),
 * so it lives as long as the module. Delete when the package keeps it itself.
 */
const kept: Array<GPU> = []

/**
 * Dawn clears workgroup memory by itself: the driver's way to do it takes SwiftShader 20 times as long
 * (345 µs a launch against 18).
 */
export const flags: ReadonlyArray<string> = [
  "disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
]

/** The package, loaded when it is asked for: it is optional, and 130 MB. */
export const origin: Origin = {
  device: "dawn",
  remedy,
  gpu: Effect.tryPromise({
    try: async () => {
      if (kept[0] !== undefined) return kept[0]
      const { create } = await import("webgpu")
      return kept[0] = create([...flags])
    },
    catch: (error) => {
      const reason = `the package webgpu cannot be loaded: ${(error as Error).message}`
      return new GpuUnavailable({ device: "dawn", reason, remedy })
    },
  }),
}

/** Dawn's device. */
export const layer: Layer.Layer<Gpu, GpuUnavailable> = layerOf(origin)
