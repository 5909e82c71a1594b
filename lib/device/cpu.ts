/** The CPU layer: runs every kernel's twin on typed arrays. Correct first, on every machine. @module */
import { Clock, Effect, Layer, Result } from "effect"
import { type AnyKernel, type ArrayOf, drift, type DType } from "../../kernels/kernel.ts"
import { GpuFault } from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"
import type { Buffer, Dispatch } from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import * as Gpu from "./service.ts"

/** How the CPU layer is set up. */
export interface Options {
  /**
   * Fills memory that nobody has written yet, outputs included, with `poison` (law 8, for tests).
   * Off by default: fresh memory is zero.
   */
  readonly poison?: boolean
}

/** What reports call it. */
export const adapter = "CPU (kernel twins)"
/** It has none. */
export const features: ReadonlyArray<string> = []
/** The largest array the engines give. */
export const maxBufferBytes: number = 2 ** 32

/** 0xC6EA in both halves: f32 −30,053, bf16 −29,952, f16 −6.9, u32 over 3 billion; all finite. */
const poisonWord = 0xc6eac6ea

/** Longest stretch of work, in milliseconds, before other fibers and signals get a turn. */
const slice = 8

const memory = (buffer: Buffer): ArrayBuffer => buffer.raw as ArrayBuffer // only this layer makes them

const bytesOf = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** One launch on its arrays, ready to run any number of times. */
const bind = (d: Dispatch, poison: boolean): () => void => {
  const arrays: Record<string, ArrayOf[DType]> = {}
  const unwritten: Array<Uint32Array> = []
  for (const { name, access } of d.kernel.bindings) {
    const { dtype, slot, shape } = d.bindings[name]!
    const data = memory(slot.buffer!)
    if (poison && access === "write") unwritten.push(new Uint32Array(data))
    arrays[name] = DTypes.view(dtype, data, Shape.size(shape))
  }
  return () => {
    for (const words of unwritten) words.fill(poisonWord)
    d.kernel.twin(arrays, d.params, d.axes, d.overrides)
  }
}

const make = (options: Options): Gpu.GpuShape => {
  const checked = new WeakSet<AnyKernel>()
  let buffers = 0
  let bytes = 0
  const poison = options.poison === true
  const ready = (d: Dispatch): () => void => {
    if (!checked.has(d.kernel)) {
      const wrong = drift(d.kernel)
      if (wrong.length > 0) throw new Error(`kernel and shader differ: ${wrong.join("; ")}`)
      checked.add(d.kernel)
    }
    return bind(d, poison)
  }
  const put = ([buffer, data]: readonly [Buffer, ArrayBufferView], at = 0): void =>
    new Uint8Array(memory(buffer)).set(bytesOf(data), at)
  return {
    name: "cpu",
    adapter,
    software: false,
    limits: { maxBufferBytes },
    weights: "stored",
    features,
    create: (size) => {
      if (size > maxBufferBytes) { // not even tried: an engine looks for so much by collecting garbage, several times
        const detail = `${size} bytes: the largest buffer has ${maxBufferBytes}`
        return Result.fail(new GpuFault({ kind: "out-of-memory", kernel: "allocation", detail }))
      }
      try {
        const raw = new ArrayBuffer(size)
        if (poison) new Uint32Array(raw, 0, size >> 2).fill(poisonWord)
        buffers++
        bytes += size
        return Result.succeed({ bytes: size, raw })
      } catch (error) { // RangeError: the engine has no such array
        const detail = `${size} bytes: ${error instanceof Error ? error.message : error}`
        return Result.fail(new GpuFault({ kind: "out-of-memory", kernel: "allocation", detail }))
      }
    },
    destroy: (buffer) => {
      buffers--
      bytes -= buffer.bytes
    },
    write: (buffer, data, at) => put([buffer, data], at),
    memory: (buffer) => new Uint8Array(memory(buffer)),
    sound: () => Effect.void,
    settled: Effect.void,
    prepare: (work) => Effect.sync(() => work.map(ready)),
    submit: (work) =>
      Effect.suspend(() => {
        for (const item of work) {
          if (item._tag === "Replay") item.uploads.forEach((upload) => put(upload))
        }
        const runs = work.flatMap((item) =>
          item._tag === "Dispatch" ? [() => ready(item)()] : item.prepared as Array<() => void>
        )
        let next = 0
        const turn: Effect.Effect<void> = Clock.clockWith((clock) => {
          const end = clock.currentTimeMillisUnsafe() + slice
          while (next < runs.length) {
            runs[next++]!()
            if (next < runs.length && clock.currentTimeMillisUnsafe() > end) {
              return Effect.andThen(Effect.yieldNow, turn)
            }
          }
          return Effect.void
        })
        return turn
      }),
    tier: "general",
    chain: { steps: 1, ahead: 0 },
    read: (buffer, size) => Effect.sync(() => memory(buffer).slice(0, size)),
    live: () => ({ buffers, bytes }),
  }
}

/**
 * The layer that runs everywhere. Each use of it is a device of its own.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Gpu } from "@kvasir/kvasir"
 * const program = Effect.map(Gpu.live, (live) => live.buffers)
 * console.log(await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))) // 0
 * ```
 */
export const layer = (options: Options = {}): Layer.Layer<Gpu.Gpu> =>
  Layer.sync(Gpu.Service, () => make(options))
