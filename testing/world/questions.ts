/**
 * What is asked of values by themselves, nothing else being on its way: attention in a batch, alone and in parts,
 * and a snapshot. Each answer is compared with the oracle, or with another that must be the same.
 *
 * @module
 */
import { Effect, Result, type Scope } from "effect"
import {
  Arena,
  Attention,
  AttentionState,
  Gpu,
  KvCache,
  Layout,
  Lease,
  Program,
  Recording,
  Snapshot,
  Window,
} from "../../mod.ts"
import type { Question } from "../player.ts"
import { inOneTick } from "./device.ts"
import { difference, gather, queries, rounding, rowsOf, type Value, verify } from "./readings.ts"
import { closure, type Failure, justified } from "./runs.ts"
import * as World from "./world.ts"

/** Outputs and log-sum-exps of one call. */
interface States {
  readonly out: Float32Array
  readonly lse: Float32Array
}

type Needs = Gpu | Lease | Scope.Scope

/** Places values and asks, undisturbed. Undefined when they cannot be placed, for a reason and without a trace. */
const lone = <A>(
  world: World.World,
  guard: World.Guard,
  values: ReadonlyArray<Value>,
  asked: Effect.Effect<A, Failure, Needs>,
): Effect.Effect<A | undefined> =>
  Effect.gen(function* () {
    const before = World.picture(world)
    const sure = values.every(({ cache }) => World.alive(world, cache))
    const views = values.flatMap(closure)
    const refused = (error: KvCache.RealizeError): Effect.Effect<void> =>
      Effect.sync(() => justified(world, guard, undefined, values, sure, error))
    const placing = KvCache.realize(values.map(({ cache }) => cache))
    const undisturbed = <B>(effect: Effect.Effect<B, Failure, Needs>) =>
      Effect.result(Effect.scoped(Lease.under(guard.owner)(effect))).pipe(
        Effect.provideContext(world.context),
        inOneTick,
      )
    world.device.gated = false
    world.device.faults.length = 0
    const ended = Effect.sync(() => world.device.gated = true)
    const done = yield* Effect.gen(function* () {
      const placed = yield* undisturbed(Program.run(Effect.tapError(placing, refused)))
      if (Result.isFailure(placed)) {
        const same = World.picture(world) === before
        World.must(world, "atomicity", same, "what was refused changed the books")
        return undefined
      }
      for (const view of views) if (view.node.tables !== undefined) guard.whole.add(view)
      return yield* undisturbed(asked)
    }).pipe(Effect.ensuring(ended))
    if (done === undefined || Result.isSuccess(done)) return done?.success
    const { message } = done.failure
    World.must(world, "noSilentCorruption", false, `a value that is held is refused: ${message}`)
  })

const windowOf = ({ last, sinks = 0 }: Question): Window.Window =>
  last === undefined ? Window.all : Window.last(last, { sinks })

const optionsOf = (question: Question): Attention.Options & { window: Window.Window } => ({
  window: windowOf(question),
  ...(question.scale === undefined ? {} : { scale: question.scale }),
  ...(question.softCap === undefined ? {} : { softCap: question.softCap }),
})

type Recorded = Effect.Success<ReturnType<typeof Attention.prefill>>

/** One launch of attention in a layer: queries of the tokens with these row numbers. */
const prefill = (
  world: World.World,
  asking: ReadonlyArray<number>,
  caches: ReadonlyArray<KvCache>,
  counts: ReadonlyArray<number>,
  options: Attention.ReadOptions,
): Effect.Effect<Recorded, Failure, Lease | Recording | Recording.Transaction> =>
  Effect.suspend(() => {
    const { layout } = world.arena
    const shape = [asking.length, layout.keyHeads * layout.valueHeads, layout.keyDim]
    const data = Float32Array.from(queries(layout, asking))
    const q = Recording.fresh("f32", "tokens numQHeads headDim", shape, data)
    return Attention.prefill(q, caches, counts, options)
  })

const brought = ({ out, lse }: Recorded): Effect.Effect<States, Failure, Gpu> =>
  Effect.all({ out: Gpu.read(out), lse: Gpu.read(lse) }, { concurrency: 2 })

