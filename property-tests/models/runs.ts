/**
 * Runs of several cache effects as data, and what each must do to a world: what it reads is compared with
 * the naive model, what fails must fail with the right error and change nothing.
 *
 * @module
 */
import { Data, Effect, Exit, Result, Scope } from "effect"
import assert from "node:assert/strict"
import { Attention, type DType, Gpu, KvCache, Lease, Program, Recording, Window } from "../../mod.ts"
import type { OutOfBlocks, Tensor } from "../../mod.ts"
import { element, kinds, record, rowOf } from "./storage.ts"
import * as World from "./world.ts"

/** One row of a step. */
export interface StepRow {
  readonly value: number
  readonly count: number
  readonly kept: number
}

/** An effect on caches. Values are counted back from the newest, those of this run included. */
export type Act =
  | { readonly kind: "realize"; readonly values: ReadonlyArray<number> }
  | { readonly kind: "gather"; readonly value: number }
  | { readonly kind: "read"; readonly value: number; readonly group: number }
  | { readonly kind: "append"; readonly value: number; readonly count: number }
  | {
    readonly kind: "step"
    readonly rows: ReadonlyArray<StepRow>
    /** `fetch`: asks for a value inside. `fail`: fails after its launches. `leak`: others see its result at once. */
    readonly how: "plain" | "fetch" | "fail" | "leak"
  }

/** A run: acts in order, one transaction. */
export interface Run {
  readonly lease: number
  /** A failing act that is caught lets the run go on. */
  readonly acts: ReadonlyArray<Act & { readonly caught: boolean }>
}

/** A body's own error. */
export class BodyFailed extends Data.TaggedError("BodyFailed")<{ readonly tokens: number }> {}

type Any = Tensor<DType.DType, string>

/** Tensors a run returns, and what they must hold. */
interface Reading {
  readonly tensors: ReadonlyArray<Any>
  readonly verify: (data: ReadonlyArray<ArrayLike<number>>) => void
}

/** What one act leaves behind when the run lands. */
interface Done {
  readonly held: ReadonlyArray<World.View>
  readonly reading?: Reading
}

const numbers = (row: ReadonlyArray<number>) => Float32Array.from(row)

/** Slack of attention's f32 outputs against the f64 oracle: values below 128, one rounding to f32. */
const rounding = 128 * 2 ** -24

const close = (name: string, got: ArrayLike<number>, want: ArrayLike<number>): void => {
  assert.equal(got.length, want.length, name)
  for (let i = 0; i < want.length; i++) {
    assert.ok(Math.abs(got[i]! - want[i]!) <= rounding, `${name}: ${got[i]} is not ${want[i]}`)
  }
}

/** What a lease guards when an effect on these values lands: their owed ancestors, and what they grew from. */
const closure = (values: ReadonlyArray<World.Value>): ReadonlyArray<World.View> =>
  values.flatMap(({ cache }) => {
    const views: Array<World.View> = [cache]
    for (let { node } = cache; node.tables === undefined; node = node.base!.node) {
      const base = node.base!
      const length = Math.max(base.length, node.at + node.count)
      if (node.rows !== undefined) views.push({ node, length, starts: base.starts })
      views.push(base)
    }
    return views
  })

const gather = (world: World.World, { cache, rows }: World.Value) =>
  Effect.map(KvCache.gather(cache), ({ keys, values }): Done => {
    const { layout } = world.arena
    const seen = rows.slice(Math.max(...cache.starts), cache.length)
    const want = kinds.map((kind) =>
      Array.from({ length: layout.layers }, (_, layer) =>
        seen.flatMap((row) => rowOf(layout, row, layer, kind))).flat()
    )
    return {
      held: [],
      reading: {
        tensors: [keys, values],
        verify: (data) => assert.deepEqual(data.map((x) => [...Array.from(x)]), want, "law 1: gather"),
      },
    }
  })

/**
 * Reads every visible position of one group exactly: a query that sees only itself gives its own value, and a
 * unit vector as query gives one element of its key as log-sum-exp.
 */
const read = (world: World.World, { cache, rows }: World.Value, group: number) => {
  const { layout } = world.arena
  const { keyHeads, keyDim, valueHeads, valueDim } = layout
  const start = cache.starts[group]!
  const tokens = cache.length - start
  const numQHeads = keyHeads * valueHeads * keyDim
  const unit = Array.from(
    { length: numQHeads * keyDim },
    (_, i) => Math.floor(i / keyDim) % keyDim === i % keyDim ? 1 : 0,
  )
  const data = numbers(Array.from({ length: tokens }, () => unit).flat())
  const q = Recording.fresh("f32", "tokens numQHeads headDim", [tokens, numQHeads, keyDim], data)
  const { layers } = layout.groups[group]!
  const all = Effect.forEach(layers, (layer) =>
    Attention.prefill(q, [cache], [tokens], { layer, window: Window.last(1), scale: 1 }))
  return Effect.map(all, (states): Done => ({
    held: [],
    reading: {
      tensors: states.flatMap(({ out, lse }) => [out, lse]),
      verify: (got) => {
        for (const [i, layer] of layers.entries()) {
          const want = rows.slice(start, cache.length).map((row) =>
            Array.from({ length: numQHeads }, (_, h) => ({
              lse: element(row, layer, "keys", Math.floor(h * keyHeads / numQHeads), h % keyDim),
              out: Array.from({ length: valueDim }, (_, d) =>
                element(row, layer, "values", Math.floor(h * valueHeads / numQHeads), d)),
            }))
          ).flat()
          assert.deepEqual(Array.from(got[2 * i]!), want.flatMap(({ out }) => out), "law 1: read")
          assert.deepEqual(Array.from(got[2 * i + 1]!), want.map(({ lse }) => lse), "law 1: read")
        }
      },
    },
  }))
}

