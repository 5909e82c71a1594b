/** Host arrays to device tensors and back, with memory that a scope owns. @module */
import { Effect, type Scope } from "effect"
import type { ArrayOf, DType, Sizes } from "../../kernels/kernel.ts"
import { type DeviceError, GpuFault, ShapeMismatch, StaleTensor } from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"
import type { Buffer, Slot } from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Named, Tensor } from "../tensor/value.ts"
import { type Gpu, Service } from "./service.ts"

/** A buffer that lives as long as the scope, of which the device has not said yet whether it has the memory. */
const begin = (bytes: number): Effect.Effect<Buffer, GpuFault, Gpu | Scope.Scope> =>
  Effect.flatMap(Service, (gpu) =>
    Effect.acquireRelease(
      Effect.suspend(() =>
        Number.isSafeInteger(bytes) && bytes >= 0
          ? Effect.fromResult(gpu.create(bytes))
          : Effect.fail(
            new GpuFault({
              kind: "validation",
              kernel: "allocation",
              detail: `${bytes} bytes are no size`,
            }),
          )
      ),
      (buffer) => Effect.sync(() => gpu.destroy(buffer)),
    ))

/** Waits for what the device says of a buffer. */
export const sound = (buffer: Buffer): Effect.Effect<void, GpuFault, Gpu> =>
  Effect.flatMap(Service, (gpu) => gpu.sound([buffer]))

/** A buffer that lives as long as the scope. */
export const allocate = (bytes: number): Effect.Effect<Buffer, GpuFault, Gpu | Scope.Scope> =>
  Effect.tap(begin(bytes), sound)

/**
 * A tensor that lives as long as the scope, and whose elements are still to be written: `sound` says afterwards
 * whether they were.
 */
export const reserve = <D extends DType, const A extends string>(
  dtype: D,
  axes: A,
  sizes: NoInfer<Sizes<A>>,
): Effect.Effect<Tensor<D, A>, GpuFault, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const { shape } = Shape.of(axes, sizes)
    const buffer = yield* begin(DTypes.bufferBytes(dtype, Shape.size(shape)))
    const slot: Slot = { bytes: buffer.bytes, data: undefined, buffer, stale: undefined }
    yield* Effect.addFinalizer(() => Effect.sync(() => slot.stale = "its scope is closed"))
    return { dtype, axes, shape, slot }
  })

/**
 * Uploads a row-major array as a tensor that lives as long as the scope.
 * Quantised dtypes take the raw blocks of the file format (see `DType`).
 */
export const upload = <D extends DType, const A extends string>(
  dtype: D,
  axes: A,
  sizes: NoInfer<Sizes<A>>,
  data: ArrayOf[NoInfer<D>],
): Effect.Effect<Tensor<D, A>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const gpu = yield* Service
    const { shape } = Shape.of(axes, sizes)
    const bad = Shape.wholeError("data", { axes, shape })
    if (bad !== undefined) return yield* bad
    const count = Shape.size(shape)
    const expected = DTypes.bytes(dtype, count) / data.BYTES_PER_ELEMENT
    if (expected !== data.length) {
      return yield* new ShapeMismatch({
        tensor: "data",
        axis: axes,
        expected,
        actual: data.length,
      })
    }
    const made = yield* reserve(dtype, axes, sizes)
    gpu.write(made.slot.buffer!, data)
    yield* gpu.sound([made.slot.buffer!])
    return made
  })

/** Uploads every tensor of a record of axis strings: how a set of weights is loaded. */
export const uploadAll = <D extends DType, const S extends { readonly [name: string]: string }>(
  dtype: D,
  axes: S,
  sizes: NoInfer<Sizes<S[keyof S]>>,
  data: (name: keyof S & string, length: number) => ArrayOf[NoInfer<D>],
): Effect.Effect<Named<D, S>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const out: Record<string, Tensor<D, string>> = {}
    const known = sizes as Record<string, number>
    for (const name in axes) {
      const { shape } = Shape.of(axes[name]! as string, known)
      out[name] = yield* upload(
        dtype,
        axes[name]! as string,
        known,
        data(name, Shape.size(shape)),
      )
    }
    return out as Named<D, S>
  })

/** Brings a tensor to the host: its elements, row-major (raw bits for f16 and bf16). */
export const read = <D extends DType>(
  tensor: Tensor<D, string>,
): Effect.Effect<ArrayOf[D], DeviceError | StaleTensor, Gpu> =>
  Effect.flatMap(
    Service,
    (gpu): Effect.Effect<ArrayOf[D], DeviceError | StaleTensor> => {
      const { buffer, stale, bytes } = tensor.slot
      if (buffer === undefined || stale !== undefined) {
        const why = stale ?? "its recording has not run"
        return Effect.fail(new StaleTensor({ name: `tensor [${tensor.axes}]`, why }))
      }
      const count = Shape.size(tensor.shape)
      return Effect.map(gpu.read(buffer, bytes), (data) => DTypes.view(tensor.dtype, data, count))
    },
  )
