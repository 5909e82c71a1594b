/** Programs over a few sequences that every view of a cache can play, and what is asked of what they make. @module */
import fc from "fast-check"
import { type Layout, Window } from "../../mod.ts"

/** Most tokens of a sequence. */
export const capacity = 12

/** Sequences of a batch. */
export const batch = 3

/** What every view of one program agrees on, and what is each one's own. */
export interface Sizes {
  readonly heads: number
  readonly dim: number
  readonly dtype: Layout.Storage
  /** Of the views that do not hold a sequence in one block. */
  readonly blockSize: number
  /** Of the views that take any placement. */
  readonly placement: "perLayer" | "fused" | "interleaved"
  /** Of the views that take several. */
  readonly layers: number
}

/** Sizes. */
export const sizes: fc.Arbitrary<Sizes> = fc.record({
  heads: fc.integer({ min: 1, max: 2 }),
  dim: fc.integer({ min: 1, max: 4 }),
  dtype: fc.constantFrom("f32", "f16", "bf16", "int8"),
  blockSize: fc.integer({ min: 1, max: 5 }),
  placement: fc.constantFrom("perLayer", "fused", "interleaved"),
  layers: fc.integer({ min: 1, max: 2 }),
})

/** What attention is asked. */
export interface Question {
  /** Most queries of each sequence: its last tokens. */
  readonly counts: ReadonlyArray<number>
  readonly window: Window.Window
  readonly scale?: number
  readonly softCap?: number
  /** Query heads of a key head. */
  readonly share: number
}

const window = fc.oneof(
  fc.constant(Window.all),
  fc.integer({ min: 1, max: 7 }).map((n) => Window.last(n)),
  fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }))
    .map(([n, sinks]) => Window.last(n, { sinks })),
)

const each = <A>(one: fc.Arbitrary<A>): fc.Arbitrary<ReadonlyArray<A>> =>
  fc.array(one, { minLength: batch, maxLength: batch })

/** A question. */
export const question: fc.Arbitrary<Question> = fc.record({
  counts: each(fc.nat(4)),
  window,
  scale: fc.constantFrom(0.125, 0.7),
  softCap: fc.constantFrom(3, 50),
  share: fc.integer({ min: 1, max: 3 }),
}, { requiredKeys: ["counts", "window", "share"] })

/** Lengths of the sequences of a batch. */
export const lengths: fc.Arbitrary<ReadonlyArray<number>> = each(fc.nat(capacity))

/** What is done to a value. */
export type Act =
  /** New tokens after every sequence's own, in one batch. */
  | { readonly what: "append"; readonly ids: ReadonlyArray<ReadonlyArray<number>> }
  /** A rollback. */
  | { readonly what: "truncate"; readonly sequence: number; readonly length: number }
  /** A sequence ends. */
  | { readonly what: "free"; readonly sequence: number }
  /** A new sequence in place of one. */
  | { readonly what: "insert"; readonly sequence: number; readonly ids: ReadonlyArray<number> }
  /** A fork of sequence `of` of the value `from` in place of one. */
  | {
    readonly what: "fork"
    readonly sequence: number
    readonly from: number
    readonly of: number
  }

/** Row numbers of each sequence, by position. */
export type Model = ReadonlyArray<ReadonlyArray<number>>

/** A step on the value `base`: those made before it are numbered from 0, the empty one. */
export interface Step {
  readonly base: number
  readonly act: Act
  readonly realize: boolean
  /** What it must make. */
  readonly model: Model
}

const drawn = fc.record({
  /** Mostly the newest value; else one before, and so a fork of all sequences. */
  back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(5)),
  what: fc.constantFrom("append", "append", "append", "truncate", "free", "insert", "fork"),
  sequence: fc.nat(batch - 1),
  of: fc.nat(batch - 1),
  from: fc.nat(5),
  counts: each(fc.nat(4)),
  realize: fc.boolean(),
})

type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never

const actOf = (one: Drawn, models: ReadonlyArray<Model>, base: number, first: number): Act => {
  const { what, sequence, counts, of } = one
  const model = models[base]!
  const fresh = (i: number, count: number) =>
    Array.from({ length: count }, (_, t) => first + capacity * i + t)
  switch (what) {
    case "append":
      return {
        what,
        ids: model.map((ids, i) => fresh(i, Math.min(counts[i]!, capacity - ids.length))),
      }
    case "truncate":
      return { what, sequence, length: Math.max(0, model[sequence]!.length - counts[0]!) }
    case "free":
      return { what, sequence }
    case "insert":
      return { what, sequence, ids: fresh(0, counts[0]! + counts[1]!) }
    case "fork":
      return { what, sequence, of, from: models.length - 1 - one.from % models.length }
  }
}

const after = (models: ReadonlyArray<Model>, base: number, act: Act): Model => {
  const model = models[base]!
  switch (act.what) {
    case "append":
      return model.map((ids, i) => [...ids, ...act.ids[i]!])
    case "truncate":
      return model.with(act.sequence, model[act.sequence]!.slice(0, act.length))
    case "free":
      return model.with(act.sequence, [])
    case "insert":
      return model.with(act.sequence, act.ids)
    case "fork":
      return model.with(act.sequence, models[act.from]![act.of]!)
  }
}

/** A program, played on lists of row numbers. */
export const program: fc.Arbitrary<ReadonlyArray<Step>> = fc.array(drawn, {
  minLength: 1,
  maxLength: 8,
}).map((list) => {
  const models: Array<Model> = [Array.from({ length: batch }, () => [])]
  return list.map((one, i): Step => {
    const base = models.length - 1 - one.back % models.length
    const act = actOf(one, models, base, batch * capacity * (i + 1))
    const model = after(models, base, act)
    models.push(model)
    return { base, act, realize: one.realize, model }
  })
})
