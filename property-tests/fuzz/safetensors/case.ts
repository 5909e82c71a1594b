/** One safetensors file: made of a seed, read, and what was read compared with what was described. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import * as Safetensors from "../../../lib/model/Safetensors.ts"
import { file } from "../../model/safetensors.ts"
import { u64 } from "../../model/writer.ts"
import { guarded, type Outcome } from "../guard.ts"
import { anyText, damaged, hostileWhole, texts } from "../hostile.ts"
import { anyTree, spoilTree, textOf, type Tree, treeOf } from "../json/tree.ts"
import type { Random } from "../random.ts"

/** A tensor of a header. */
interface Row {
  name: string
  dtype: string
  shape: Array<bigint>
  begin: bigint
  end: bigint
}

/** A file. */
interface Described {
  rows: Array<Row>
  /** Beside the tensors, which nobody reads. */
  metadata: Tree | undefined
  data: number
}

const widths: ReadonlyMap<string, number> = new Map([["F32", 4], ["F16", 2], ["BF16", 2]])
const written: Readonly<Record<string, string>> = { F32: "f32", F16: "f16", BF16: "bf16" }

const bytesOf = ({ shape, dtype }: Row): bigint =>
  shape.reduce((product, size) => product * size, BigInt(widths.get(dtype) ?? 0))

const anySound = (random: Random): Described => {
  const names = new Set(random.some(6, () => anyText(random)))
  const rows = [...names].map((name): Row => ({
    name,
    dtype: random.pick([...widths.keys()]),
    shape: random.some(3, () => BigInt(1 + random.below(4))),
    begin: 0n,
    end: 0n,
  }))
  let end = 0n
  for (const row of random.shuffled(rows)) {
    row.begin = end
    row.end = end += bytesOf(row)
  }
  const metadata = random.oneIn(2) ? undefined : treeOf({ format: "pt", note: anyText(random) })
  return { rows, metadata, data: Number(end) }
}

const spoilers: Readonly<Record<string, (random: Random, row: Row, all: Described) => void>> = {
  "a size": (random, { shape }) => {
    shape[random.below(shape.length + 1)] = hostileWhole(random)
  },
  "sizes whose product wraps": (random, row) => {
    row.shape = random.pick([[2n ** 32n, 2n ** 32n], [2n ** 52n, 2n ** 12n], [2n ** 62n + 1n, 4n]])
  },
  "axes that are many": (_, { shape }) => {
    while (shape.length < 9) shape.push(1n)
  },
  "another dtype": (random, row) => {
    row.dtype = random.pick(["F64", "I8", "BOOL", "F8_E4M3", "f32", "", "__proto__", "constructor"])
  },
  "a begin": (random, row) => {
    row.begin = hostileWhole(random)
  },
  "an end": (random, row) => {
    row.end = hostileWhole(random)
  },
  "both moved": (random, row) => {
    const by = random.pick([-4n, -1n, 1n, 4n, 2n ** 31n, 2n ** 53n])
    row.begin += by
    row.end += by
  },
  "begin and end the other way": (_, row) => {
    ;[row.begin, row.end] = [row.end, row.begin]
  },
  "where another is": (random, row, { rows }) => {
    row.begin = random.pick(rows).begin
    row.end = row.begin + bytesOf(row)
  },
  "the name of another": (random, row, { rows }) => {
    row.name = random.pick(rows).name
  },
  "another name": (random, row) => {
    row.name = random.pick([...texts, "__metadata__"])
  },
  "a row twice": (_, row, { rows }) => {
    rows.push({ ...row, shape: [...row.shape] })
  },
  "no row": (_, row, all) => {
    all.rows = all.rows.filter((one) => one !== row)
  },
  "other bytes of data": (random, _, all) => {
    all.data = Math.max(0, all.data + random.pick([-4, -1, 1, 4, 100]))
  },
  "another note": (random, _, all) => {
    all.metadata = anyTree(random)
  },
}

