/**
 * Buffers of one device. Whether it could make and write them it says later, so what uses them asks for its verdict:
 * a buffer without memory, or whose write was dropped, is a fault of its first use at the latest.
 *
 * @module
 */
import { Result } from "effect"
import type { GpuFault } from "../../errors.ts"
import { all, tried, type Verdict } from "./guard.ts"

/** Makes, writes and destroys. */
export interface Buffers {
  /** Makes one. */
  readonly make: (
    what: string,
    size: number,
    usage: number,
  ) => Result.Result<GPUBuffer, GpuFault>
  /** Copies the data to a byte of a buffer. */
  readonly write: (buffer: GPUBuffer, data: ArrayBufferView, at?: number) => void
  readonly destroy: (buffer: GPUBuffer) => void
  /** What the device says of making and writing these; undefined where it has said that all are well. */
  readonly verdict: (buffers: Iterable<GPUBuffer>) => Verdict | undefined
}

/** Copies the data to a byte of a buffer, as the queue does it: nothing waits, and nothing is checked. */
const put = (
  { queue }: GPUDevice,
  buffer: GPUBuffer,
  { buffer: shared, byteOffset, byteLength }: ArrayBufferView,
  at = 0,
): void => {
  const data = shared as ArrayBuffer // nothing here makes shared memory
  const whole = byteLength - byteLength % 4
  // Deno 2.9 panics on a write of no bytes (its queue.rs unwraps an empty buffer's pointer).
  if (whole > 0) queue.writeBuffer(buffer, at, data, byteOffset, whole)
  if (whole === byteLength) return
  const tail = new Uint8Array(4) // the queue writes whole words
  tail.set(new Uint8Array(data, byteOffset + whole, byteLength - whole))
  queue.writeBuffer(buffer, at + whole, tail)
}

/** None yet. */
export const make = (device: GPUDevice): Buffers => {
  /** Buffers of which the device has not spoken yet, and those of which it spoke badly. */
  const open = new Map<GPUBuffer, Verdict>()
  const expect = (buffer: GPUBuffer, verdict: Verdict): void => {
    const before = open.get(buffer)
    const both = before === undefined ? verdict : all([before, verdict])
    open.set(buffer, both)
    both.then((fault) => {
      if (fault === undefined && open.get(buffer) === both) open.delete(buffer)
    })
  }
  return {
    make: (what, size, usage) => {
      const { made, verdict } = tried(device, what, () => device.createBuffer({ size, usage }))
      if (Result.isSuccess(made)) expect(made.success, verdict)
      return made
    },
    write: (buffer, data, at) => {
      const { made, verdict } = tried(device, "a write", () => put(device, buffer, data, at))
      const fault = Result.isFailure(made) ? [Promise.resolve(made.failure)] : []
      expect(buffer, all([verdict, ...fault]))
    },
    destroy: (buffer) => {
      open.delete(buffer)
      buffer.destroy()
    },
    verdict: (buffers) => {
      if (open.size === 0) return undefined
      const unknown = [...new Set(buffers)].flatMap((buffer) => open.get(buffer) ?? [])
      return unknown.length === 0 ? undefined : all(unknown)
    },
  }
}
