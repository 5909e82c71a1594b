/** What a view of a cache does in a program, and what it may be asked. @module */
import { Effect } from "effect"
import { Gpu, type Layout, Program, Recording, type Tensor } from "../../../mod.ts"
import { queries } from "../../arbitraries/readings.ts"
import { capacity, type Model, type Question, type Sizes } from "../../arbitraries/views.ts"
import * as Shelf from "../shelf.ts"

/** Where a view plays. */
export interface Stage {
  readonly shelf: Shelf.Shelf
  readonly question: Question
}

/** Tokens of a sequence from a position on, in all layers. */
export interface Seen {
  readonly from: number
  readonly keys: ArrayLike<number>
  readonly values: ArrayLike<number>
}

/** Queries of some sequences, in any order: the last tokens of each. */
export interface Asked {
  readonly rows: ReadonlyArray<number>
  readonly counts: ReadonlyArray<number>
  /** Row numbers of the queries' tokens. */
  readonly ids: ReadonlyArray<number>
  readonly layer: number
}

/** One function of a view that attends. */
export interface Asking<V> {
  readonly name: string
  /** How many queries of these sequences it takes. Default: as many as are wanted. */
  readonly counts?: (
    stage: Stage,
    value: V,
    rows: ReadonlyArray<number>,
    wanted: ReadonlyArray<number>,
  ) => ReadonlyArray<number>
  readonly ask: (stage: Stage, value: V, asked: Asked) => Shelf.States
}

/** A view of a batch of sequences. */
export interface Player<V> {
  readonly name: string
  readonly layout: (sizes: Sizes) => Layout.Options
  /** A batch that holds nothing. */
  readonly empty: (stage: Stage) => V
  /** With new tokens after each sequence's own. */
  readonly append: (stage: Stage, value: V, ids: Model) => V
  /** With a sequence cut to these of its tokens. */
  readonly truncate: (stage: Stage, value: V, sequence: number, left: ReadonlyArray<number>) => V
  readonly free: (stage: Stage, value: V, sequence: number) => V
  /** With a new sequence of these tokens in place of one. */
  readonly insert: (stage: Stage, value: V, sequence: number, ids: ReadonlyArray<number>) => V
  /** With sequence `of` of another value in place of one. */
  readonly fork: (stage: Stage, value: V, sequence: number, from: V, of: number) => V
  readonly realize: (stage: Stage, value: V) => void
  readonly gather: (stage: Stage, value: V) => ReadonlyArray<Seen>
  readonly attention: ReadonlyArray<Asking<V>>
}

/** A layout of as many heads and elements for keys as for values. */
export const layoutOf = (
  { heads, dim, dtype, blockSize, placement }: Sizes,
  more: Partial<Layout.Options> = {},
): Layout.Options => ({
  layers: 1,
  keyHeads: heads,
  keyDim: dim,
  dtype,
  blockSize,
  placement,
  capacity,
  ...more,
})

/** Runs a recording and reads what it gives. */
export const read = <K extends string, E>(
  { shelf }: Stage,
  body: Shelf.Body<Readonly<Record<K, Tensor<"f32", string>>>, E>,
): Readonly<Record<K, Float32Array>> =>
  Shelf.run(
    shelf,
    Effect.gen(function* () {
      const tensors = yield* Program.run(body)
      const read: Partial<Record<string, Float32Array>> = {}
      for (const [name, x] of Object.entries<Tensor<"f32", string>>(tensors)) {
        read[name] = yield* Gpu.read(x)
      }
      return read as Record<K, Float32Array>
    }),
  )

/** Both halves of one sequence, which is all there. */
export const whole = <E>(
  stage: Stage,
  body: Shelf.Body<Readonly<Record<"keys" | "values", Tensor<"f32", string>>>, E>,
): Seen => {
  const { keys, values } = read(
    stage,
    Effect.map(body, ({ keys, values }) => ({ keys, values })),
  )
  return { from: 0, keys, values }
}

/** Query heads of a stage. */
export const numQHeadsOf = ({ shelf, question }: Stage): number =>
  queries(shelf.world.config.layout, question.share).numQHeads

/** Numbers of queries, `[tokens, numQHeads, headDim]`. */
export const numbersOf = (
  { shelf, question }: Stage,
  ids: ReadonlyArray<number>,
): ReadonlyArray<number> => queries(shelf.world.config.layout, question.share).of(ids)

/** Queries as a tensor of the recording, with the axes of whoever is asked; tokens come before heads. */
export const queriesOf = <const A extends string>(
  stage: Stage,
  ids: ReadonlyArray<number>,
  axes: A,
  before: ReadonlyArray<number> = [ids.length],
): Tensor<"f32", A> => {
  const shape = [...before, numQHeadsOf(stage), stage.shelf.world.arena.layout.keyDim]
  return Recording.fresh("f32", axes, shape, Float32Array.from(numbersOf(stage, ids)))
}

/** A function that attends inside a recording. */
export const attends = <V, E>(
  name: string,
  body: (
    stage: Stage,
    value: V,
    asked: Asked,
  ) => Shelf.Body<
    { readonly out: Tensor<"f32", string>; readonly lse: Tensor<"f32", string> },
    E
  >,
  counts?: Asking<V>["counts"],
): Asking<V> => ({
  name,
  ...(counts !== undefined && { counts }),
  ask: (stage, value, asked) =>
    read(
      stage,
      Effect.map(
        Effect.suspend(() => body(stage, value, asked)),
        ({ out, lse }) => ({ out, lse }),
      ),
    ),
})

/** What changes the mathematics. */
export const optionsOf = (
  { question: { counts: _, share: __, ...options } }: Stage,
): Omit<Question, "counts" | "share"> => options
