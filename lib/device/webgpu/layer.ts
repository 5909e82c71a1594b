/** A WebGPU device as the Gpu service. @module */
import { Deferred, Effect, Exit, type Layer, Layer as Layers, Result, type Scope } from "effect"
import { type DeviceError, GpuFault, GpuLost, GpuUnavailable } from "../../errors.ts"
import type { Buffer, Dispatch, Work } from "../../tensor/Recording.ts"
import { launchesOf } from "../memory.ts"
import { type Gpu, type GpuShape, Service } from "../service.ts"
import * as Buffers from "./buffers.ts"
import { bind, type Bound, dataOf, parametersOf, run, stride, uploadsOf } from "./encode.ts"
import { alive, guarded, type Opened } from "./guard.ts"
import * as Pipelines from "./pipelines.ts"
import * as Readback from "./readback.ts"

/** GPUBufferUsage.STORAGE | COPY_SRC | COPY_DST, and UNIFORM | COPY_SRC | COPY_DST. */
const storageUsage = 0x80 | 0x4 | 0x8
const uniformUsage = 0x40 | 0x4 | 0x8

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
    let device: GPUDevice | undefined
    let closed = false
    // Before it is asked for: it may come when nobody waits for it any more.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
        device?.destroy()
      })
    )
    device = yield* Effect.tryPromise({
      try: async () => {
        device = await adapter.requestDevice({
          requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
        })
        if (closed) device.destroy()
        return device
      },
      catch: (error) => unavailable(String(error)),
    })
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

/** The buffers that launches read and write. */
function* buffersOf(launches: ReadonlyArray<Dispatch>): Generator<GPUBuffer> {
  for (const { bindings } of launches) {
    for (const name in bindings) yield raw(bindings[name]!.slot.buffer!)
  }
}

const serve = (name: Origin["device"], opened: Opened): GpuShape & { close: () => void } => {
  const { device, adapter } = opened
  const pipelines = Pipelines.make(opened)
  const memory = Buffers.make(device)
  const readback = Readback.make(opened, memory)
  let [buffers, bytes] = [0, 0]
  /** Waits until the device has said that these could be made and were written. */
  const heard = (buffers: Iterable<GPUBuffer>): Effect.Effect<void, DeviceError> => {
    const verdict = memory.verdict(buffers)
    if (verdict === undefined) return Effect.void
    const said = Effect.flatMap(
      Effect.promise(() => verdict),
      (fault) => fault === undefined ? Effect.void : Effect.fail(fault),
    )
    return alive(opened, said)
  }
  /** Parameters and uploads of one submit, in a buffer of its own; undefined where there are none. */
  const sent = (data: Uint8Array): Result.Result<GPUBuffer | undefined, GpuFault> => {
    if (data.length === 0) return Result.succeed(undefined)
    return Result.map(memory.make("parameters", data.length, uniformUsage), (buffer) => {
      memory.write(buffer, data)
      return buffer
    })
  }
  const encode = (work: ReadonlyArray<Work>, own: GPUBuffer | undefined): void => {
    if (work.length === 0) return
    const launches = launchesOf(work)
    const bound = launches.length === 0 ? [] : bind(device, pipelines, own!, launches)
    const encoder = device.createCommandEncoder()
    for (const { buffer, at, size } of uploadsOf(work)) {
      encoder.copyBufferToBuffer(own!, at, raw(buffer), 0, size)
    }
    const pass = encoder.beginComputePass()
    let next = 0
    for (const item of work) {
      if (item._tag === "Dispatch") run(pass, [bound[next++]!])
      else run(pass, item.prepared as ReadonlyArray<Bound>)
    }
    pass.end()
    device.queue.submit([encoder.finish()])
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
    create: (size) =>
      Result.map(memory.make("allocation", Math.ceil(size / 4) * 4, storageUsage), (raw) => {
        buffers++
        bytes += size
        return { bytes: size, raw }
      }),
    destroy: (buffer) => {
      buffers--
      bytes -= buffer.bytes
      memory.destroy(raw(buffer))
    },
    write: (buffer, data, at) => memory.write(raw(buffer), data, at),
    memory: () => undefined,
    sound: (buffers) =>
      Effect.catchTag(
        Effect.suspend(() => heard(buffers.map(raw))),
        "GpuLost",
        () => Effect.void,
      ),
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
        const own = yield* Effect.acquireRelease(
          Effect.suspend(() =>
            Effect.fromResult(
              memory.make("parameters", Math.max(stride, data.byteLength), uniformUsage),
            )
          ),
          (buffer) => Effect.sync(() => memory.destroy(buffer)),
        )
        memory.write(own, new Uint8Array(data))
        yield* heard([own, ...buffersOf(work)])
        return yield* guarded(opened, nameOf(work), () => bind(device, pipelines, own, work))
      }),
    submit: (work) =>
      Effect.andThen(
        pipelines.ensure(launchesOf(work)),
        Effect.acquireUseRelease(
          Effect.suspend(() => Effect.fromResult(sent(dataOf(work)))),
          (own) =>
            Effect.suspend(() => {
              const launches = launchesOf(work)
              const used = own === undefined ? [] : [own]
              // A launch whose places were not written would write over whatever lies there.
              return Effect.andThen(
                heard([...used, ...buffersOf(launches)]),
                guarded(opened, nameOf(launches), () => encode(work, own)),
              )
            }),
          // Work that was submitted keeps it until it has run.
          (own) => Effect.sync(() => own === undefined || memory.destroy(own)),
        ),
      ),
    tier: "registers",
    chain: { steps: 8, ahead: 1 },
    read: (buffer, size) => readback.read(raw(buffer), size),
    live: () => ({ buffers, bytes }),
    close: readback.close,
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
