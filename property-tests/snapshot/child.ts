/**
 * Saves snapshot 0, and then those of two longer caches under the same name, which it counts the file operations of;
 * each save is said. At the operation of a given number it kills itself: before it, or while it is done.
 *
 * @module
 */
import { Effect } from "effect"
import process from "node:process"
import { Arena, Gpu, Lease, Snapshot } from "../../mod.ts"
import { cacheOf, layout } from "./counted.ts"

const [folder, number, when] = process.argv.slice(2)
const last = Number(number)
let done = -1

const kill = (): void => void process.kill(process.pid, "SIGKILL")

const counted = <A, E>(operation: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    if (done < 0 || done++ !== last) return operation
    if (when === "before") kill()
    else setImmediate(kill) // by then a thread has begun it
    return operation
  })

const { node } = Snapshot.Files
const files: Snapshot.Files.Files = {
  read: (path, most) => counted(node.read(path, most)),
  write: (path, bytes) => counted(node.write(path, bytes)),
  sync: (path) => counted(node.sync(path)),
  rename: (from, to) => counted(node.rename(from, to)),
  folder: (path) => counted(node.folder(path)),
  list: (path) => counted(node.list(path)),
  remove: (path) => counted(node.remove(path)),
}

const program = Effect.scoped(Effect.gen(function* () {
  const arena = yield* Arena.make(layout, 32)
  for (const i of [0, 1, 2]) {
    yield* Lease.scoped(arena)(Effect.gen(function* () {
      const cache = yield* cacheOf(arena, i)
      const saving = Snapshot.save(folder!, "kept", cache, { note: `${i}`, blockTokens: 16 })
      yield* Effect.provideService(saving, Snapshot.Files.Service, files)
    }))
    done = Math.max(done, 0)
    console.log(`${i} ${done}`)
  }
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
