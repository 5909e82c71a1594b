/** Kernels compiled for one device, each once. @module */
import { Effect } from "effect"
import { type AnyKernel, drift } from "../../../kernels/kernel.ts"
import type { GpuFault, GpuLost } from "../../errors.ts"
import type { Dispatch } from "../../tensor/Recording.ts"
import { guarded, type Opened } from "./guard.ts"

/** A kernel with its override constants, ready to dispatch. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
}

/** What was compiled so far, by kernel and constants. */
export interface Pipelines {
  readonly of: (launch: Dispatch) => Compiled | undefined
  /** Compiles what is missing. Names the kernel in the error. */
  readonly ensure: (work: ReadonlyArray<Dispatch>) => Effect.Effect<void, GpuFault | GpuLost>
}

/** GPUShaderStage.COMPUTE; the constant's object does not exist in every runtime. */
const compute = 0x4

const compile = (device: GPUDevice, { kernel, overrides }: Dispatch): Compiled => {
  const wrong = drift(kernel)
  if (wrong.length > 0) throw new Error(`kernel and shader differ: ${wrong.join("; ")}`)
  const storage = kernel.bindings.map(({ access }, binding): GPUBindGroupLayoutEntry => ({
    binding,
    visibility: compute,
    buffer: { type: access === "read" ? "read-only-storage" : "storage" },
  }))
  const layout = device.createBindGroupLayout({
    entries: [...storage, {
      binding: storage.length,
      visibility: compute,
      buffer: { type: "uniform", hasDynamicOffset: true },
    }],
  })
  const pipeline = device.createComputePipeline({
    label: kernel.spec.name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: {
      module: device.createShaderModule({ label: kernel.spec.name, code: kernel.source }),
      entryPoint: "main",
      constants: { ...overrides },
    },
  })
  return { pipeline, layout }
}

/** Nothing compiled yet. */
export const make = (opened: Opened): Pipelines => {
  const compiled = new Map<AnyKernel, Map<string, Compiled>>()
  const key = ({ overrides }: Dispatch): string => Object.values(overrides).join()
  const of = (launch: Dispatch): Compiled | undefined =>
    compiled.get(launch.kernel)?.get(key(launch))
  return {
    of,
    ensure: (work) =>
      Effect.suspend(() => {
        const missing = new Map<string, Dispatch>()
        for (const launch of work) {
          if (of(launch) === undefined) {
            missing.set(`${launch.kernel.spec.name} ${key(launch)}`, launch)
          }
        }
        if (missing.size === 0) return Effect.void
        return Effect.forEach(missing.values(), (launch) =>
          Effect.map(
            guarded(opened, launch.kernel.spec.name, () => compile(opened.device, launch)),
            (made) => {
              const members = compiled.get(launch.kernel) ?? new Map<string, Compiled>()
              compiled.set(launch.kernel, members.set(key(launch), made))
            },
          ), { discard: true })
      }),
  }
}
