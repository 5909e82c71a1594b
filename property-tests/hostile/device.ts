/**
 * A device on which launches are looked at: what a shader is told in 32 bits must fit in them, else a GPU takes
 * another number than the CPU does.
 *
 * @module
 */
import { Effect, Layer } from "effect"
import { Gpu, type Recording } from "../../mod.ts"

/** A number that is another one in 32 bits, by launch; taken out by `taken`. */
export interface Misfits {
  readonly layer: Layer.Layer<Gpu>
  /** What was found since the last time. */
  readonly taken: () => ReadonlyArray<string>
}

const fits = {
  u32: (x: number) => Number.isInteger(x) && x >= 0 && x < 2 ** 32,
  i32: (x: number) => Number.isInteger(x) && Math.abs(x) < 2 ** 31,
  f32: (x: number) => Number.isFinite(Math.fround(x)) && (x === 0 || Math.fround(x) !== 0),
}

const misfits = ({ kernel: { spec }, params, overrides }: Recording.Dispatch) =>
  Object.entries({ ...spec.params, ...spec.overrides }).flatMap(([name, type]) => {
    const value: unknown = params[name] ?? overrides[name]
    return typeof value === "number" && fits[type as keyof typeof fits](value)
      ? []
      : [`${spec.name} is told ${value} as ${name}, which is no ${type}`]
  })

/** A layer over another. */
export const watched = (under: Layer.Layer<Gpu>): Misfits => {
  const found: Array<string> = []
  const wrap = (gpu: Gpu.GpuShape): Gpu.GpuShape => ({
    ...gpu,
    submit: (work) =>
      Effect.suspend(() => {
        found.push(...work.flatMap((item) => item._tag === "Dispatch" ? misfits(item) : []))
        return gpu.submit(work)
      }),
  })
  return {
    layer: Layer.effect(Gpu.Service, Effect.map(Gpu.Service, wrap)).pipe(Layer.provide(under)),
    taken: () => found.splice(0),
  }
}
