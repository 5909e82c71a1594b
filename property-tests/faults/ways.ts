/** The ways in which calls of WebGPU go wrong, as the specification has them. @module */

/**
 * `throws`: at once. `validation`, `out-of-memory`, `internal`: what is given back is invalid or nothing happens, and
 * the error scope around it hears of it. `rejects`: its promise does. `never`: its promise never settles. `destroy`:
 * the device is destroyed just before.
 */
export type Way =
  | "throws"
  | "validation"
  | "out-of-memory"
  | "internal"
  | "rejects"
  | "never"
  | "destroy"

/** Kinds of errors that scopes hear of. */
export type Kind = Extract<Way, "validation" | "out-of-memory" | "internal">

const made = ["validation", "throws", "out-of-memory", "destroy"] as const
const compiled = ["validation", "throws", "internal", "destroy"] as const

/** By call. */
export const ways: { readonly [call: string]: ReadonlyArray<Way> } = {
  createBuffer: ["out-of-memory", "throws", "validation", "internal", "destroy"],
  writeBuffer: ["out-of-memory", "throws", "validation", "destroy"],
  createShaderModule: compiled,
  createComputePipeline: compiled,
  createBindGroupLayout: made,
  createPipelineLayout: made,
  createBindGroup: made,
  createCommandEncoder: ["throws", "destroy"],
  beginComputePass: ["throws", "destroy"],
  finish: made,
  submit: made,
  mapAsync: ["rejects", "throws", "destroy"],
  getMappedRange: ["throws", "destroy"],
  popErrorScope: ["rejects", "destroy"],
  onSubmittedWorkDone: ["rejects", "destroy"],
}

/** Most ways that any call has. */
export const mostWays: number = Math.max(...Object.values(ways).map((all) => all.length))

class GPUValidationError extends Error {}
class GPUOutOfMemoryError extends Error {}
class GPUInternalError extends Error {}

/** An error as a scope gives it: runtimes have classes of their own, of these names. */
export const errorOf = (kind: Kind, call: string): GPUError => {
  const message = `${call} was made to fail`
  if (kind === "validation") return new GPUValidationError(message)
  if (kind === "internal") return new GPUInternalError(message)
  return new GPUOutOfMemoryError(message)
}

/** What a call throws, or its promise rejects with. */
export const thrown = (call: string): DOMException =>
  new DOMException(`${call} was made to fail`, "OperationError")
