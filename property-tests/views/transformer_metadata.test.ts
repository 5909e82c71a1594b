/** Sizes, masks, modes and axes of `TransformerCache`: what is derived, what is refused. */
import { Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import {
  AttnMaskDetail,
  AttnMaskType,
  Axis,
  Partition,
  Quantizer,
  RuntimeMode,
  TransformerCacheMetaData,
  TransformerCacheView,
  TransformerMetadata,
} from "../../mod.ts"
import { metadataOf, says } from "../models/transformer.ts"

const base = { batchSize: 2, sequenceLength: 8, numHiddenLayers: 3, padTokenId: 0 }
const { create } = TransformerCacheMetaData

test("create() derives heads and dims, and keeps every field", () => {
  const made = Result.getOrThrow(create({ ...base, numHeads: 8, headDim: 4, keyHeads: 2 }))
  assert.deepEqual(made, {
    ...base,
    numHeads: 8,
    headDim: 4,
    keyHeads: 2,
    valueHeads: 8,
    keyDim: 4,
    valueDim: 4,
    updateCausalMask: true,
    createAttentionBias: true,
    slidingWindow: undefined,
  })
  assert.equal(Result.getOrThrow(TransformerCacheView.layoutOf(made)).capacity, 8)
  const other = Result.getOrThrow(create({
    ...base,
    padTokenId: 7,
    keyHeads: 1,
    valueHeads: 3,
    keyDim: 5,
    valueDim: 6,
    updateCausalMask: false,
    createAttentionBias: false,
    slidingWindow: 4,
  }))
  assert.deepEqual(other, {
    ...base,
    padTokenId: 7,
    numHeads: undefined,
    headDim: undefined,
    keyHeads: 1,
    valueHeads: 3,
    keyDim: 5,
    valueDim: 6,
    updateCausalMask: false,
    createAttentionBias: false,
    slidingWindow: 4,
  })
  const wide = Result.getOrThrow(create({ ...base, numHeads: 2, headDim: 4, valueDim: 6 }))
  assert.deepEqual([wide.keyDim, wide.valueDim], [4, 6])
})

test("create() refuses every number that is missing, 0, or no number", () => {
  const full = { ...base, numHeads: 4, headDim: 4 }
  const refused = (options: TransformerCacheMetaData.Options, message: string) =>
    says(create(options), "InvalidArgument", `Cannot take ${message}`)
  const least = (n: number) => `it must be a whole number, at least ${n}`
  for (const name of ["batchSize", "sequenceLength", "numHiddenLayers"] as const) {
    refused({ ...full, [name]: 0 }, `0 as ${name}: ${least(1)}`)
    refused({ ...full, [name]: 1.5 }, `1.5 as ${name}: ${least(1)}`)
  }
  const optional = [
    "numHeads",
    "headDim",
    "keyHeads",
    "valueHeads",
    "keyDim",
    "valueDim",
    "slidingWindow",
  ] as const
  for (const name of optional) refused({ ...full, [name]: 0 }, `0 as ${name}: ${least(1)}`)
  refused({ ...full, padTokenId: -1 }, `-1 as padTokenId: ${least(0)}`)
  refused(
    { ...base, numHeads: 4, keyDim: 4 },
    "nothing as headDim: it must be given, or both keyDim and valueDim",
  )
  refused(
    { ...base, headDim: 4, valueHeads: 4 },
    "nothing as numHeads: it must be given, or both keyHeads and valueHeads",
  )
  const group = "it must be a divisor of 4, the query heads that share them"
  refused({ ...full, keyHeads: 3 }, `3 as keyHeads: ${group}`)
  refused({ ...full, valueHeads: 8 }, `8 as valueHeads: ${group}`)
})

test("fromHf() knows the names of layer types, and no other", () => {
  const types = [
    ["full_attention", AttnMaskType.FULL],
    ["linear_attention", AttnMaskType.FULL],
    ["kda_linear_attention", AttnMaskType.FULL],
    ["hybrid", AttnMaskType.FULL],
    ["parallel_hybrid", AttnMaskType.FULL],
    ["sliding_attention", AttnMaskType.SLIDING],
    ["chunked_attention", AttnMaskType.CHUNK],
    ["chunk", AttnMaskType.CHUNKED],
  ] as const
  for (const [name, type] of types) {
    assert.equal(Result.getOrThrow(AttnMaskType.fromHf(name)), type)
  }
  for (const name of ["toString", "sli_attentionding"]) {
    says(
      AttnMaskType.fromHf(name),
      "InvalidArgument",
      `Cannot take ${name} as the layer type: it must be one of sliding, full, linear, kda_linear, ` +
        "hybrid, parallel_hybrid, chunk, chunked, with or without _attention",
    )
  }
})

test("room() is what a sliding layer sees, and all of a row in any other", () => {
  const { CHUNK, FULL, SLIDING } = AttnMaskType
  const room = (maskingDetails: AttnMaskDetail | undefined) =>
    TransformerCacheView.room({ maximumSequenceLength: 8, maskingDetails })
  assert.equal(room({ maskType: SLIDING, size: 2 }), 2)
  assert.equal(room({ maskType: SLIDING, size: 9 }), 8)
  assert.equal(room({ maskType: CHUNK, chunks: 4, size: 2 }), 8)
  for (const other of [undefined, { maskType: FULL, size: 2 }]) assert.equal(room(other), 8)
})

test("AttnMaskDetail.make() refuses numbers that its type does not have", () => {
  const { make } = AttnMaskDetail
  const { CHUNK, FULL, SLIDING } = AttnMaskType
  const refused = (detail: AttnMaskDetail, message: string) =>
    says(make(detail), "InvalidArgument", `Cannot take ${message}`)
  const least = "it must be a whole number, at least 1"
  refused({ maskType: SLIDING }, `nothing as size: ${least}`)
  refused({ maskType: SLIDING, size: 0 }, `0 as size: ${least}`)
  refused({ maskType: CHUNK }, `nothing as chunks: ${least}`)
  refused({ maskType: CHUNK, chunks: 4, size: 0 }, `0 as size: ${least}`)
  refused({ maskType: FULL, bricks: 0 }, `0 as bricks: ${least}`)
  refused(
    { maskType: CHUNK, chunks: 2, offset: -1 },
    "-1 as offset: it must be a whole number, at least 0",
  )
  refused(
    { maskType: SLIDING, size: 4, offset: 2 },
    "2 as offset: it must be 0 where the type is SLIDING: where a row begins is said by starts",
  )
  refused(
    { maskType: FULL, chunks: 2 },
    "2 as chunks: it must be left out where the type is FULL",
  )
  refused(
    { maskType: "LINEAR" as AttnMaskType },
    "LINEAR as maskType: it must be FULL, SLIDING or CHUNK",
  )
  const filler = { maskType: FULL, size: 4096, offset: 0 }
  assert.deepEqual(AttnMaskDetail.maskOf(Result.getOrThrow(make(filler))), {})
})

test("fromTokens() finds padding before and after by padTokenId", () => {
  const { fromTokens } = TransformerMetadata
  const metadata = metadataOf({ padTokenId: 9 })
  const ids = [[9, 9, 3, 9, 5], [1, 2, 9, 9, 9]]
  assert.deepEqual(Result.getOrThrow(fromTokens(metadata, ids)), {
    postpadded: false,
    starts: [2, 0],
  })
  assert.deepEqual(Result.getOrThrow(fromTokens(metadata, ids, { postpadded: true })), {
    postpadded: true,
    queryLengths: [5, 2],
  })
  const { starts } = Result.getOrThrow(fromTokens(metadata, [[9, 9], [1, 1]]))
  assert.deepEqual(starts, [2, 0])
})

test("resolve() divides by the rules of the mode, and refuses what does not divide", () => {
  const mesh = { dp: 2, fsdp: 3, tp: 2, sp: 4 }
  const partitioning = { mesh, table: Partition.usual }
  const axes = [Axis.BATCH, Axis.QUERY_LENGTH, Axis.HEAD, Axis.HEAD_DIM]
  const prefill = Partition.resolve(partitioning, {
    axes,
    shape: [12, 8, 4, 7],
    mode: RuntimeMode.MODE_PREFILL,
  })
  assert.deepEqual(Result.getOrThrow(prefill), [
    { axis: "batch", meshAxes: ["fsdp", "dp"], parts: 6, size: 2 },
    { axis: "queryLength", meshAxes: ["sp"], parts: 4, size: 2 },
    { axis: "head", meshAxes: ["tp"], parts: 2, size: 2 },
    { axis: "headDim", meshAxes: [], parts: 1, size: 7 },
  ])
  const ask = (
    shape: ReadonlyArray<number>,
    mode: RuntimeMode = RuntimeMode.MODE_DECODE,
    given: Partition.Partitioning = partitioning,
    named: ReadonlyArray<Axis> = axes,
  ) => Partition.resolve(given, { axes: named, shape, mode })
  const [, queries] = Result.getOrThrow(ask([12, 1, 4, 7]))
  assert.equal(queries!.parts, 1) // the rules of decoding do not divide the one query
  const refused = (
    result: Result.Result<unknown, { _tag: string; message: string }>,
    why: string,
  ) => says(result, "InvalidArgument", `Cannot take ${why}`)
  refused(
    ask([12, 1, 3, 7]),
    "3 as the size of head: it must be a multiple of 2, the parts of the mesh axes tp",
  )
  refused(
    ask([12, 4, 4, 1], RuntimeMode.MODE_TRAIN, partitioning, [
      Axis.QUERY_LENGTH,
      Axis.KV_LENGTH,
    ]),
    "sp as the mesh axis of kvLength: it must be in one rule of an array, and it divides queryLength already",
  )
  refused(
    ask([], RuntimeMode.MODE_INSERT, { mesh: { dp: 1 }, table: Partition.usual }),
    "fsdp as the mesh axis of batch: it must be one of the mesh: dp",
  )
  refused(
    ask([], RuntimeMode.MODE_INSERT, { mesh: { dp: 0 }, table: { rules: {} } }),
    "0 as the mesh axis dp: it must be a whole number, at least 1",
  )
  const typo = { rules: { batsh: ["dp"] } } as Partition.PartitionTable
  refused(
    ask([], RuntimeMode.MODE_INSERT, { mesh, table: typo }),
    `batsh as a logical axis: it must be one of ${Axis.all.join(", ")}`,
  )
})

test("axes, modes and quantisers each have a name of their own", () => {
  const { all: axes, ...named } = Axis
  assert.deepEqual(Object.values(named).sort(), [...axes].sort())
  assert.equal(new Set(axes).size, 9)
  assert.deepEqual(RuntimeMode.all, [
    RuntimeMode.MODE_TRAIN,
    RuntimeMode.MODE_PREFILL,
    RuntimeMode.MODE_DECODE,
    RuntimeMode.MODE_INSERT,
  ])
  assert.equal(new Set(Quantizer.all.map(({ name }) => name)).size, Quantizer.all.length)
})