const treeOfAll = ({ rows, metadata }: Described): Tree => ({
  pairs: [
    ...rows.map(({ name, dtype, shape, begin, end }): [string, Tree] => [
      name,
      treeOf({ dtype, shape, data_offsets: [begin, end] }),
    ]),
    ...(metadata === undefined ? [] : [["__metadata__", metadata] as [string, Tree]]),
  ],
})

const exact = (whole: bigint): boolean => whole >= 0n && whole <= BigInt(Number.MAX_SAFE_INTEGER)

/** Whether the rows are those of a sound file. Of a note that is no JSON, or too deep, nothing is known. */
const isSound = ({ rows, metadata, data }: Described): boolean => {
  const names = rows.map(({ name }) => name)
  const twice = new Set(names).size < names.length ||
    (metadata !== undefined && names.includes("__metadata__"))
  if (twice) return false
  let at = 0n
  const tensors = rows.filter(({ name }) => name !== "__metadata__")
  for (const row of [...tensors].sort((a, b) => a.begin < b.begin ? -1 : 1)) {
    const { dtype, shape, begin, end } = row
    if (
      !widths.has(dtype) || shape.length > 8 || !shape.every((size) => size > 0n && exact(size))
    ) {
      return false
    }
    if (begin !== at || !exact(end) || end - begin !== bytesOf(row)) return false
    at = end
  }
  return at === BigInt(data)
}

/** A file, and what is known of it. */
export interface Made {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly how: ReadonlyArray<string>
  /** Whether it must be taken; undefined where no description says. */
  readonly sound: boolean | undefined
  readonly says: () => unknown
}

/** A file that is sound, or spoilt in one to three ways. */
export const make = (random: Random): Made => {
  const described = anySound(random)
  const how: Array<string> = []
  let known = true
  for (let i = random.below(random.oneIn(8) ? 1 : 3); i > 0 && described.rows.length > 0; i--) {
    const name = random.pick(Object.keys(spoilers))
    spoilers[name]!(random, random.pick(described.rows), described)
    how.push(name)
    if (name === "another note") known = false
  }
  const tree = treeOfAll(described)
  if (random.oneIn(3)) {
    how.push(spoilTree(random, tree))
    known = false
  }
  const text = " ".repeat(random.oneIn(4) ? random.below(9) : 0)
  let bytes = file(textOf(tree) + text, described.data)
  if (random.oneIn(4)) {
    how.push("bytes")
    known = false
    bytes = damaged(random, bytes)
  } else if (random.oneIn(10)) {
    how.push("the length of the header")
    known = false
    bytes.set(u64(BigInt.asUintN(64, hostileWhole(random))))
  }
  const start = bytes.length - described.data
  return {
    bytes,
    how,
    sound: known ? isSound(described) : undefined,
    says: () =>
      described.rows.filter(({ name }) => name !== "__metadata__").map((row) => [
        row.name,
        written[row.dtype],
        row.shape.map(Number),
        start + Number(row.begin),
        Number(bytesOf(row)),
      ]),
  }
}

/** Reads a file and checks all that is known of it. */
export const check = ({ bytes, sound, says }: Made): Outcome<Safetensors.Safetensors> => {
  const outcome = guarded(bytes.length, () => Safetensors.parse("x.safetensors", bytes))
  const taken = Result.isSuccess(outcome)
  if (taken) {
    const all = [...outcome.success.tensors.values()]
    const sum = all.reduce((sum, info) => sum + info.bytes, 0)
    const header = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    assert.equal(8 + header + sum, bytes.length, "every byte is of one tensor")
  }
  if (sound === undefined) return outcome
  assert.equal(taken, sound, taken ? "a file that is not sound was taken" : outcome.failure.message)
  if (taken) {
    const all = Array.from(
      outcome.success.tensors.values(),
      ({ name, dtype, shape, offset, bytes }) => [name, dtype, shape, offset, bytes],
    )
    assert.deepEqual(all, says())
  }
  return outcome
}
