/**
 * A real WebGPU whose calls can be made to fail, each in the ways it really does. Its objects are the runtime's own,
 * as bindings take no others; methods of the instances are replaced.
 *
 * @module
 */
import { Effect, type Layer } from "effect"
import type { Gpu, GpuUnavailable } from "../../mod.ts"
import { layerOf, type Origin } from "../../lib/device/webgpu/layer.ts"
import { counter, type Rig } from "./faults.ts"
import { errorOf, type Kind, thrown, type Way, ways } from "./ways.ts"

interface Scope {
  readonly filter: GPUErrorFilter
  error: GPUError | undefined
}

/** How a device is born. */
export type Birth =
  | "well"
  | "no adapter"
  | "no adapter, thrown"
  | "rejected"
  | "lost"
  | "never"
  | "late"

const isKind = (way: Way): way is Kind =>
  way === "validation" || way === "out-of-memory" || way === "internal"

const never = <A>(): Promise<A> => new Promise(() => {})

/** A device that can be used again, and what was compiled for it: nothing of it shows which rig did so. */
interface Used {
  readonly adapter: GPUAdapter
  readonly device: GPUDevice
  readonly compiled: Map<string, GPUComputePipeline>
}

const patchedOfDevice = [
  "destroy",
  "createBuffer",
  "createShaderModule",
  "createComputePipeline",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createBindGroup",
  "createCommandEncoder",
  "pushErrorScope",
  "popErrorScope",
]
const patchedOfQueue = ["writeBuffer", "submit", "onSubmittedWorkDone"]

/** Devices that nobody uses now, by origin: opening and compiling is what takes the time of a play. */
const idle = new Map<Origin, Array<Used>>()

