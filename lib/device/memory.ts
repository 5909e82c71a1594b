/** Backs the tensors of a recording with memory: kept ones for good, the others by turns. @module */
import { Result } from "effect"
import type { DType } from "../../kernels/kernel.ts"
import type { GpuFault, StaleTensor } from "../errors.ts"
import { StaleTensor as Stale } from "../errors.ts"
import type { Buffer, Dispatch, Keeper, Slot, Work } from "../tensor/Recording.ts"
import { Keep } from "../tensor/Recording.ts"
import type { Tensor } from "../tensor/value.ts"
import type { GpuShape } from "./service.ts"

/** Calls `f` with the slot of every tensor in a value: tensors, keepers, arrays and plain records of them. */
export const eachSlot = (
  value: unknown,
  f: (slot: Slot) => void,
  seen: Set<unknown> = new Set(),
): void => {
  if (typeof value !== "object" || value === null || seen.has(value)) return
  seen.add(value)
  if ("slot" in value && "axes" in value) f((value as Tensor<DType, string>).slot)
  else if (Keep in value) { for (const kept of (value as Keeper)[Keep]()) f(kept.slot) }
  else if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
    for (const part of Object.values(value)) eachSlot(part, f, seen)
  }
}

/** The launches of some work that were recorded now, without those made ready before. */
export const launchesOf = (work: ReadonlyArray<Work>): ReadonlyArray<Dispatch> =>
  work.filter((item) => item._tag === "Dispatch")

/** The first tensor this work uses that no longer has memory. */
export const staleIn = (work: ReadonlyArray<Work>): StaleTensor | undefined => {
  for (const { kernel, bindings } of launchesOf(work)) {
    for (const name in bindings) {
      const why = bindings[name]!.slot.stale
      if (why !== undefined) return new Stale({ name: `${kernel.spec.name}.${name}`, why })
    }
  }
}

/** Memory made for one submit. */
export interface Backing {
  /** Slots that keep theirs: the caller's scope owns them. */
  readonly kept: ReadonlyArray<Slot>
  /** Memory to destroy once the work has run, or runs no more. */
  readonly scratch: ReadonlyArray<Buffer>
}

const unreturned = "it was not returned from its recording"

/**
 * Gives every slot of the work memory. Slots in `keep` get their own; the rest share buffers by last use
 * and are stale from now on. On failure nothing stays allocated. O(launches × bindings).
 */
export const back = (
  gpu: GpuShape,
  work: ReadonlyArray<Dispatch>,
  keep: unknown,
): Result.Result<Backing, GpuFault> => {
  const kept: Array<Slot> = []
  const scratch: Array<Buffer> = []
  const idle: Array<Buffer> = []
  const fail = (fault: GpuFault): Result.Result<never, GpuFault> => {
    for (const slot of kept) {
      gpu.destroy(slot.buffer!)
      slot.buffer = undefined
    }
    for (const buffer of scratch) gpu.destroy(buffer)
    return Result.fail(fault)
  }
  const create = (slot: Slot, owner: "kept" | "scratch"): GpuFault | undefined => {
    const made = gpu.create(slot.bytes)
    if (Result.isFailure(made)) return made.failure
    slot.buffer = made.success
    if (owner === "kept") kept.push(slot)
    else scratch.push(made.success)
    if (slot.data !== undefined) gpu.write(made.success, slot.data)
  }
  const wanted = new Set<Slot>()
  eachSlot(keep, (slot) => slot.buffer === undefined && wanted.add(slot))
  for (const slot of wanted) {
    const fault = create(slot, "kept")
    if (fault !== undefined) return fail(fault)
  }
  const last = new Map<Slot, number>() // the last launch that uses a slot without memory of its own
  for (const [i, { bindings }] of work.entries()) {
    for (const name in bindings) {
      const { slot } = bindings[name]!
      if (slot.buffer === undefined) last.set(slot, i)
    }
  }
  for (const [i, { bindings }] of work.entries()) {
    for (const name in bindings) {
      const { slot } = bindings[name]!
      if (slot.buffer !== undefined) continue
      // Host data is written before the whole submit, so it cannot lie where earlier launches write.
      const at = slot.data === undefined ? idle.findIndex((b) => b.bytes >= slot.bytes) : -1
      if (at >= 0) slot.buffer = idle.splice(at, 1)[0]!
      else {
        const fault = create(slot, "scratch")
        if (fault !== undefined) return fail(fault)
      }
      slot.stale = unreturned
    }
    for (const name in bindings) { // only now, so that what a launch reads and writes lie apart
      const { slot } = bindings[name]!
      if (last.get(slot) === i && last.delete(slot)) idle.push(slot.buffer!)
    }
  }
  return Result.succeed({ kept, scratch })
}
