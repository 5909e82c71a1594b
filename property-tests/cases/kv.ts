/** Reads files of the format kv-golden/1: `property-tests/golden/caches/FORMAT.md`. @module */
import { Effect, Schema } from "effect"
import { bf16, bf16OfBits, bitsOf, f16, f16OfBits } from "../../kernels/half.ts"
import type { Tolerance } from "./checked.ts"

/** An array of a case. */
export interface Tensor {
  /** As the format names it: `float32`, `float16`, `int32`. */
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  readonly data: ReadonlyArray<number>
}

/** One case; its op reads `params`, whose "NaN" and infinities are numbers already. */
export interface KvCase {
  readonly name: string
  readonly params: unknown
  readonly inputs: { readonly [name: string]: Tensor }
  /** Empty for a case that must be refused; a program has what comes before, and its `final` state. */
  readonly expected: { readonly [name: string]: Tensor }
  /** Tags of which a refusal must have one; empty for a case that must succeed. */
  readonly refusals: ReadonlyArray<string>
  /** The step of a program that must be refused, −1 for its creation. */
  readonly refusedStep: number | undefined
  readonly tolerance: Tolerance
}

const Infinite = Schema.Literals(["NaN", "Infinity", "-Infinity"])
const Tensors = Schema.Record(
  Schema.String,
  Schema.Struct({
    dtype: Schema.String,
    shape: Schema.Array(Schema.Int),
    data: Schema.Array(Schema.Union([Schema.Finite, Infinite])),
  }),
)
const File = Schema.Struct({
  cases: Schema.Array(Schema.Struct({
    name: Schema.String,
    params: Schema.Unknown,
    inputs: Tensors,
    expected: Schema.optionalKey(Tensors),
    expectedError: Schema.optionalKey(Schema.Struct({
      tag: Schema.String,
      alsoAccept: Schema.optionalKey(Schema.Array(Schema.String)),
      step: Schema.optionalKey(Schema.Int),
    })),
    tolerance: Schema.Struct({ abs: Schema.Finite, rel: Schema.Finite }),
  })),
})

/** The number that a decimal stands for: the shortest one that rounds to it. */
const rounded = (dtype: string, data: ReadonlyArray<number>): ReadonlyArray<number> => {
  const wide = Float32Array.from(data)
  switch (dtype) {
    case "float16":
      return Array.from(bitsOf(wide), (bits) => f16[f16OfBits(bits)]!)
    case "bfloat16":
      return Array.from(bitsOf(wide), (bits) => bf16[bf16OfBits(bits)]!)
    case "float32":
      return Array.from(wide)
    default:
      return data
  }
}

/** Numbers that JSON cannot write are strings. */
const numbersOf = (json: unknown): unknown =>
  typeof json === "string" && Schema.is(Infinite)(json)
    ? Number(json)
    : Array.isArray(json)
    ? json.map(numbersOf)
    : typeof json === "object" && json !== null
    ? Object.fromEntries(Object.entries(json).map(([name, one]) => [name, numbersOf(one)]))
    : json

const tensorsOf = (tensors: typeof Tensors.Type): { readonly [name: string]: Tensor } =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { data, ...rest }]) => [
      name,
      { ...rest, data: rounded(rest.dtype, data.map(Number)) },
    ]),
  )

/** The cases of a file. */
export const casesOf = (
  json: unknown,
): Effect.Effect<ReadonlyArray<KvCase>, Schema.SchemaError> =>
  Effect.map(
    Schema.decodeUnknownEffect(File)(json),
    ({ cases }) =>
      cases.map(({ expected = {}, expectedError, inputs, params, ...rest }) => ({
        ...rest,
        params: numbersOf(params),
        inputs: tensorsOf(inputs),
        expected: tensorsOf(expected),
        refusals: expectedError === undefined
          ? []
          : [expectedError.tag, ...expectedError.alsoAccept ?? []],
        refusedStep: expectedError?.step,
      })),
  )

/** The tensor of that name; a case without it is a defect of its file. */
export const tensor = (tensors: KvCase["inputs"], name: string): Tensor => {
  const one = tensors[name]
  if (one === undefined) throw new Error(`the case has no tensor ${name}`)
  return one
}
