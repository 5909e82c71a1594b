/** Which device a command runs on. @module */
import { Effect, type Layer } from "effect"
import * as Gpu from "../device/Gpu.ts"
import { GpuUnavailable } from "../errors.ts"
import { meant, Usage } from "./options.ts"

const names = ["auto", "cpu", "webgpu", "dawn"]

/** What `auto` takes, and why. */
export const automatic: { readonly name: "cpu"; readonly why: string } = {
  name: "cpu",
  why: "it is the one layer of this version",
}

/** The layer of a device by the name given on the command line. */
export const layerOf = (
  name: string = "auto",
): Effect.Effect<Layer.Layer<Gpu.Gpu>, Usage | GpuUnavailable> => {
  if (name === "cpu" || name === "auto") return Effect.succeed(Gpu.layerCpu())
  if (!names.includes(name)) {
    const problem = `--device takes ${names.join(", ")}, and not ${name}${meant(name, names)}`
    return Effect.fail(new Usage({ problem }))
  }
  const reason = "this version has the CPU layer only"
  return Effect.fail(new GpuUnavailable({ device: name, reason, remedy: "use --device cpu" }))
}
