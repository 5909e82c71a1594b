/** Laws 1, 6, 8 and 9 for every view of a cache at once: they are all the same lists of tokens. */
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { Attention } from "../../mod.ts"
import { runs } from "../arbitraries/runs.ts"
import {
  lengths,
  type Model,
  program,
  type Question,
  question,
  type Sizes,
  sizes,
  type Step,
} from "../arbitraries/views.ts"
import { near, rounding, rowsOf } from "../../testing/world/readings.ts"
import * as Shelf from "../models/shelf.ts"
import { kinds } from "../../testing/world/storage.ts"
import { batching } from "../models/views/batching.ts"
import { caches } from "../models/views/caches.ts"
import { paged } from "../models/views/paged.ts"
import {
  type Asked,
  type Asking,
  numbersOf,
  numQHeadsOf,
  optionsOf,
  type Player,
  type Stage,
} from "../models/views/player.ts"
import { contiguous, sliding } from "../models/views/transformer.ts"
import { utilities } from "../models/views/utilities.ts"

const long = { timeout: 240_000 }

/** Something done with a view, whatever its values are. */
type Each = <V>(player: Player<V>) => void

/** Every view; one that slides does so where there is a window to slide by. */
const everyView = ({ window: { last, sinks } }: Question, each: Each): void => {
  each(caches)
  each(paged)
  each(utilities)
  each(contiguous)
  if (last !== undefined && sinks === 0) each(sliding)
  each(batching)
}

/** The last tokens of some sequences, in the number that the function takes. */
const askedOf = <V>(
  stage: Stage,
  { counts }: Asking<V>,
  value: V,
  model: Model,
  rows: ReadonlyArray<number>,
  layer: number,
): Asked => {
  const wanted = rows.map((row) => Math.min(stage.question.counts[row]!, model[row]!.length))
  const asked = counts?.(stage, value, rows, wanted) ?? wanted
  const ids = rows.flatMap((row, i) => {
    const { length } = model[row]!
    // A query of a sequence that holds nothing has no token: any numbers will do.
    return Array.from({ length: asked[i]! }, (_, t) => model[row]![length - asked[i]! + t] ?? 0)
  })
  return { rows, counts: asked, ids, layer }
}

const checkAttention = <V>(stage: Stage, player: Player<V>, value: V, model: Model): void => {
  const { layout } = stage.shelf.world.arena
  const { layers, keyHeads, valueHeads, keyDim, valueDim } = layout
  const rows = model.map((_, row) => row)
  for (const asking of player.attention) {
    for (let layer = 0; layer < layers; layer++) {
      const asked = askedOf(stage, asking, value, model, rows, layer)
      const { out, lse } = asking.ask(stage, value, asked)
      let from = 0
      const want = rows.map((row, i) =>
        Attention.dense({
          q: numbersOf(stage, asked.ids.slice(from, from += asked.counts[i]!)),
          k: rowsOf(layout, model[row]!, layer, "keys"),
          v: rowsOf(layout, model[row]!, layer, "values"),
          queryLen: asked.counts[i]!,
          contextLen: model[row]!.length,
          numQHeads: numQHeadsOf(stage),
          ...{ keyHeads, valueHeads, keyDim, valueDim },
        }, optionsOf(stage))
      )
      near(asking.name, out, want.flatMap((one) => [...one.out]), rounding)
      const lowest = -(2 - 2 ** -23) * 2 ** 127 // where nothing is seen
      const lses = want.flatMap((one) => [...one.lse]).map((x) => Math.max(x, lowest))
      near(`${asking.name}: log-sum-exp`, lse, lses, rounding)
    }
  }
}

const checkGather = <V>(stage: Stage, player: Player<V>, value: V, model: Model): void => {
  const { layout } = stage.shelf.world.arena
  for (const [row, seen] of player.gather(stage, value).entries()) {
    for (const kind of kinds) {
      const ids = model[row]!.slice(seen.from)
      const layers = Array.from({ length: layout.layers }, (_, layer) => layer)
      const want = layers.flatMap((layer) => rowsOf(layout, ids, layer, kind))
      near(`${player.name}: ${kind} of sequence ${row}`, seen[kind], want, 0)
    }
  }
}

const acted = <V>(
  stage: Stage,
  player: Player<V>,
  made: ReadonlyArray<V>,
  { base, act, model }: Step,
): V => {
  const value = made[base]!
  switch (act.what) {
    case "append":
      return player.append(stage, value, act.ids)
    case "truncate":
      return player.truncate(stage, value, act.sequence, model[act.sequence]!)
    case "free":
      return player.free(stage, value, act.sequence)
    case "insert":
      return player.insert(stage, value, act.sequence, act.ids)
    case "fork":
      return player.fork(stage, value, act.sequence, made[act.from]!, act.of)
  }
}

const staged = <V>(
  { layout }: Player<V>,
  sizes: Sizes,
  question: Question,
  play: (stage: Stage) => void,
): void => {
  const shelf = Shelf.make(layout(sizes))
  play({ shelf, question })
  Shelf.end(shelf)
}

test(
  "every view agrees with lists of positions, for any program and every value it made",
  long,
  () => {
    fc.assert(
      fc.property(sizes, question, program, (sizes, question, steps) => {
        everyView(question, (player) =>
          staged(player, sizes, question, (stage) => {
            const made = [player.empty(stage)]
            const models: Array<Model> = [question.counts.map(() => [])]
            for (const step of steps) {
              made.push(acted(stage, player, made, step))
              models.push(step.model)
              if (step.realize) player.realize(stage, made.at(-1)!)
              for (const [i, value] of made.entries()) {
                checkGather(stage, player, value, models[i]!)
                checkAttention(stage, player, value, models[i]!)
              }
            }
          }))
      }),
      runs(40),
    )
  },
)

test("attention of every view gives a row the same bits, alone and in any batch", long, () => {
  const rowsInAnyOrder = fc.array(fc.nat(2), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(sizes, question, lengths, rowsInAnyOrder, (sizes, question, lengths, rows) => {
      const model = lengths.map((length, row) => Array.from({ length }, (_, t) => 40 * row + t))
      // A row's last query in the first layer, by its row: the same numbers in all views.
      const known = new Map<number, ReadonlyArray<number>>()
      everyView(question, (player) =>
        staged(player, sizes, question, (stage) => {
          const value = player.append(stage, player.empty(stage), model)
          for (const asking of player.attention) {
            for (let layer = 0; layer < stage.shelf.world.arena.layout.layers; layer++) {
              const asked = askedOf(stage, asking, value, model, rows, layer)
              const together = asking.ask(stage, value, asked)
              let from = 0
              const alone = rows.map((row, i) => {
                const counts = [asked.counts[i]!]
                const ids = asked.ids.slice(from, from += counts[0]!)
                return asking.ask(stage, value, { rows: [row], counts, ids, layer })
              })
              const name = `${asking.name} of layer ${layer}`
              for (const what of ["out", "lse"] as const) {
                assert.deepEqual([...together[what]], alone.flatMap((one) => [...one[what]]), name)
              }
              for (const [i, { out }] of alone.entries()) {
                if (layer > 0 || out.length === 0 || lengths[rows[i]!] === 0) continue
                const last = [...out.slice(out.length - out.length / asked.counts[i]!)]
                assert.deepEqual(last, known.get(rows[i]!) ?? last, `${name}: as in all views`)
                known.set(rows[i]!, last)
              }
            }
          }
        }))
    }),
    runs(60),
  )
})