/** Where two answers differ. */
const between = (a: States, b: States, within: number): string | undefined =>
  difference(a.out, b.out, within) ?? difference(a.lse, b.lse, within)

const joined = (all: ReadonlyArray<States>): States => ({
  out: Float32Array.from(all.flatMap(({ out }) => [...out])),
  lse: Float32Array.from(all.flatMap(({ lse }) => [...lse])),
})

/** Attends to values in one batch, then to each alone (law 9), then over other poison (law 8). */
export const attend = (
  world: World.World,
  guard: World.Guard,
  values: ReadonlyArray<Value>,
  question: Question,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* World.settled(world)
    const { layout } = world.arena
    const options = optionsOf(question)
    const rows = values.map(({ cache, rows }) => {
      const seen = rows.slice(0, cache.length)
      return { cache, seen, asking: seen.slice(Math.max(0, seen.length - question.queries)) }
    })
    const groups = layout.groups.flatMap(({ layers }, group) => {
      // A window is never silently shorter: the call is refused, and so is left out here.
      const gone = rows.some(({ cache, asking }) =>
        cache.starts[group]! > Window.lowest(options.window, cache.length - asking.length)
      )
      return gone ? [] : [layers[0]!]
    })
    if (groups.length === 0) return
    const caches = rows.map(({ cache }) => cache)
    const counts = rows.map(({ asking }) => asking.length)
    const concurrency = world.device.readers
    const asked = Effect.gen(function* () {
      const recorded = yield* Program.run(
        Effect.forEach(groups, (layer) =>
          Effect.all({
            together: prefill(world, rows.flatMap(({ asking }) => asking), caches, counts, {
              ...options,
              layer,
            }),
            alone: Effect.forEach(
              rows,
              ({ asking, cache }) =>
                prefill(world, asking, [cache], [asking.length], { ...options, layer }),
            ),
          })),
      )
      return yield* Effect.forEach(recorded, ({ together, alone }) =>
        Effect.all({
          together: brought(together),
          alone: Effect.map(Effect.forEach(alone, brought, { concurrency }), joined),
        }, { concurrency }), { concurrency })
    })
    const first = yield* lone(world, guard, values, asked)
    if (first === undefined) return
    const { keyHeads, valueHeads, keyDim, valueDim } = layout
    for (const [i, { together, alone }] of first.entries()) {
      const dense = rows.map(({ seen, asking }) =>
        Attention.dense({
          q: queries(layout, asking),
          k: rowsOf(layout, seen, groups[i]!, "keys"),
          v: rowsOf(layout, seen, groups[i]!, "values"),
          queryLen: asking.length,
          contextLen: seen.length,
          ...{ numQHeads: keyHeads * valueHeads, keyHeads, valueHeads, keyDim, valueDim },
        }, options)
      )
      const want = {
        out: Float32Array.from(dense.flatMap(({ out }) => [...out])),
        lse: Float32Array.from(dense.flatMap(({ lse }) => [...lse])),
      }
      const wrong = between(together, want, Math.max(rounding, world.slack))
      World.must(world, "oneOracle", wrong === undefined, `attention: ${wrong}`)
      const other = between(together, alone, world.slack)
      World.must(world, "batchInvariance", other === undefined, `in a batch and alone: ${other}`)
    }
    yield* World.poisoned(world, world.config.poison === "low" ? "high" : "low")
    const again = yield* lone(world, guard, values, asked)
    if (again === undefined) {
      return World.must(world, "inertness", false, "what was read once is refused")
    }
    for (const [i, { together }] of again.entries()) {
      const other = between(together, first[i]!.together, 0)
      World.must(world, "inertness", other === undefined, `over other poison: ${other}`)
    }
  })

