/** A WebGPU device as the Gpu service. @module */
import { Deferred, Effect, Exit, type Layer, Layer as Layers, Result, type Scope } from "effect"
import { GpuLost, GpuUnavailable } from "../../errors.ts"
import type { Buffer } from "../../tensor/Recording.ts"
import { type Gpu, type GpuShape, Service } from "../service.ts"
import { bind, parametersOf, run, stride } from "./encode.ts"
import { guarded, type Opened } from "./guard.ts"
import * as Pipelines from "./pipelines.ts"
import * as Readback from "./readback.ts"

/** GPUBufferUsage.STORAGE | COPY_SRC | COPY_DST, and UNIFORM | COPY_DST. */
const storageUsage = 0x80 | 0x4 | 0x8
const uniformUsage = 0x40 | 0x8

const raw = (buffer: Buffer): GPUBuffer => buffer.raw as GPUBuffer // only this layer makes them

/** Where the API comes from, and what to say when there is none. */
export interface Origin {
  readonly device: "webgpu" | "dawn"
  readonly gpu: Effect.Effect<GPU, GpuUnavailable>
  readonly remedy: string
}

/** Opens a device; it is destroyed when the scope closes. Asks for the adapter's own limits. */
export const open = (
  { device: name, gpu, remedy }: Origin,
): Effect.Effect<Opened, GpuUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const unavailable = (reason: string) => new GpuUnavailable({ device: name, reason, remedy })
    const api = yield* gpu
    const adapter = yield* Effect.tryPromise({
      try: () => api.requestAdapter(),
      catch: (error) => unavailable(String(error)),
    })
    if (adapter === null) return yield* unavailable("there is no adapter")
    const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits
    const device = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () =>
          adapter.requestDevice({
            requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
          }),
        catch: (error) => unavailable(String(error)),
      }),
      (device) => Effect.sync(() => device.destroy()),
    )
    const lost = Deferred.makeUnsafe<never, GpuLost>()
    device.lost.then(({ reason, message }) => {
      Deferred.doneUnsafe(lost, Exit.fail(new GpuLost({ reason, detail: message })))
    })
    const { vendor, architecture, description, isFallbackAdapter } = adapter.info
    const words = [description, vendor, architecture].filter((word) => word !== "")
    const software = isFallbackAdapter === true
    const features = [...adapter.features].sort()
    return { device, adapter: words[0] ?? "an adapter without a name", software, features, lost }
  })

const serve = (name: Origin["device"], opened: Opened): GpuShape & { close: () => void } => {
  const { device, adapter } = opened
  const pipelines = Pipelines.make(opened)
  const readback = Readback.make(opened)
  let [buffers, bytes] = [0, 0]
  let arena = device.createBuffer({ size: stride * 64, usage: uniformUsage })
  const parameters = (data: ArrayBuffer): GPUBuffer => {
    if (data.byteLength > arena.size) {
      arena.destroy() // work that was submitted keeps it until it has run
      arena = device.createBuffer({ size: 2 * data.byteLength, usage: uniformUsage })
    }
    device.queue.writeBuffer(arena, 0, data)
    return arena
  }
  return {
    name,
    adapter,
    software: opened.software,
    features: opened.features,
    limits: {
      maxBufferBytes: Math.min(
        device.limits.maxBufferSize,
        device.limits.maxStorageBufferBindingSize,
      ),
    },
    create: (size) => {
      buffers++
      bytes += size
      return Result.succeed({
        bytes: size,
        raw: device.createBuffer({ size: Math.ceil(size / 4) * 4, usage: storageUsage }),
      })
    },
    destroy: (buffer) => {
      buffers--
      bytes -= buffer.bytes
      raw(buffer).destroy()
    },
    write: (buffer, { buffer: shared, byteOffset, byteLength }) => {
      const data = shared as ArrayBuffer // nothing here makes shared memory
      const whole = byteLength - byteLength % 4
      // Deno 2.9 panics on a write of no bytes (its queue.rs unwraps an empty buffer's pointer).
      if (whole > 0) device.queue.writeBuffer(raw(buffer), 0, data, byteOffset, whole)
      if (whole === byteLength) return
      const tail = new Uint8Array(4) // the queue writes whole words
      tail.set(new Uint8Array(data, byteOffset + whole, byteLength - whole))
      device.queue.writeBuffer(raw(buffer), whole, tail)
    },
    submit: (work) =>
      Effect.andThen(
        pipelines.ensure(work),
        guarded(opened, work.at(-1)?.kernel.spec.name ?? "nothing", () => {
          if (work.length === 0) return
          const bound = bind(device, pipelines, parameters(parametersOf(work)), work)
          const encoder = device.createCommandEncoder()
          const pass = encoder.beginComputePass()
          run(pass, bound)
          pass.end()
          device.queue.submit([encoder.finish()])
        }),
      ),
    read: (buffer, size) => readback.read(raw(buffer), size),
    live: () => ({ buffers, bytes }),
    close: () => {
      readback.close()
      arena.destroy()
    },
  }
}

/** The layer over a device of this origin. */
export const layerOf = (origin: Origin): Layer.Layer<Gpu, GpuUnavailable> =>
  Layers.effect(
    Service,
    Effect.flatMap(open(origin), (opened) =>
      Effect.acquireRelease(
        Effect.sync(() => serve(origin.device, opened)),
        (gpu) => Effect.sync(() => gpu.close()),
      )),
  )
