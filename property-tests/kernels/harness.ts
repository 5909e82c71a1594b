/**
 * Runs one kernel on plain arrays: by its twin, or on the WebGPU device of this runtime if it has one.
 *
 * @module
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { workgroup } from "../../kernels/grid.ts"
import type { AnyKernel, ArrayOf, DType } from "../../kernels/kernel.ts"
import { flags } from "../../lib/device/dawn.ts"
import * as DTypes from "../../lib/tensor/DType.ts"
import { runs } from "../arbitraries/runs.ts"

/** Arrays by binding name. */
export type Arrays = Record<string, ArrayOf[DType]>

/** One launch on plain arrays: sizes of all axes, what is read or updated, and what is not an axis. */
export interface Case {
  readonly axes: Record<string, number>
  readonly given: Arrays
  readonly params?: Record<string, number>
}

// What is to be written begins as this, so that an element nobody wrote is seen.
const POISON = 30_000

/** A runner: gives back every array of the launch, those it was given unchanged. */
export type Run = (kernel: AnyKernel, launch: Case) => Promise<Arrays>

const prepare = (kernel: AnyKernel, { axes, given, params }: Case) => {
  const arrays: Arrays = {}
  for (const { name, access, dtype, axes: names } of kernel.bindings) {
    const count = names.reduce((n, axis) => n * axes[axis]!, 1)
    arrays[name] = access === "write"
      ? DTypes.view(dtype, new ArrayBuffer(DTypes.bufferBytes(dtype, count)), count).fill(POISON)
      : given[name]!.slice()
  }
  const all: Record<string, number> = {}
  for (const name in kernel.spec.params) all[name] = axes[name] ?? params?.[name] ?? NaN
  return { arrays, axes, params: all }
}

/** Runs the twin. */
export const twin: Run = (kernel, launch) => {
  const { arrays, axes, params } = prepare(kernel, launch)
  kernel.twin(arrays, params, axes, workgroup)
  return Promise.resolve(arrays)
}

// Bun and Node have no `GPUBufferUsage` and `GPUMapMode`: the numbers are those of the standard.
const usages = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, uniform: 0x40, storage: 0x80 }

// Dawn ends the process when the object of `create` is collected while a device of it lives (webgpu 0.6.2).
const kept: Array<GPU> = []

/** The runtime's own WebGPU, or Dawn's, which needs a Vulkan driver it takes. */
const findGpu = async (): Promise<GPU | string> => {
  const own = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu
  if (own !== undefined) return own
  try {
    const dawn = (await import("webgpu")).create([...flags])
    kept.push(dawn)
    return dawn
  } catch (error) {
    return `the package webgpu cannot be loaded: ${(error as Error).message}`
  }
}

/** A device, or why there is none. */
export const findDevice = async (): Promise<GPUDevice | string> => {
  const gpu = await findGpu()
  if (typeof gpu === "string") return gpu
  const adapter = await gpu.requestAdapter()
  return adapter === null ? "no WebGPU adapter" : await adapter.requestDevice()
}

/** Compiles a kernel; throws with the compiler's words if it does not. */
export const compile = async (
  device: GPUDevice,
  kernel: AnyKernel,
): Promise<GPUComputePipeline> => {
  device.pushErrorScope("validation")
  const module = device.createShaderModule({ code: kernel.source })
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module, entryPoint: "main", constants: { ...workgroup } },
  }).catch((cause: unknown) => cause)
  const error = await device.popErrorScope()
  assert.equal(error?.message, undefined, `${kernel.spec.name} does not compile`)
  return pipeline as GPUComputePipeline
}

const wordsOf = (array: ArrayOf[DType]): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(Math.max(4, Math.ceil(array.byteLength / 4) * 4))
  bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
  return bytes
}

const uniform = (kernel: AnyKernel, params: Record<string, number>): Uint8Array<ArrayBuffer> => {
  const fields = Object.entries(kernel.spec.params)
  const data = new DataView(new ArrayBuffer(Math.ceil(fields.length / 4) * 16))
  for (const [i, [name, type]] of fields.entries()) {
    if (type === "f32") data.setFloat32(4 * i, params[name]!, true)
    else data.setUint32(4 * i, params[name]!, true)
  }
  return new Uint8Array(data.buffer)
}

