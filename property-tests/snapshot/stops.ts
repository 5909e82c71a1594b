/** Files and a device that count their operations, and stop at one of them. @module */
import { Effect, type Exit, Fiber, Result } from "effect"
import { Gpu, GpuFault, type Lease, Snapshot } from "../../mod.ts"
import * as Shelf from "../models/shelf.ts"
import type { Disk } from "./disk.ts"

/** What happens at the operation: it fails, or whoever waits for it is interrupted before it or after it. */
export const ways = ["fails", "interrupted before", "interrupted after"] as const
/** One of them. */
export type Way = typeof ways[number]

/** Counts operations of files and of a device, in the order in which they are done. */
export interface Stops {
  readonly files: (files: Snapshot.Files.Files) => Snapshot.Files.Files
  readonly gpu: (gpu: Gpu.GpuShape) => Gpu.GpuShape
  /** Names of the operations done so far. */
  readonly done: Array<string>
}

/** Stops once, at the operation of this number; what comes after it is done. */
export const at = (number: number, way: Way): Stops => {
  /** Is this the one? */
  const hit = (name: string): boolean => stops.done.push(name) - 1 === number
  /** Whoever does it now; a fiber that runs sees it when it next looks. */
  const interrupt = (): void => Fiber.getCurrent()!.interruptUnsafe()
  const stop = <A, E, F>(name: string, run: Effect.Effect<A, E>, error: () => F) =>
    Effect.suspend((): Effect.Effect<A, E | F> => {
      if (!hit(name)) return run
      if (way === "fails") return Effect.fail(error())
      return way === "interrupted before"
        ? Effect.andThen(Effect.sync(interrupt), run)
        : Effect.tap(Effect.uninterruptible(run), () => Effect.sync(interrupt))
    })
  const stops: Stops = {
    done: [],
    files: (files) => {
      const on = <A>(name: string, path: string, run: Effect.Effect<A, Snapshot.Files.Refusal>) =>
        stop(name, run, () => ({ path, reason: "input/output error" }))
      return {
        read: (path, most) => on("read", path, files.read(path, most)),
        write: (path, bytes) => on("write", path, files.write(path, bytes)),
        sync: (path) => on("sync", path, files.sync(path)),
        rename: (from, to) => on("rename", to, files.rename(from, to)),
        folder: (path) => on("folder", path, files.folder(path)),
        list: (path) => on("list", path, files.list(path)),
        remove: (path) => on("remove", path, files.remove(path)),
      }
    },
    gpu: (gpu) => {
      const fault = (kind: GpuFault["kind"], kernel: string) =>
        new GpuFault({ kind, kernel, detail: "a test" })
      return {
        ...gpu,
        create: (bytes) => {
          if (!hit("create")) return gpu.create(bytes)
          if (way === "fails") return Result.fail(fault("out-of-memory", "allocation"))
          if (way === "interrupted before") interrupt()
          const made = gpu.create(bytes)
          if (way === "interrupted after") interrupt()
          return made
        },
        submit: (work) => stop("submit", gpu.submit(work), () => fault("internal", "a submit")),
        read: (buffer, bytes) =>
          stop("map", gpu.read(buffer, bytes), () => fault("internal", "read")),
      }
    },
  }
  return stops
}

/** Runs an effect over a shelf, in which files and device stop once. */
export const run = <A, E>(
  shelf: Shelf.Shelf,
  disk: Disk,
  stops: Stops,
  effect: Effect.Effect<A, E, Gpu | Lease>,
): Exit.Exit<A, E> =>
  Shelf.run(
    shelf,
    Effect.flatMap(Gpu.Service, (gpu) =>
      // A fiber of its own, as it may be the one that is interrupted.
      Effect.forkChild(
        effect.pipe(
          Effect.provideService(Gpu.Service, stops.gpu(gpu)),
          Effect.provideService(Snapshot.Files.Service, stops.files(disk.files)),
        ),
        { startImmediately: true },
      ).pipe(Effect.flatMap(Fiber.await))),
  )
