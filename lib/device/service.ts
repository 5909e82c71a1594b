/**
 * The device: memory, submits, reads. Everything before `submit` is data.
 *
 * @module
 */
import { Context, Effect, type Result, type Scope } from "effect"
import type { DeviceError, GpuFault } from "../errors.ts"
import type { Buffer, Dispatch, Work } from "../tensor/Recording.ts"

/** Buffers the device holds now. */
export interface Live {
  readonly buffers: number
  readonly bytes: number
}

/** How a loop of small steps is best run on a device. */
export interface Chain {
  /** Steps of a submit, where nothing is read back in between. */
  readonly steps: number
  /** Submits that are sent before the values of an older one are waited for. */
  readonly ahead: number
}

/** What a layer provides. Memory is a plain call; only what waits is an Effect. */
export interface GpuShape {
  readonly name: "cpu" | "webgpu" | "dawn"
  /** The adapter's own words, for reports. */
  readonly adapter: string
  /** A processor that plays a GPU: slower than the CPU layer for decoding. */
  readonly software: boolean
  /** Bytes of the largest buffer that can be made and bound. */
  readonly limits: { readonly maxBufferBytes: number }
  /** How it wants a model's matrices: as files store them, or tiled for register kernels. */
  readonly weights: "stored" | "tiled"
  /** Optional features the adapter lists. */
  readonly features: ReadonlyArray<string>
  readonly create: (bytes: number) => Result.Result<Buffer, GpuFault>
  readonly destroy: (buffer: Buffer) => void
  /** Copies the data to a byte of the buffer, a multiple of 4 and by default its first. */
  readonly write: (buffer: Buffer, data: ArrayBufferView, at?: number) => void
  /**
   * The buffer's own memory, where that is the host's: to be filled before the first launch that uses it.
   * Undefined where only `write` reaches it.
   */
  readonly memory: (buffer: Buffer) => Uint8Array<ArrayBuffer> | undefined
  /**
   * Waits until the device has said whether it could make and write these: it says so later than `create` and `write`
   * return. Succeeds on a lost device: what uses them fails with `GpuLost`.
   */
  readonly sound: (buffers: ReadonlyArray<Buffer>) => Effect.Effect<void, GpuFault>
  /** Waits until what was written is on the device: until then a queue holds copies of it. */
  readonly settled: Effect.Effect<void, DeviceError>
  /**
   * Makes the launches ready to run many times: compiled, bound, their parameters written. What it makes
   * belongs to the scope.
   */
  readonly prepare: (
    work: ReadonlyArray<Dispatch>,
  ) => Effect.Effect<unknown, DeviceError, Scope.Scope>
  /** Runs the work in order, after all submits before it; when it succeeds the device has accepted it. */
  readonly submit: (work: ReadonlyArray<Work>) => Effect.Effect<void, DeviceError>
  /**
   * Which kernels run best, where there are several for one task: the general ones, whose twins are the
   * reference, or those that hold a thread's work in registers, made for each shape.
   */
  readonly tier: "general" | "registers"
  /** How a loop of small steps is best run here. */
  readonly chain: Chain
  readonly read: (buffer: Buffer, bytes: number) => Effect.Effect<ArrayBuffer, DeviceError>
  /** The live counter: zero when every scope is closed. */
  readonly live: () => Live
}

/** Identifier of the service. */
export interface Gpu {
  readonly "~kvasir/Gpu": "provided by Gpu.layerCpu, layerWebGpu, layerDawn or layerAuto"
}
/** The service. */
export const Service: Context.Service<Gpu, GpuShape> = Context.Service<Gpu, GpuShape>("kvasir/Gpu")

/** Buffers and bytes that are alive on the device now. */
export const live: Effect.Effect<Live, never, Gpu> = Effect.map(Service, (gpu) => gpu.live())
