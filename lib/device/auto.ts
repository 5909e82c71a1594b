/** The device that suits this machine, and why. @module */
import { Cause, Context, Effect, Layer } from "effect"
import { existsSync } from "node:fs"
import process from "node:process"
import type { GpuUnavailable } from "../errors.ts"
import { add } from "../tensor/elementwise.ts"
import * as cpu from "./cpu.ts"
import * as dawn from "./dawn.ts"
import { run } from "./Program.ts"
import { type Gpu, type GpuShape, Service } from "./service.ts"
import { read, upload } from "./transfer.ts"
import * as webgpu from "./webgpu.ts"

/** One device that was looked at. */
export interface Considered {
  readonly device: GpuShape["name"]
  /** Its adapter's words, if it could be opened. */
  readonly adapter: string | undefined
  readonly features: ReadonlyArray<string>
  /** Bytes of the largest buffer it gives; 0 if it could not be opened. */
  readonly maxBufferBytes: number
  readonly taken: boolean
  readonly why: string
}

/** What is taken, and every device that was looked at, in order. */
export interface Choice {
  readonly device: GpuShape["name"]
  readonly layer: Layer.Layer<Gpu, GpuUnavailable>
  readonly considered: ReadonlyArray<Considered>
}

/** Where Linux shows a graphics processor, in the order of likelihood. */
const nodes = ["/dev/dri", "/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd"]

/**
 * Asked before any driver is loaded: without hardware there are only software adapters, and opening them
 * costs time and prints what drivers have to say.
 */
const hardware: Effect.Effect<boolean> = Effect.sync(() =>
  process.platform !== "linux" || nodes.some((node) => existsSync(node))
)

/** How thoroughly to look. */
export interface ChooseOptions {
  /** Open every adapter, also where this machine shows no graphics processor. */
  readonly thorough?: boolean
}

/** Runs one launch and reads it back: a backend that does nothing, or another sum, is found out here. */
const works = (gpu: GpuShape): Effect.Effect<boolean> =>
  Effect.scoped(Effect.gen(function* () {
    const x = yield* upload("f32", "n", { n: 3 }, Float32Array.of(1, 2, 4))
    const [a, b, c] = yield* read(yield* run(add(x, x)))
    return a === 2 && b === 4 && c === 8
  })).pipe(
    Effect.provideService(Service, gpu),
    Effect.orElseSucceed(() => false),
  )

/** Opens a device, looks at it and closes it again. */
const consider = (
  device: Considered["device"],
  layer: Layer.Layer<Gpu, GpuUnavailable>,
): Effect.Effect<Considered> =>
  Effect.scoped(Effect.gen(function* () {
    const gpu = Context.get(yield* Layer.build(layer), Service)
    const { adapter, features, limits: { maxBufferBytes } } = gpu
    const seen = { device, adapter, features, maxBufferBytes }
    if (gpu.software) {
      const why = "a processor plays the GPU: slower than the CPU layer for decoding"
      return { ...seen, taken: false, why }
    }
    return (yield* works(gpu))
      ? { ...seen, taken: true, why: "a real adapter that passed its self-test" }
      : { ...seen, taken: false, why: "it did not pass its self-test" }
  })).pipe(
    Effect.catchCause((cause) => {
      const error = cause.reasons.find(Cause.isFailReason)?.error
      const why = error === undefined ? "it could not be opened" : error.reason
      return Effect.succeed(unopened(device, why))
    }),
  )

const unopened = (device: Considered["device"], why: string): Considered => ({
  device,
  adapter: undefined,
  features: [],
  maxBufferBytes: 0,
  taken: false,
  why,
})

/**
 * Takes the first of `navigator.gpu` and Dawn that is a real adapter and passes a self-test; else the CPU.
 * Software adapters are left to those who name them: they decode slower than the CPU layer.
 */
export const choose = (options: ChooseOptions = {}): Effect.Effect<Choice> =>
  Effect.gen(function* () {
    const considered: Array<Considered> = []
    const look = options.thorough === true || (yield* hardware)
    for (const [device, layer] of [["webgpu", webgpu.layer], ["dawn", dawn.layer]] as const) {
      const found = look
        ? yield* consider(device, layer)
        : unopened(device, "this machine shows no graphics processor")
      considered.push(found)
      if (found.taken) return { device, layer, considered }
    }
    const why = "no real GPU was found, and it runs everywhere"
    const { adapter, features, maxBufferBytes } = cpu
    considered.push({ device: "cpu", adapter, features, maxBufferBytes, taken: true, why })
    return { device: "cpu" as const, layer: cpu.layer(), considered }
  })

/** The layer of `choose`. */
export const layer: Layer.Layer<Gpu, GpuUnavailable> = Layer.unwrap(
  Effect.map(choose(), (choice) => choice.layer),
)
