/**
 * Device memory to the host, through a few staging buffers used by turns.
 *
 * A staging buffer is `Idle`, or `Copying` into from the queue, or `Mapped` for the host. Only an idle one is
 * taken; a read that is interrupted leaves its buffer in `Copying` until the map has settled, because a
 * runtime may still map it afterwards.
 *
 * @module
 */
import { Effect } from "effect"
import { GpuFault, type GpuLost } from "../../errors.ts"
import { alive, type Opened } from "./guard.ts"

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
export const make = (opened: Opened): Readback => {
  const { device } = opened
  const ring: Array<Staging> = []
  let closed = false
  const take = (bytes: number): Staging => {
    const found = ring.find(({ state, size }) => state === "Idle" && size >= bytes)
    if (found !== undefined) return found
    const old = ring.findIndex(({ state }) => state === "Idle")
    if (old >= 0 && ring.length >= kept) ring.splice(old, 1)[0]!.buffer.destroy()
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)))
    const made: Staging = { buffer: device.createBuffer({ size, usage }), size, state: "Idle" }
    ring.push(made)
    return made
  }
  const give = (staging: Staging): void => {
    if (staging.state === "Mapped") staging.buffer.unmap()
    staging.state = "Idle"
    if (ring.length <= kept) return
    ring.splice(ring.indexOf(staging), 1)
    staging.buffer.destroy()
  }
  return {
    read: (from, bytes) =>
      alive(
        opened,
        Effect.callback<ArrayBuffer, GpuFault>((resume) => {
          const size = Math.ceil(bytes / 4) * 4
          const staging = take(size)
          staging.state = "Copying"
          let wanted = true
          const encoder = device.createCommandEncoder()
          encoder.copyBufferToBuffer(from, 0, staging.buffer, 0, size)
          device.queue.submit([encoder.finish()])
          // Touching the range before the promise has settled ends the process in Deno.
          staging.buffer.mapAsync(mapRead, 0, size).then(
            () => {
              if (closed) return // Deno maps what was destroyed meanwhile
              staging.state = "Mapped"
              const copy = staging.buffer.getMappedRange(0, size).slice(0, bytes)
              give(staging) // before the fiber goes on: it may close the device
              if (wanted) resume(Effect.succeed(copy))
            },
            (error) => {
              if (closed) return
              give(staging)
              const detail = String(error)
              resume(Effect.fail(new GpuFault({ kind: "internal", kernel: "read", detail })))
            },
          )
          return Effect.sync(() => wanted = false)
        }),
      ),
    close: () => {
      closed = true
      for (const { buffer } of ring.splice(0)) buffer.destroy()
    },
  }
}
