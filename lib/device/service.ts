/**
 * The device: memory, submits, reads. Everything before `submit` is data.
 *
 * @module
 */
import { Context, Effect, type Result } from "effect"
import type { DeviceError, GpuFault } from "../errors.ts"
import type { Buffer, Dispatch } from "../tensor/Recording.ts"

/** Buffers the device holds now. */
export interface Live {
  readonly buffers: number
  readonly bytes: number
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
  /** Optional features the adapter lists. */
  readonly features: ReadonlyArray<string>
  readonly create: (bytes: number) => Result.Result<Buffer, GpuFault>
  readonly destroy: (buffer: Buffer) => void
  readonly write: (buffer: Buffer, data: ArrayBufferView) => void
  /** Runs the launches in order; when it succeeds they have run. */
  readonly submit: (work: ReadonlyArray<Dispatch>) => Effect.Effect<void, DeviceError>
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