/** A rig over the API of this origin. */
export const rig = (origin: Origin, birth: Birth = "well"): Rig => {
  let destroyed = false
  const count = counter<Way>()
  const alive = new Set<GPUBuffer | GPUDevice>()
  const scopes: Array<Scope> = []
  const unheard: Array<string> = []

  const raise = (kind: Kind, call: string): void => {
    const scope = scopes.findLast(({ filter }) => filter === kind)
    if (scope === undefined) unheard.push(`${call}: ${kind}, outside of error scopes`)
    else scope.error ??= errorOf(kind, call)
  }

  const watch = (used: Used): GPUDevice => {
    const { device, device: { queue }, compiled } = used
    const real = {
      push: device.pushErrorScope.bind(device),
      pop: device.popErrorScope.bind(device),
    }
    const hear = (event: Event): void => {
      event.preventDefault()
      unheard.push((event as GPUUncapturedErrorEvent).error.message)
    }
    device.addEventListener("uncapturederror", hear)
    alive.add(device)
    const destroy = device.destroy.bind(device)
    const end = (): void => {
      destroyed = true
      destroy()
    }
    // The layer is done with it: methods of the instances go, and it is as it was.
    device.destroy = () => {
      alive.delete(device)
      device.removeEventListener("uncapturederror", hear)
      const own = (of: object, names: ReadonlyArray<string>) =>
        names.forEach((name) => delete (of as Record<string, unknown>)[name]) // ours; below them lie the real ones
      own(device, patchedOfDevice)
      own(queue, patchedOfQueue)
      if (destroyed || birth !== "well") destroy()
      else idle.set(origin, [...idle.get(origin) ?? [], used])
    }
    /** Makes something that is invalid; the real scopes do not hear of it. */
    const silently = <A>(make: () => A): A => {
      real.push("validation")
      try {
        return make()
      } finally {
        real.pop().catch(() => {})
      }
    }
    /** Lets a call go well, or wrong: `invalid` makes what is given back where it is told to a scope. */
    const calls = <A>(call: string, well: () => A, invalid: () => A): A => {
      const way = count.strike(call, ways[call]!)
      if (way === undefined) return well()
      if (way === "throws") throw thrown(call)
      if (way === "destroy") {
        end()
        return well()
      }
      if (isKind(way)) raise(way, call)
      return silently(invalid)
    }
    const promises = <A>(call: string, well: () => Promise<A>): Promise<A> =>
      calls(
        call,
        well,
        () => count.struck?.endsWith("never") ? never() : Promise.reject(thrown(call)),
      )

    const createBuffer = device.createBuffer.bind(device)
    device.createBuffer = (given) => {
      const made = calls(
        "createBuffer",
        () => createBuffer(given),
        () => createBuffer({ ...given, usage: 0x1 | 0x2 }),
      )
      alive.add(made)
      const destroy = made.destroy.bind(made)
      made.destroy = () => {
        alive.delete(made)
        return destroy()
      }
      const mapAsync = made.mapAsync.bind(made)
      made.mapAsync = (...args) => promises("mapAsync", () => mapAsync(...args))
      const range = made.getMappedRange.bind(made)
      made.getMappedRange = (...args) =>
        calls("getMappedRange", () => range(...args), () => range(...args))
      return made
    }
    const shader = device.createShaderModule.bind(device)
    const codes = new Map<GPUShaderModule, string>()
    device.createShaderModule = (given) => {
      const made = calls(
        "createShaderModule",
        () => shader(given),
        () => shader({ ...given, code: "broken" }),
      )
      codes.set(made, count.struck?.startsWith("createShaderModule") ? "" : given.code)
      return made
    }
    const pipeline = device.createComputePipeline.bind(device)
    device.createComputePipeline = (given) =>
      calls("createComputePipeline", () => {
        const { module, constants } = given.compute
        const code = codes.get(module)!
        if (code === "") return pipeline(given)
        const key = JSON.stringify([code, constants])
        const made = compiled.get(key) ?? pipeline(given)
        if (count.struck === undefined) compiled.set(key, made)
        return made
      }, () => pipeline({ ...given, compute: { ...given.compute, entryPoint: "nobody" } }))
    const bindGroupLayout = device.createBindGroupLayout.bind(device)
    device.createBindGroupLayout = (given) =>
      calls("createBindGroupLayout", () => bindGroupLayout(given), () => {
        const [first] = given.entries
        return bindGroupLayout({ entries: [first!, first!] })
      })
    const pipelineLayout = device.createPipelineLayout.bind(device)
    device.createPipelineLayout = (given) =>
      calls(
        "createPipelineLayout",
        () => pipelineLayout(given),
        () =>
          pipelineLayout({
            bindGroupLayouts: Array.from({ length: 64 }, () => [...given.bindGroupLayouts][0]!),
          }),
      )
    const bindGroup = device.createBindGroup.bind(device)
    device.createBindGroup = (given) =>
      calls("createBindGroup", () => bindGroup(given), () => bindGroup({ ...given, entries: [] }))
    const encoder = device.createCommandEncoder.bind(device)
    device.createCommandEncoder = (given) => {
      const made = calls("createCommandEncoder", () => encoder(given), () => encoder(given))
      const pass = made.beginComputePass.bind(made)
      made.beginComputePass = (given) =>
        calls("beginComputePass", () => pass(given), () => pass(given))
      const finish = made.finish.bind(made)
      made.finish = (given) =>
        calls("finish", () => finish(given), () => {
          made.pushDebugGroup("never popped")
          return finish(given)
        })
      return made
    }
    const write = queue.writeBuffer.bind(queue)
    queue.writeBuffer = (...args: Parameters<typeof write>) =>
      calls("writeBuffer", () => write(...args), () => undefined)
    const submit = queue.submit.bind(queue)
    queue.submit = (list) => calls("submit", () => submit(list), () => undefined)
    const done = queue.onSubmittedWorkDone.bind(queue)
    queue.onSubmittedWorkDone = () => promises("onSubmittedWorkDone", done)
    device.pushErrorScope = (filter) => {
      scopes.push({ filter, error: undefined })
      return real.push(filter)
    }
    device.popErrorScope = () => {
      const top = scopes.pop()
      if (top === undefined) unheard.push("a scope was popped that nobody pushed")
      const popped = real.pop() // also where it is said to fail: the stack is shorter either way
      popped.catch(() => {})
      return promises("popErrorScope", () => popped.then((error) => top?.error ?? error))
    }
    if (birth === "lost") end()
    return device
  }

  const open = async (api: GPU): Promise<GPUAdapter | null> => {
    if (birth === "no adapter") return null
    if (birth === "no adapter, thrown") throw thrown("requestAdapter")
    const again = birth === "well" ? idle.get(origin)?.pop() : undefined
    const adapter = again?.adapter ?? await api.requestAdapter()
    if (adapter === null) return null
    const request = adapter.requestDevice.bind(adapter) // not called where the device is there
    adapter.requestDevice = async (given) => {
      if (birth === "rejected") throw thrown("requestDevice")
      if (birth === "never") return never()
      if (birth === "late") await new Promise((resolve) => setTimeout(resolve, 60))
      return watch(again ?? { adapter, device: await request(given), compiled: new Map() })
    }
    return adapter
  }

  const gpu = Effect.map(
    origin.gpu,
    (api) => ({ requestAdapter: () => open(api) }) as unknown as GPU,
  ) // all that is asked of it
  const layer: Layer.Layer<Gpu, GpuUnavailable> = layerOf({ ...origin, gpu })
  return {
    layer,
    faults: {
      arm: count.arm,
      get calls() {
        return count.calls
      },
      get struck() {
        return count.struck
      },
      left: () => alive.size,
      unheard: () =>
        scopes.length === 0 ? unheard : [...unheard, `${scopes.length} error scopes stay open`],
    },
  }
}
