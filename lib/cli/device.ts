/** Which device a command runs on. @module */
import { Effect, type Layer } from "effect"
import * as Gpu from "../device/Gpu.ts"
import type { GpuUnavailable } from "../errors.ts"
import { meant, Usage } from "./options.ts"

const layers: Readonly<Record<string, Layer.Layer<Gpu.Gpu, GpuUnavailable>>> = {
  auto: Gpu.layerAuto,
  cpu: Gpu.layerCpu(),
  webgpu: Gpu.layerWebGpu,
  dawn: Gpu.layerDawn,
}

/** The layer of a device by the name given on the command line. */
export const layerOf = (
  name: string = "auto",
): Effect.Effect<Layer.Layer<Gpu.Gpu, GpuUnavailable>, Usage> => {
  const layer = Object.hasOwn(layers, name) ? layers[name] : undefined
  if (layer !== undefined) return Effect.succeed(layer)
  const names = Object.keys(layers)
  const problem = `--device takes ${names.join(", ")}, and not ${name}${meant(name, names)}`
  return Effect.fail(new Usage({ problem }))
}
