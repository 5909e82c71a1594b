/** A WebGPU device as the Gpu service. @module */
import { Deferred, Effect, Exit, type Layer, Layer as Layers, Result, type Scope } from "effect"
import { GpuFault, GpuLost, GpuUnavailable } from "../../errors.ts"
import type { Buffer, Dispatch } from "../../tensor/Recording.ts"
import { launchesOf } from "../memory.ts"
import { type Gpu, type GpuShape, Service } from "../service.ts"
import { bind, type Bound, parametersOf, run, stride } from "./encode.ts"
import { alive, guarded, type Opened } from "./guard.ts"
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

/** What a fault is blamed on: a submit has one error for all of its launches. */
const nameOf = (launches: ReadonlyArray<Dispatch>): string =>
  launches.length === 1 ? launches[0]!.kernel.spec.name : `${launches.length} launches`

const serve = (name: Origin["device"], opened: Opened): GpuShape & { close: () => void } => {
  const { device, adapter } = opened
  const pipelines = Pipelines.make(opened)
  const readback = Readback.make(opened)
  let [buffers, bytes] = [0, 0]
  const uniforms = (size: number): GPUBuffer =>
    device.createBuffer({ size: Math.max(stride, size), usage: uniformUsage })
  const write = (
    buffer: Buffer,
    { buffer: shared, byteOffset, byteLength }: ArrayBufferView,
    at = 0,
  ): void => {
    const data = shared as ArrayBuffer // nothing here makes shared memory
    const whole = byteLength - byteLength % 4
    // Deno 2.9 panics on a write of no bytes (its queue.rs unwraps an empty buffer's pointer).
    if (whole > 0) device.queue.writeBuffer(raw(buffer), at, data, byteOffset, whole)
    if (whole === byteLength) return
    const tail = new Uint8Array(4) // the queue writes whole words
    tail.set(new Uint8Array(data, byteOffset + whole, byteLength - whole))
    device.queue.writeBuffer(raw(buffer), at + whole, tail)
  }
  let arena = uniforms(64 * stride)
  const parameters = (data: ArrayBuffer): GPUBuffer => {
    if (data.byteLength > arena.size) {
      arena.destroy() // work that was submitted keeps it until it has run
      arena = uniforms(2 * data.byteLength)
    }
    device.queue.writeBuffer(arena, 0, data)
    return arena
  }
  return {
    name,
    adapter,
    software: opened.software,
    features: opened.features,
    weights: "tiled",
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
    write,
    memory: () => undefined,
    settled: Effect.andThen(
      guarded(opened, "writes", () => device.queue.submit([])), // sends the writes that wait for a submit
      alive(
        opened,
        Effect.tryPromise({
          try: () => device.queue.onSubmittedWorkDone(),
          catch: (error) =>
            new GpuFault({ kind: "internal", kernel: "writes", detail: String(error) }),
        }),
      ),
    ),
    prepare: (work) =>
      Effect.gen(function* () {
        yield* pipelines.ensure(work)
        const data = parametersOf(work)
        const arena = yield* Effect.acquireRelease(
          guarded(opened, "parameters", () => uniforms(data.byteLength)),
          (buffer) => Effect.sync(() => buffer.destroy()),
        )
        if (data.byteLength > 0) device.queue.writeBuffer(arena, 0, data)
        return yield* guarded(opened, nameOf(work), () => bind(device, pipelines, arena, work))
      }),
    submit: (work) =>
      Effect.andThen(
        pipelines.ensure(launchesOf(work)),
        guarded(opened, nameOf(launchesOf(work)), () => {
          if (work.length === 0) return
          const launches = launchesOf(work)
          const bound = launches.length === 0
            ? []
            : bind(device, pipelines, parameters(parametersOf(launches)), launches)
          const encoder = device.createCommandEncoder()
          const pass = encoder.beginComputePass()
          let next = 0
          for (const item of work) {
            if (item._tag === "Dispatch") run(pass, [bound[next++]!])
            else {
              for (const [buffer, values] of item.uploads) write(buffer, values)
              run(pass, item.prepared as ReadonlyArray<Bound>)
            }
          }
          pass.end()
          device.queue.submit([encoder.finish()])
        }),
      ),
    tier: "registers",
    chain: { steps: 8, ahead: 1 },
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
