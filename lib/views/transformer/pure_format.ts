/** How a cache is written down: JSON, checked by a schema, with a version and checksums. @module */
import { Result, Schema } from "effect"
import { BadCacheData } from "../../errors.ts"
import type { TransformerCacheMetaData } from "../TransformerCacheMetaData.ts"
import type { AttnMaskDetail } from "./AttnMaskDetail.ts"

/** Version of what `toPure` writes. */
export const version = 1 as const

/** What names the format. */
export const format = "kvasir/TransformerCache" as const

/** One layer's view. Rows hold positions from `kept` to `indexs`, one row after another. */
export interface PureView {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly indexs: ReadonlyArray<number>
  readonly kept: ReadonlyArray<number>
  readonly starts: ReadonlyArray<number>
  readonly maximumSequenceLength: number
  readonly layerIndex: number | null
  readonly maskingDetails: Nulls<AttnMaskDetail> | null
  readonly metadata: Nulls<TransformerCacheMetaData>
}

/** The whole file. */
export interface PureCache {
  readonly format: typeof format
  readonly version: typeof version
  /** What the arena stored; the bytes are of the dtype in which rows are given to it. */
  readonly dtype: string
  readonly quantizer: string
  readonly blockSize: number
  readonly views: ReadonlyArray<{ readonly view: PureView; readonly checksum: number } | null>
}

/** The same fields, null where they may be undefined: JSON knows no other. */
export type Nulls<T> = {
  readonly [K in keyof T]-?: undefined extends T[K] ? Exclude<T[K], undefined> | null : T[K]
}

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Counts = Schema.Array(Count)

const View = Schema.Struct({
  key: Schema.Uint8ArrayFromBase64,
  value: Schema.Uint8ArrayFromBase64,
  indexs: Counts,
  kept: Counts,
  starts: Counts,
  maximumSequenceLength: Count,
  layerIndex: Schema.NullOr(Count),
  maskingDetails: Schema.NullOr(Schema.Struct({
    maskType: Schema.Literals(["FULL", "SLIDING", "CHUNK"]),
    size: Schema.NullOr(Count),
    offset: Schema.NullOr(Count),
    chunks: Schema.NullOr(Count),
    bricks: Schema.NullOr(Count),
  })),
  metadata: Schema.Struct({
    batchSize: Count,
    sequenceLength: Count,
    numHiddenLayers: Count,
    padTokenId: Count,
    numHeads: Schema.NullOr(Count),
    headDim: Schema.NullOr(Count),
    keyHeads: Count,
    valueHeads: Count,
    keyDim: Count,
    valueDim: Count,
    updateCausalMask: Schema.Boolean,
    createAttentionBias: Schema.Boolean,
    slidingWindow: Schema.NullOr(Count),
  }),
})

const Cache = Schema.Struct({
  format: Schema.Literal(format),
  version: Schema.Literal(version),
  dtype: Schema.String,
  quantizer: Schema.String,
  blockSize: Count,
  views: Schema.Array(Schema.NullOr(Schema.Struct({ view: View, checksum: Count }))),
})

const Head = Schema.Struct({ format: Schema.String, version: Schema.Unknown })

/** Keys in one order, bytes as numbers of their own: equal values give equal text. */
const canonical = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return fnv(value)
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
  return entries.map(([name, one]) => [name, canonical(one)])
}

/** FNV-1a, 32 bits: it finds damage, it proves nothing. */
const fnv = (bytes: Uint8Array): number => {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** A number that changes when anything of a view does. */
export const checksumOf = (view: PureView): number =>
  fnv(new TextEncoder().encode(JSON.stringify(canonical(view))))

const bad = (what: string, reason: string): Result.Result<never, BadCacheData> =>
  Result.fail(new BadCacheData({ what, reason }))

/** Decodes what `toPure` wrote, whoever had it meanwhile. */
export const decode = (data: unknown): Result.Result<PureCache, BadCacheData> => {
  const head = Schema.decodeUnknownResult(Head)(data)
  if (Result.isFailure(head) || head.success.format !== format) {
    return bad("its format", `is not ${format}`)
  }
  if (head.success.version !== version) {
    return bad("its version", `is ${String(head.success.version)}, and this reads ${version}`)
  }
  const decoded = Schema.decodeUnknownResult(Cache)(data)
  if (Result.isFailure(decoded)) {
    return bad("its structure", `is damaged: ${decoded.failure.message.replaceAll(/\s+/g, " ")}`)
  }
  for (const [i, one] of decoded.success.views.entries()) {
    if (one === null || checksumOf(one.view) === one.checksum) continue
    return bad(`layer ${i}`, "is damaged: its checksum differs")
  }
  return Result.succeed(decoded.success)
}

/** Writes a cache as JSON. */
export const encode: (cache: PureCache) => unknown = Schema.encodeSync(Cache)