/** One query a new token and head, small enough that no weight vanishes. */
const queriesOf = (world: World.World, ids: ReadonlyArray<number>): ReadonlyArray<number> => {
  const { keyHeads, valueHeads, keyDim } = world.arena.layout
  return ids.flatMap((row) =>
    Array.from(
      { length: keyHeads * valueHeads * keyDim },
      (_, i) => element(row, 99, "keys", Math.floor(i / keyDim), i % keyDim) / 4096,
    )
  )
}

const tensor = (axes: string, shape: ReadonlyArray<number>, data: ReadonlyArray<number>) =>
  Recording.fresh("f32", axes, shape, numbers(data))

/** Attends in every layer of a step, and says what every layer must give. */
const attendAll = (
  world: World.World,
  step: KvCache.Step,
  values: ReadonlyArray<World.Value>,
  made: ReadonlyArray<ReadonlyArray<number>>,
) =>
  Effect.gen(function* () {
    const { layout } = world.arena
    const { keyHeads, valueHeads, keyDim, valueDim, layers } = layout
    const numQHeads = keyHeads * valueHeads
    const ids = made.flat()
    const n = ids.length
    const readings: Array<Reading> = []
    for (let layer = 0; layer < layers; layer++) {
      const group = layout.groups.findIndex((one) => one.layers.includes(layer))
      const used = values.filter((_, i) => made[i]!.length > 0)
      const spans = used.map(({ cache }) => cache.length - cache.starts[group]! + 1)
      const whole = used.every(({ cache }) => cache.starts[group] === 0)
      const window = whole ? Window.all : Window.last(Math.min(...spans))
      const [k, v] = kinds.map((kind) => ids.flatMap((row) => rowOf(layout, row, layer, kind)))
      const { out, lse } = yield* Attention.attend(step, layer, {
        q: tensor("t h d", [n, numQHeads, keyDim], queriesOf(world, ids)) as Tensor<"f32", "tokens numQHeads headDim">,
        k: tensor("t h d", [n, keyHeads, keyDim], k!) as Tensor<"f32", "tokens keyHeads headDim">,
        v: tensor("t h d", [n, valueHeads, valueDim], v!) as Tensor<"f32", "tokens valueHeads valueDim">,
      }, { window })
      yield* world.device.pause
      const verify: Reading["verify"] = ([gotOut, gotLse]) => {
        const want = values.map(({ cache, rows }, i) => {
          const context = [...rows.slice(0, cache.length), ...made[i]!]
          const [keys, vals] = kinds.map((kind) =>
            context.flatMap((row) => rowOf(layout, row, layer, kind))
          )
          const queryLen = made[i]!.length
          const sizes = { queryLen, contextLen: context.length, numQHeads, keyHeads, valueHeads }
          const q = queriesOf(world, made[i]!)
          const input = { q, k: keys!, v: vals!, keyDim, valueDim, ...sizes }
          return Attention.dense(input, { window })
        })
        close("law 6: out", gotOut!, want.flatMap((one) => [...one.out]))
        close("law 6: lse", gotLse!, want.flatMap((one) => [...one.lse]))
      }
      readings.push({ tensors: [out, lse], verify })
    }
    return readings
  })

const step = (
  world: World.World,
  act: Extract<Act, { kind: "step" }>,
  values: ReadonlyArray<World.Value>,
  add: (made: ReadonlyArray<World.Value>) => void,
) => {
  const counts = act.rows.map(({ count }) => count)
  const kept = act.rows.map(({ count, kept }) => Math.min(count, kept))
  const made = counts.map((n) => World.rows(world, n))
  const caches = values.map(({ cache }) => cache)
  const body = (given: KvCache.Step) =>
    Effect.gen(function* () {
      let readings = yield* attendAll(world, given, values, made)
      if (act.how === "fail") return yield* new BodyFailed({ tokens: made.flat().length })
      if (act.how === "fetch") {
        const { tensors, verify } = readings.at(-1)!
        // A fetch ends the life of every other tensor: only one of these can be looked at.
        verify([yield* Program.fetch(tensors[0]!), []].slice(0, 1).concat([[]]))
        readings = []
      }
      return { value: readings, kept }
    })
  return Effect.map(KvCache.step(caches, counts, body), ({ caches: next, value }): Done => {
    const results = next.map((cache, i) => ({
      cache,
      rows: [...values[i]!.rows.slice(0, values[i]!.cache.length), ...made[i]!.slice(0, kept[i])],
    }))
    add(results)
    const tensors = value.flatMap((one) => one.tensors)
    const verify: Reading["verify"] = (data) =>
      value.forEach((one, i) => one.verify(data.slice(2 * i, 2 * i + 2)))
    return { held: results.map(({ cache }) => cache), reading: { tensors, verify } }
  })
}