/** Runs on a device; pipelines are kept. */
export const onDevice = (device: GPUDevice): Run => {
  const pipelines = new Map<AnyKernel, Promise<GPUComputePipeline>>()
  const upload = (bytes: Uint8Array<ArrayBuffer>, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({
      size: bytes.length,
      usage: usage | usages.copyTarget,
    })
    device.queue.writeBuffer(buffer, 0, bytes)
    return buffer
  }
  return async (kernel, launch) => {
    const { arrays, axes, params } = prepare(kernel, launch)
    const grid = kernel.grid(axes, workgroup, params)
    const making = pipelines.get(kernel) ?? compile(device, kernel)
    pipelines.set(kernel, making)
    const pipeline = await making
    device.pushErrorScope("validation")
    const usage = usages.storage | usages.copySource
    const buffers = kernel.bindings.map(({ name }) => upload(wordsOf(arrays[name]!), usage))
    const uniforms = upload(uniform(kernel, params), usages.uniform)
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.size, 0)
    const staging = device.createBuffer({
      size: bytes,
      usage: usages.mapRead | usages.copyTarget,
    })
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [...buffers, uniforms].map((buffer, binding) => ({
          binding,
          resource: { buffer },
        })),
      }),
    )
    pass.dispatchWorkgroups(...grid)
    pass.end()
    let at = 0
    for (const buffer of buffers) {
      encoder.copyBufferToBuffer(buffer, 0, staging, at, buffer.size)
      at += buffer.size
    }
    device.queue.submit([encoder.finish()])
    const error = await device.popErrorScope()
    assert.equal(error?.message, undefined, `${kernel.spec.name} does not run`)
    await staging.mapAsync(usages.mapRead)
    const all = new Uint8Array(staging.getMappedRange())
    at = 0
    for (const [i, { name }] of kernel.bindings.entries()) {
      const to = arrays[name]!
      new Uint8Array(to.buffer, to.byteOffset, to.byteLength)
        .set(all.subarray(at, at + to.byteLength))
      at += buffers[i]!.size
    }
    staging.unmap()
    for (const buffer of [...buffers, uniforms, staging]) buffer.destroy()
    return arrays
  }
}

/** Where the properties of kernels are checked; `skip` is why not. */
export interface Runner {
  readonly on: string
  readonly run: Run
  readonly skip: string | false
  /** Cases a property tries: a launch on a device costs about 15 ms, most of it waiting. */
  readonly cases: number
  /** What floats that may not be read hold: WGSL may assume that there is no NaN. */
  readonly poison: number
  /** Relative error of a sum: f64 rounded once, or f32 all along. */
  readonly tolerance: number
}

const device = await findDevice()
if (typeof device === "string") console.log(`kernels are checked on their twins only: ${device}`)

/** The device the kernels run on too, or why there is none. */
export const webgpu: GPUDevice | string = device

/** The twins, and the WebGPU device of this runtime. */
export const runners: ReadonlyArray<Runner> = [
  { on: "the CPU", run: twin, skip: false, cases: 60, poison: NaN, tolerance: 2e-6 },
  typeof device === "string"
    ? { on: "WebGPU", run: twin, skip: device, cases: 0, poison: 3e4, tolerance: 2e-4 }
    : { on: "WebGPU", run: onDevice(device), skip: false, cases: 10, poison: 3e4, tolerance: 2e-4 },
]

/** A property of kernels, checked on every runner. */
export const property = <T>(
  name: string,
  cases: fc.Arbitrary<T>,
  holds: (value: T, runner: Runner) => Promise<void>,
  scale = 1,
): void => {
  for (const runner of runners) {
    test(`${name} (${runner.on})`, { skip: runner.skip, timeout: 60_000 }, async () => {
      await fc.assert(fc.asyncProperty(cases, (value) => holds(value, runner)), {
        ...runs(0), // the seed, if one is given
        numRuns: Math.ceil(runner.cases * scale),
      })
    })
  }
}

/** `|a − b| ≤ tolerance · (1 + |b|)` for each element, NaN nowhere. */
export const close = (
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void => {
  assert.equal(actual.length, expected.length, what)
  for (let i = 0; i < actual.length; i++) {
    const [a, b] = [actual[i]!, expected[i]!]
    assert.ok(Math.abs(a - b) <= tolerance * (1 + Math.abs(b)), `${what}[${i}]: ${a} is not ${b}`)
  }
}