/** Attends to a value in parts that end at these positions, and merges them, here and on the device. */
export const merge = (
  world: World.World,
  guard: World.Guard,
  value: Value,
  cuts: ReadonlyArray<number>,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* World.settled(world)
    const { layout } = world.arena
    const { cache: { length, starts } } = value
    const floor = Math.max(...starts)
    if (length === floor) return
    const layer = layout.groups[0]!.layers[0]!
    // Each cut begins a part and ends the one before it, wherever in the list that is.
    const ends = [...cuts.filter((n) => n > floor && n < length), length]
    const begins = ends.map((end) => Math.max(floor, ...ends.filter((other) => other < end)))
    const over = (from: number, to: number) =>
      Effect.suspend(() => {
        const upTo = Result.getOrThrow(KvCache.truncate(value.cache, to))
        return prefill(world, [7], [upTo], [1], { layer, window: Window.last(to - from) })
      })
    const answer = yield* lone(
      world,
      guard,
      [value],
      Effect.gen(function* () {
        const { whole, parts } = yield* Program.run(
          Effect.all({
            whole: over(floor, length),
            parts: Effect.forEach(ends, (end, i) => over(begins[i]!, end)),
          }),
        )
        const states = joined(
          yield* Effect.forEach(parts, brought, { concurrency: world.device.readers }),
        )
        const heads = layout.keyHeads * layout.valueHeads
        const shape = [ends.length, 1, heads]
        const merged = yield* Program.run(
          Effect.suspend(() =>
            AttentionState.mergeAll(
              Recording.fresh(
                "f32",
                "parts tokens numQHeads valueDim",
                [...shape, layout.valueDim],
                states.out,
              ),
              Recording.fresh("f32", "parts tokens numQHeads", shape, states.lse),
            )
          ),
        )
        return { whole: yield* brought(whole), states, merged: yield* brought(merged) }
      }),
    )
    if (answer === undefined) return
    const { whole, states, merged } = answer
    const heads = whole.lse.length
    const at = ({ out, lse }: States, i: number): AttentionState => ({
      lse: lse[i]!,
      out: [...out.subarray(i * layout.valueDim, (i + 1) * layout.valueDim)],
    })
    const onHost = whole.lse.reduce((all: ReadonlyArray<AttentionState>, _, head) => {
      const parts = ends.map((_, part) => at(states, part * heads + head))
      return [...all, AttentionState.reducer.combineAll(parts)]
    }, [])
    const host = {
      out: Float32Array.from(onHost.flatMap(({ out }) => [...out])),
      lse: Float32Array.from(onHost, ({ lse }) => lse),
    }
    const within = Math.max(4 * rounding, world.slack)
    for (const [where, got] of [["here", host], ["on the device", merged]] as const) {
      const other = between(got, whole, within)
      World.must(world, "merge", other === undefined, `merged ${where}: ${other}`)
    }
  })

/** Saves a value, restores it into an arena with other blocks, and reads it there. */
export const snapshot = (
  world: World.World,
  guard: World.Guard,
  value: Value,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* World.settled(world)
    const { cache, rows } = value
    const layout = Result.getOrThrow(
      Layout.make({
        ...World.optionsOf(world.config.layout),
        blockSize: world.arena.layout.blockSize + 1,
      }),
    )
    const tokens = rows.slice(0, cache.length)
    const read = Effect.gen(function* () {
      const taken = yield* Snapshot.take(cache, {
        tokens,
        blockTokens: world.device.host ? 16 : 64,
      })
      const bytes = yield* Snapshot.encode(taken)
      const blocks = Math.ceil(cache.length / layout.blockSize) + 1
      const other = yield* Effect.orDie(Arena.make(layout, blocks))
      return yield* Lease.scoped(other)(Effect.gen(function* () {
        const saved = yield* Effect.fromResult(Snapshot.decode(bytes))
        const restored = yield* Snapshot.restore(other, saved)
        const readings = yield* Program.run(gather({ cache: restored.cache, rows }))
        return {
          tokens: restored.tokens,
          readings: yield* Effect.forEach(
            readings,
            (reading) => Effect.map(Gpu.read(reading.tensor), (got) => ({ reading, got })),
            {
              concurrency: world.device.readers,
            },
          ),
        }
      }))
    })
    const answer = yield* lone(world, guard, [value], read)
    if (answer === undefined) {
      return
    }
    World.count(world, "snapshot read")
    for (const { reading, got } of answer.readings) {
      verify(world, reading, got)
    }
    const same = answer.tokens.join() === tokens.join()
    World.must(world, "persistence", same, "a snapshot came back with other tokens")
  })
