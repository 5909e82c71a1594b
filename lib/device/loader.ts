/**
 * Stored weights to device memory, a few MiB at a time: no tensor ever stands in memory twice. Where the device's
 * memory is the host's they are read to where they stay; elsewhere through one array that is used again.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import type { ArrayOf, DType, Sizes } from "../../kernels/kernel.ts"
import { side, type Stored, storedOf, tile } from "../../kernels/tile.ts"
import { type DeviceError, type GpuFault, ShapeMismatch } from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"
import { type Matrix, type Part, type Piece, pieces, type Weight } from "../tensor/Matrix.ts"
import type { Buffer } from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Tensor } from "../tensor/value.ts"
import { type Gpu, Service } from "./service.ts"
import { reserve, sound } from "./transfer.ts"

/** Fills `into` with stored bytes from `at` on. */
export type Fill<E> = (into: Uint8Array<ArrayBuffer>, at: number) => Effect.Effect<void, E>

/** Loads one tensor after the other; two at a time would share its array. */
export interface Loader {
  /** A tensor as stored. */
  readonly tensor: <D extends DType, const A extends string, E>(
    dtype: D,
    axes: A,
    sizes: NoInfer<Sizes<A>>,
    fill: Fill<E>,
  ) => Effect.Effect<Tensor<D, A>, E | DeviceError, Gpu | Scope.Scope>
  /** A weight `[out, in]` in the form the device wants: tiled, and in parts where one buffer cannot hold it. */
  readonly matrix: <const A extends string, E>(
    dtype: Weight,
    axes: A,
    sizes: NoInfer<Sizes<A>>,
    fill: Fill<E>,
  ) => Effect.Effect<Matrix<A>, E | DeviceError, Gpu | Scope.Scope>
  /** Waits until all of it is on the device. */
  readonly done: Effect.Effect<void, DeviceError>
}

/** Bytes read at a time. */
const chunkBytes = 4 * 2 ** 20

/** Bytes written before they are waited for: until then the queue holds a copy of them. */
const aheadBytes = 4 * chunkBytes

/** A loader for the device. */
export const make: Effect.Effect<Loader, never, Gpu> = Effect.map(Service, (gpu) => {
  let scratch = new Uint8Array(0)
  let tiles = new Uint32Array(0)
  let ahead = 0
  const room = (bytes: number): Uint8Array<ArrayBuffer> => {
    if (scratch.length < bytes) scratch = new Uint8Array(bytes)
    return scratch.subarray(0, bytes)
  }
  const tilesOf = (dtype: Stored, stored: Uint8Array<ArrayBuffer>, k: number) => {
    if (tiles.byteLength < stored.length) tiles = new Uint32Array(stored.length / 4)
    const rows = stored.length / DTypes.bytes(dtype, k)
    return tile(dtype, stored, rows, k, tiles.subarray(0, stored.length / 4))
  }
  const write = (buffer: Buffer, data: ArrayBufferView, at: number) =>
    Effect.suspend(() => {
      gpu.write(buffer, data, at)
      ahead += data.byteLength
      if (ahead < aheadBytes) return Effect.void
      ahead = 0
      return gpu.settled
    })

  /** Fills a buffer with `bytes` stored ones from `first` on. */
  const asStored = Effect.fnUntraced(function* <E>(
    buffer: Buffer,
    fill: Fill<E>,
    first: number,
    bytes: number,
  ) {
    const memory = gpu.memory(buffer)
    for (let at = 0; at < bytes; at += chunkBytes) {
      const length = Math.min(chunkBytes, bytes - at)
      const into = memory?.subarray(at, at + length) ?? room(length)
      yield* fill(into, first + at)
      if (memory === undefined) yield* write(buffer, into, at)
    }
  })

  /** Fills a buffer with tiles of rows of `k` columns, whole rows of tiles at a time. */
  const asTiles = Effect.fnUntraced(function* <E>(
    buffer: Buffer,
    fill: Fill<E>,
    dtype: Stored,
    first: number,
    bytes: number,
    k: number,
  ) {
    const strip = DTypes.bytes(dtype, side * k)
    const step = Math.max(1, Math.floor(chunkBytes / strip)) * strip
    for (let at = 0; at < bytes; at += step) {
      const stored = room(Math.min(step, bytes - at))
      yield* fill(stored, first + at)
      yield* write(buffer, tilesOf(dtype, stored, k), at)
    }
  })

  const piece = <E>(buffer: Buffer, fill: Fill<E>, { dtype, first, rows }: Piece, k: number) => {
    const bytes = DTypes.bytes(dtype, rows * k)
    const stored = storedOf[dtype as keyof typeof storedOf] // undefined where it is stored so
    const start = DTypes.bytes(stored ?? dtype, first * k)
    return stored === undefined
      ? asStored(buffer, fill, start, bytes)
      : asTiles(buffer, fill, stored, start, bytes, k)
  }

  return {
    tensor: (dtype, axes, sizes, fill) =>
      Effect.gen(function* () {
        const made = yield* reserve(dtype, axes, sizes)
        const bytes = DTypes.bytes(dtype, Shape.size(made.shape))
        yield* asStored(made.slot.buffer!, fill, 0, bytes)
        yield* sound(made.slot.buffer!)
        return made
      }),
    matrix: <const A extends string, E>(
      dtype: Weight,
      axes: A,
      sizes: Sizes<A>,
      fill: Fill<E>,
    ) =>
      Effect.gen(function* () {
        const { weights, limits: { maxBufferBytes } } = gpu
        const { shape } = Shape.of(axes, sizes)
        const [n, k] = shape as readonly [number, number]
        const parts: Array<Part<A>> = []
        for (const one of pieces(dtype, n, k, { weights, maxBufferBytes })) {
          const own = { ...sizes, [Shape.words(axes)[0]!]: one.rows }
          const part = yield* reserve(one.dtype, axes, own)
          yield* piece(part.slot.buffer!, fill, one, k)
          yield* sound(part.slot.buffer!)
          parts.push(part)
        }
        return parts.length === 1 ? parts[0]! : { axes, shape, parts }
      }),
    done: Effect.suspend(() => gpu.settled),
  }
})

/**
 * Uploads a weight `[out, in]` in the form the device wants: tiled, and in several parts where one buffer cannot
 * hold it.
 */
export const uploadMatrix = <const A extends string>(
  dtype: Weight,
  axes: A,
  sizes: NoInfer<Sizes<A>>,
  data: ArrayOf[Weight],
): Effect.Effect<Matrix<A>, ShapeMismatch | DeviceError, Gpu | Scope.Scope> =>
  Effect.gen(function* () {
    const { shape } = Shape.of(axes, sizes)
    const bad = Shape.wholeError("data", { axes, shape })
    if (bad !== undefined) return yield* bad
    const expected = DTypes.bytes(dtype, Shape.size(shape))
    if (data.byteLength !== expected) {
      const [need, actual] = [expected, data.byteLength].map((n) => n / data.BYTES_PER_ELEMENT)
      return yield* new ShapeMismatch({
        tensor: "data",
        axis: axes,
        expected: need!,
        actual: actual!,
      })
    }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const loader = yield* make
    return yield* loader.matrix<A, GpuFault>(
      dtype,
      axes,
      sizes,
      (into, at) => Effect.sync(() => into.set(bytes.subarray(at, at + into.length))),
    )
  })
