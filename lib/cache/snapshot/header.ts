/** What a snapshot says before its rows. @module */
import { Result, Schema } from "effect"
import { BadSnapshot } from "../../errors.ts"
import { sha256 } from "./hash.ts"
import * as Rows from "./rows.ts"
import * as Shape from "./shape.ts"

/** Version of what is written. */
export const version = 1

/** More tokens than any model reads: a snapshot that claims more is damaged. */
export const most: number = 2 ** 24

/** Everything but the rows. */
export interface Header {
  readonly shape: Shape.Shape
  /** Which model made the rows; empty where nobody said. */
  readonly model: string
  /** Whatever the caller wanted back. */
  readonly note: string
  /** Tokens of the cache. */
  readonly length: number
  /** First position still visible, by layer group. */
  readonly starts: ReadonlyArray<number>
  /** Their ids, or none. */
  readonly tokens: ReadonlyArray<number>
  /** Tokens that a block of the snapshot holds. */
  readonly blockTokens: number
  /** SHA-256 of every block, by layer group and position. */
  readonly blocks: ReadonlyArray<ReadonlyArray<string>>
}

/** Some tokens in the layers of one group: what is hashed, stored and read at once. */
export interface Block {
  readonly group: number
  readonly from: number
  readonly to: number
  readonly bytes: number
}

/** What decides how a history is cut into blocks. */
export type Cut = Pick<Header, "shape" | "length" | "starts" | "blockTokens">

/**
 * The blocks of a history, by layer group. Their borders are multiples of `blockTokens`, whatever its length, so that
 * a longer one has the same blocks but for its last; what a group no longer sees is left out. The shape is a sound one.
 */
export const cut = (
  { shape, length, starts, blockTokens }: Cut,
): ReadonlyArray<ReadonlyArray<Block>> => {
  const layout = Result.getOrThrow(Shape.layoutOf(shape))
  return shape.groups.map((_, group) => {
    const blocks: Array<Block> = []
    for (let from = starts[group]!; from < length;) {
      const to = Math.min(length, (Math.floor(from / blockTokens) + 1) * blockTokens)
      blocks.push({ group, from, to, bytes: Rows.bytesOf(layout, group, to - from) })
      from = to
    }
    return blocks
  })
}

const magic = new TextEncoder().encode("KvSnapsh")
const hashBytes = 32
/** Magic, version, length of the text. */
const prefix = magic.length + 8

const unhex = (hash: string): Uint8Array =>
  Uint8Array.from({ length: hashBytes }, (_, i) => parseInt(hash.slice(2 * i, 2 * i + 2), 16))

/** Magic, version, length, JSON, and the SHA-256 of all of these. Numbers are little-endian. */
export const encode = (header: Header): Uint8Array => {
  const groups = header.shape.groups.map(({ layers, window = null }) => ({ layers, window }))
  const json = JSON.stringify({ ...header, shape: { ...header.shape, groups } })
  const text = new TextEncoder().encode(json)
  const out = new Uint8Array(prefix + text.length + hashBytes)
  const words = new DataView(out.buffer)
  out.set(magic)
  words.setUint32(magic.length, version, true)
  words.setUint32(magic.length + 4, text.length, true)
  out.set(text, prefix)
  out.set(unhex(sha256(out.subarray(0, prefix + text.length))), prefix + text.length)
  return out
}

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Size = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most }))
const Text = Schema.fromJsonString(Schema.Struct({
  shape: Schema.Struct({
    dtype: Schema.Literals(["f32", "f16", "bf16", "int8"]),
    groups: Schema.Array(
      Schema.Struct({ layers: Schema.Array(Count), window: Schema.NullOr(Size) }),
    ),
    keyHeads: Size,
    keyDim: Size,
    valueHeads: Size,
    valueDim: Size,
    latent: Schema.Boolean,
  }),
  model: Schema.String,
  note: Schema.String,
  length: Count,
  starts: Schema.Array(Count),
  tokens: Schema.Array(Count),
  blockTokens: Size,
  blocks: Schema.Array(Schema.Array(Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)))),
}))

/** What is wrong with a header whose fields are of the right kinds. */
const unsound = (header: Header): string | undefined => {
  const { shape, length, starts, tokens, blocks } = header
  const layout = Shape.layoutOf(shape)
  if (Result.isFailure(layout)) return layout.failure.message
  if (length > most) return `it claims ${length} tokens, and ${most} are the most`
  if (starts.length !== shape.groups.length || starts.some((start) => start > length)) {
    return `it begins at ${starts.join(" ")} in ${shape.groups.length} groups of ${length} tokens`
  }
  if (tokens.length !== 0 && tokens.length !== length) {
    return `it names ${tokens.length} of its ${length} tokens`
  }
  // Counted before they are listed: a few bytes may claim millions.
  const { blockTokens } = header
  const counts = starts.map((start) =>
    start === length ? 0 : Math.ceil(length / blockTokens) - Math.floor(start / blockTokens)
  ).join(" ")
  const named = blocks.map((group) => group.length).join(" ")
  if (counts !== named) return `it names ${named} blocks, and has ${counts}`
}

/** Reads the header that `data` begins with, and says where it ends. `file` is for errors. */
export const decode = (
  data: Uint8Array,
  file: string,
): Result.Result<{ readonly header: Header; readonly end: number }, BadSnapshot> => {
  const bad = (offset: number, reason: string) =>
    Result.fail(new BadSnapshot({ file, offset, reason }))
  const known = Math.min(magic.length, data.length)
  for (let i = 0; i < known; i++) {
    if (data[i] !== magic[i]) return bad(i, "it is no snapshot of a cache")
  }
  if (data.length < prefix) return bad(data.length, `it ends within its first ${prefix} bytes`)
  const words = new DataView(data.buffer, data.byteOffset, prefix)
  const found = words.getUint32(magic.length, true)
  if (found !== version) {
    return bad(magic.length, `its version is ${found}: version ${version} is read`)
  }
  const end = prefix + words.getUint32(magic.length + 4, true)
  if (end + hashBytes > data.length) {
    return bad(data.length, `its header ends at byte ${end + hashBytes}`)
  }
  const hash = unhex(sha256(data.subarray(0, end)))
  if (hash.some((byte, i) => byte !== data[end + i])) {
    return bad(0, "its header is damaged: the checksum differs")
  }
  const text = new TextDecoder().decode(data.subarray(prefix, end))
  const decoded = Schema.decodeUnknownResult(Text)(text)
  if (Result.isFailure(decoded)) {
    return bad(prefix, decoded.failure.message.replaceAll(/\s+/g, " "))
  }
  const { shape, ...rest } = decoded.success
  const groups = shape.groups.map(({ layers, window }) => ({ layers, window: window ?? undefined }))
  const header: Header = { ...rest, shape: { ...shape, groups } }
  const why = unsound(header)
  return why === undefined ? Result.succeed({ header, end: end + hashBytes }) : bad(prefix, why)
}
