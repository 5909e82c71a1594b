/** Saves one snapshot after another, and says so, until somebody ends it. @module */
import { Effect } from "effect"
import { argv } from "node:process"
import { Arena, Gpu, Lease, Snapshot } from "../../mod.ts"
import { cacheOf, layout } from "./counted.ts"

const folder = argv[2]!

const program = Effect.scoped(Effect.gen(function* () {
  const arena = yield* Arena.make(layout, 32)
  for (let i = 0;; i++) {
    yield* Lease.scoped(arena)(Effect.gen(function* () {
      const cache = yield* cacheOf(arena, i)
      yield* Snapshot.save(folder, "kept", cache, { note: `${i}`, blockTokens: 32 })
    }))
    console.log(i)
  }
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
