/**
 * Device memory to the host, through a few staging buffers used by turns.
 *
 * A staging buffer is `Idle`, or `Copying` into from the queue, or `Mapped` for the host. Only an idle one is
 * taken; a read that is interrupted leaves its buffer in `Copying` until the map has settled, because a
 * runtime may still map it afterwards.
 *
 * @module
 */
import { Effect, Result } from "effect"
import { GpuFault, type GpuLost } from "../../errors.ts"
import type { Buffers } from "./buffers.ts"
import { alive, all, type Opened, tried } from "./guard.ts"

interface Staging {
  readonly buffer: GPUBuffer
  readonly size: number
  state: "Idle" | "Copying" | "Mapped"
}

/** Reads by turns. */
export interface Readback {
  readonly read: (
    from: GPUBuffer,
    bytes: number,
  ) => Effect.Effect<ArrayBuffer, GpuFault | GpuLost>
  /** Destroys the staging buffers. */
  readonly close: () => void
}

/** GPUBufferUsage.MAP_READ | COPY_DST, and GPUMapMode.READ: their objects do not exist in every runtime. */
const usage = 0x1 | 0x8
const mapRead = 0x1

/** Staging buffers that are kept; more are made when all are busy, and let go afterwards. */
const kept = 4

/** No staging buffers yet. */
export const make = (opened: Opened, memory: Buffers): Readback => {
  const { device } = opened
  const ring: Array<Staging> = []
  let closed = false
  const drop = (staging: Staging): void => {
    const at = ring.indexOf(staging)
    if (at >= 0) ring.splice(at, 1)
    staging.buffer.destroy()
  }
  const take = (bytes: number): Staging => {
    const found = ring.find(({ state, size }) => state === "Idle" && size >= bytes)
    if (found !== undefined) return found
    const old = ring.find(({ state }) => state === "Idle")
    if (old !== undefined && ring.length >= kept) drop(old)
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)))
    const made: Staging = { buffer: device.createBuffer({ size, usage }), size, state: "Idle" }
    ring.push(made)
    return made
  }
  const give = (staging: Staging): void => {
    staging.buffer.unmap()
    staging.state = "Idle"
    if (ring.length > kept) drop(staging)
  }
  const faultOf = (error: unknown): GpuFault =>
    new GpuFault({ kind: "internal", kernel: "read", detail: String(error) })
  return {
    read: (from, bytes) =>
      alive(
        opened,
        Effect.callback<ArrayBuffer, GpuFault>((resume) => {
          const size = Math.ceil(bytes / 4) * 4
          let staging: Staging | undefined
          const uses = memory.verdict([from])
          const { made, verdict } = tried(device, "read", () => {
            staging = take(size)
            staging.state = "Copying"
            const encoder = device.createCommandEncoder()
            encoder.copyBufferToBuffer(from, 0, staging.buffer, 0, size)
            device.queue.submit([encoder.finish()])
            return staging.buffer.mapAsync(mapRead, 0, size)
          })
          // Touching the range before the promise has settled ends the process in Deno.
          const mapped = Result.isFailure(made)
            ? Promise.resolve(made.failure)
            : made.success.then(() => undefined, faultOf)
          const said = uses === undefined ? [verdict, mapped] : [uses, verdict, mapped]
          const finish = (fault: GpuFault | undefined): Effect.Effect<ArrayBuffer, GpuFault> => {
            if (fault !== undefined) return Effect.fail(fault)
            try {
              staging!.state = "Mapped"
              const copy = staging!.buffer.getMappedRange(0, size).slice(0, bytes)
              give(staging!) // before the fiber goes on: it may close the device
              return Effect.succeed(copy)
            } catch (error) { // there is no memory for the copy, say
              return Effect.fail(faultOf(error))
            }
          }
          all(said).then((fault) => {
            if (closed) return // Deno maps what was destroyed meanwhile
            const ended = finish(fault)
            // What failed once may be no buffer at all: it would fail for ever.
            if (staging !== undefined && staging.state !== "Idle") drop(staging)
            resume(ended)
          })
        }),
      ),
    close: () => {
      closed = true
      for (const { buffer } of ring.splice(0)) buffer.destroy()
    },
  }
}
