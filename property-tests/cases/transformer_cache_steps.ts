/** Programs over a transformer's cache, as `property-tests/golden/caches/FORMAT.md` writes them down. @module */
import { type Effect, Schema } from "effect"

/** How the program's cache is made, and what is done to it. */
export interface Params {
  readonly batchSize: number
  readonly sequenceLength: number
  readonly numHiddenLayers: number
  readonly keyHeads: number
  readonly valueHeads: number
  readonly keyDim: number
  readonly valueDim: number
  readonly maskType: "full" | "sliding"
  readonly window: number | null
  readonly starts: ReadonlyArray<number> | null
  readonly dtype: "float32" | "float16" | "bfloat16"
  readonly steps?: ReadonlyArray<unknown>
}

/** One step. */
export type Step =
  | {
    readonly do: "concatenate"
    readonly layer: number
    readonly k: string
    readonly v: string
    readonly q?: string
  }
  | { readonly do: "insert"; readonly slot: number; readonly other: { readonly params: Params } }
  | { readonly do: "insert_starts"; readonly slot: number; readonly starts: ReadonlyArray<number> }
  | { readonly do: "insert_index"; readonly slot: number; readonly index: ReadonlyArray<number> }
  | { readonly do: "roundtrip_pure" }
  | { readonly do: "snapshot"; readonly as: string }
  | { readonly do: "restore"; readonly from: string }

/** Any: what is no whole number must be refused by the code under test. */
const Num = Schema.Number
const Steps = Schema.Array(Schema.Unknown)
const Decoded = Schema.Struct({
  batchSize: Num,
  sequenceLength: Num,
  numHiddenLayers: Num,
  keyHeads: Num,
  valueHeads: Num,
  keyDim: Num,
  valueDim: Num,
  maskType: Schema.Literals(["full", "sliding"]),
  window: Schema.NullOr(Num),
  starts: Schema.NullOr(Schema.Array(Num)),
  dtype: Schema.Literals(["float32", "float16", "bfloat16"]),
  steps: Schema.optionalKey(Steps),
})

const AnyStep = Schema.Union([
  Schema.Struct({
    do: Schema.Literal("concatenate"),
    layer: Num,
    k: Schema.String,
    v: Schema.String,
    q: Schema.optionalKey(Schema.String),
  }),
  Schema.Struct({
    do: Schema.Literal("insert"),
    slot: Num,
    other: Schema.Struct({ params: Decoded }),
  }),
  Schema.Struct({
    do: Schema.Literal("insert_starts"),
    slot: Num,
    starts: Schema.Array(Num),
  }),
  Schema.Struct({ do: Schema.Literal("insert_index"), slot: Num, index: Schema.Array(Num) }),
  Schema.Struct({ do: Schema.Literal("roundtrip_pure") }),
  Schema.Struct({ do: Schema.Literal("snapshot"), as: Schema.String }),
  Schema.Struct({ do: Schema.Literal("restore"), from: Schema.String }),
])

/** Reads how a cache is made. */
export const paramsOf: (json: unknown) => Effect.Effect<Params, Schema.SchemaError> = Schema
  .decodeUnknownEffect(Decoded)

/** Reads a step. */
export const stepOf: (json: unknown) => Effect.Effect<Step, Schema.SchemaError> = Schema
  .decodeUnknownEffect(AnyStep)
