/** Launches as commands of one compute pass. @module */
import type { Buffer, Dispatch, Work } from "../../tensor/Recording.ts"
import { launchesOf } from "../memory.ts"
import type { Pipelines } from "./pipelines.ts"

/** Bytes of one launch's parameters in the arena: the largest alignment of a dynamic offset. */
export const stride = 256

/** One launch, bound. */
export interface Bound {
  readonly pipeline: GPUComputePipeline
  readonly group: GPUBindGroup
  /** Where its parameters lie in the arena, bytes. */
  readonly offset: number
  readonly grid: readonly [number, number, number]
}

/** The parameters of all launches, each in the order of its `struct Params`. */
export const parametersOf = (work: ReadonlyArray<Dispatch>): ArrayBuffer => {
  const bytes = new ArrayBuffer(stride * work.length)
  const view = new DataView(bytes)
  for (const [i, { kernel, params }] of work.entries()) {
    let at = i * stride
    for (const name in kernel.spec.params) {
      const value = params[name]!
      const type = kernel.spec.params[name]!
      if (type === "f32") view.setFloat32(at, value, true)
      else if (type === "i32") view.setInt32(at, value, true)
      else view.setUint32(at, value, true)
      at += 4
    }
  }
  return bytes
}

/** Host values that a replay begins with, and where they lie in the data of their submit. */
export interface Upload {
  readonly buffer: Buffer
  readonly values: ArrayBufferView
  readonly at: number
  /** In whole words, as copies are. */
  readonly size: number
}

/** Uploads of all replays, one after another behind the parameters. */
export const uploadsOf = (work: ReadonlyArray<Work>): ReadonlyArray<Upload> => {
  let at = stride * launchesOf(work).length
  const all: Array<Upload> = []
  for (const item of work) {
    if (item._tag === "Dispatch") continue
    for (const [buffer, values] of item.uploads) {
      const size = Math.ceil(values.byteLength / 4) * 4
      all.push({ buffer, values, at, size })
      at += size
    }
  }
  return all
}

/** Everything that a submit brings along: parameters, then uploads. */
export const dataOf = (work: ReadonlyArray<Work>): Uint8Array => {
  const parameters = new Uint8Array(parametersOf(launchesOf(work)))
  const uploads = uploadsOf(work)
  const last = uploads.at(-1)
  if (last === undefined) return parameters
  const data = new Uint8Array(last.at + last.size)
  data.set(parameters)
  for (const { values, at } of uploads) {
    data.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at)
  }
  return data
}

/** Binds the launches' buffers; their pipelines are compiled. About 5 µs a launch, so replays keep it. */
export const bind = (
  device: GPUDevice,
  pipelines: Pipelines,
  arena: GPUBuffer,
  work: ReadonlyArray<Dispatch>,
): ReadonlyArray<Bound> =>
  work.map((launch, i) => {
    const { pipeline, layout } = pipelines.of(launch)!
    const names = launch.kernel.bindings
    const group = device.createBindGroup({
      layout,
      entries: [
        ...names.map(({ name }, binding) => ({
          binding,
          resource: { buffer: launch.bindings[name]!.slot.buffer!.raw as GPUBuffer },
        })),
        { binding: names.length, resource: { buffer: arena, size: stride } },
      ],
    })
    return { pipeline, group, offset: i * stride, grid: launch.grid }
  })

/** Adds bound launches to a pass, in order. */
export const run = (pass: GPUComputePassEncoder, launches: ReadonlyArray<Bound>): void => {
  let current: GPUComputePipeline | undefined
  for (const { pipeline, group, offset, grid } of launches) {
    if (pipeline !== current) pass.setPipeline(current = pipeline)
    pass.setBindGroup(0, group, [offset])
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2])
  }
}
