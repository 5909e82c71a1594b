/**
 * A device that does nothing. It measures the host: claims, tables, effects, recording, the planning of
 * memory. It is never a back end, and nothing is read from it.
 *
 * @module
 */
import { Effect, Layer, Result } from "effect"
import { Gpu } from "../mod.ts"

/** Wraps the CPU layer: no memory is made, no launch runs, and every value that is read is zero. */
export const layer: Layer.Layer<Gpu> = Layer.effect(
  Gpu.Service,
  Effect.map(Gpu.Service, (gpu): Gpu.GpuShape => ({
    ...gpu,
    create: (bytes) => Result.succeed({ bytes, raw: undefined }),
    destroy: () => {},
    write: () => {},
    memory: () => undefined,
    prepare: () => Effect.void,
    submit: () => Effect.void,
    read: (_, bytes) => Effect.sync(() => new ArrayBuffer(bytes)),
  })),
).pipe(Layer.provide(Gpu.layerCpu()))
