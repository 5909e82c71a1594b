/** What attention over hostile values must be: as without those that are not seen, and the oracle's with the others. @module */
import { Effect, Layer } from "effect"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { Attention, Gpu } from "../../mod.ts"
import { show } from "./spoil.ts"
import {
  type Case,
  countsOf,
  given,
  group,
  kvHeads,
  numQHeads,
  play,
  type Played,
  queries,
} from "./values.ts"

const bits = (x: Float32Array, from: number, n: number): ReadonlyArray<number> => [
  ...new Uint32Array(x.slice(from, from + n).buffer),
]

/** Largest sum of sizes of products that a score is made of, and largest value: what f32 must hold. */
const sizesOf = (
  q: Float32Array,
  { keys, values: vals }: Played["held"][number],
  dim: number,
  kvHead: number,
  first: number,
  last: number,
): { readonly score: number; readonly value: number; readonly none: boolean } => {
  let [score, value, none] = [0, 0, true]
  for (let p = first; p <= last; p++) {
    const at = (p * kvHeads + kvHead) * dim
    let [sum, signed] = [0, 0]
    for (let i = 0; i < dim; i++) {
      signed += q[i]! * keys[at + i]!
      sum += Math.abs(q[i]! * keys[at + i]!)
      value = Math.max(value, Math.abs(vals[at + i]!))
    }
    score = Math.max(score, sum)
    if (signed !== -Infinity) none = false
  }
  return { score, value, none }
}

/** What f32 cannot hold on the way. A GPU sums in it, and says what it likes; the CPU's twins sum in f64. */
const overflow = 1e37

/** Is this what the oracle says? */
const near = (
  name: string,
  got: number,
  want: number,
  within: number,
  gpu: boolean,
  wide: boolean,
): string | undefined => {
  // A GPU's `exp` may make an infinity of NaN: not right, and still no number that anybody could take for an answer.
  if (Number.isNaN(want)) {
    const told = Number.isNaN(got) || (gpu && !Number.isFinite(got))
    return told ? undefined : `${name} is ${got}, not NaN`
  }
  if (wide) return undefined
  const stored = Math.fround(want)
  return got === stored || Math.abs(got - stored) <= within
    ? undefined
    : `${name} is ${got}, not ${want}`
}

/** What is wrong with one head of one token. */
const headError = (
  one: Case,
  gpu: boolean,
  base: Played,
  tried: Played,
  q: Float32Array,
  { row, j, token, head }: {
    readonly row: number
    readonly j: number
    readonly token: number
    readonly head: number
  },
  dense: Attention.DenseOutput,
): string | undefined => {
  const { dim, rows, last } = one
  const { length, start } = rows[row]!
  const position = length - countsOf(one)[row]! + j
  const first = Math.max(start, last === undefined ? 0 : position - last + 1)
  const kvHead = Math.floor(head / group)
  const at = token * numQHeads + head
  const own = q.subarray(at * dim, (at + 1) * dim)
  const from = (first * kvHeads + kvHead) * dim
  const seen = Array.from(
    { length: Math.max(0, position + 1 - first) },
    (_, p) => from + p * kvHeads * dim,
  )
  const held = tried.held[row]!
  const same = bits(own, 0, dim).join() === bits(queries(one, false), at * dim, dim).join() &&
    seen.every((i) =>
      (["keys", "values"] as const).every((half) =>
        bits(held[half], i, dim).join() === bits(base.held[row]![half], i, dim).join()
      )
    )
  const name = `row ${row}, query ${j} at ${position}, head ${head}`
  if (same) {
    const [a, b] = [base, tried].map(({ out, lse }) =>
      [...bits(out, at * dim, dim), ...bits(lse, at, 1)].join()
    )
    return a === b
      ? undefined
      : `${name} sees nothing hostile and changed: ${tried.out.slice(at * dim, (at + 1) * dim)}`
  }
  const sizes = sizesOf(own, held, dim, kvHead, first, position)
  const scale = 1 / Math.sqrt(dim)
  // Scores of −∞ alone are nothing to a GPU, whose parts of a context are merged by such sums; to the oracle, 0 / 0.
  if (gpu && sizes.none && tried.lse[at] === LSE_EMPTY) return undefined
  const wide = gpu && !(sizes.score < overflow && sizes.value < overflow)
  const slack = gpu ? 2 * sizes.score * scale * 2 ** -21 + 2e-5 : 1e-6
  const value = Math.min(sizes.value, 1e38)
  const i = j * numQHeads + head
  const wrong = [
    near("lse", tried.lse[at]!, dense.lse[i]!, slack + Math.abs(dense.lse[i]!) * 1e-6, gpu, wide),
  ]
  for (let d = 0; d < dim; d++) {
    const within = value * Math.min(2, Math.expm1(Math.min(2 * slack, 1))) + 1e-6
    wrong.push(
      near(`out[${d}]`, tried.out[at * dim + d]!, dense.out[i * dim + d]!, within, gpu, wide),
    )
  }
  const what = wrong.find((text) => text !== undefined)
  return what === undefined ? undefined : `${name}: ${what}`
}

/** What is wrong with rows as they are read back: a number that is none must not become one. */
const heldError = (one: Case, tried: Played): string | undefined => {
  for (const row of one.rows.keys()) {
    for (const half of ["keys", "values"] as const) {
      const want = given(one, row, half, true)
      for (const [i, x] of want.entries()) {
        const got = tried.held[row]![half][i]!
        if (one.dtype === "int8") {
          const head = want.subarray(i - i % one.dim, i - i % one.dim + one.dim)
          if (!head.every(Number.isFinite) !== Number.isNaN(got)) {
            return `${half}[${i}] of row ${row} is read as ${got}`
          }
          continue
        }
        const infinite = Math.abs(x) === Infinity || (one.dtype === "f16" && Math.abs(x) > 65520)
        const kept = Number.isNaN(x)
          ? Number.isNaN(got)
          : infinite
          ? got === Math.sign(x) * Infinity
          : Math.abs(got - x) <= Math.abs(x) * 2 ** -8 + 2 ** -24 // a subnormal may be flushed to zero
        if (!kept) return `${half}[${i}] of row ${row}, given ${x}, is read as ${got}`
      }
    }
  }
}

/** What is wrong with a batch on this device. */
const batchError = (one: Case, gpu: boolean, base: Played, tried: Played): string | undefined => {
  const damaged = heldError(one, tried)
  if (damaged !== undefined) return damaged
  const q = queries(one, true)
  let token = 0
  for (const [row, queryLen] of countsOf(one).entries()) {
    const { length, start } = one.rows[row]!
    const dense = Attention.dense({
      q: q.subarray(token * numQHeads * one.dim, (token + queryLen) * numQHeads * one.dim),
      k: tried.held[row]!.keys,
      v: tried.held[row]!.values,
      queryLen,
      contextLen: length,
      numQHeads,
      keyHeads: kvHeads,
      valueHeads: kvHeads,
      keyDim: one.dim,
      valueDim: one.dim,
    }, {
      start,
      ...(one.last !== undefined && { window: { last: one.last, sinks: 0 } }),
      ...(one.softCap !== undefined && { softCap: one.softCap }),
    })
    for (let j = 0; j < queryLen; j++, token++) {
      for (let head = 0; head < numQHeads; head++) {
        const bad = headError(one, gpu, base, tried, q, { row, j, token, head }, dense)
        if (bad !== undefined) return bad
      }
    }
  }
}

/** Tries batches on one device; answers how many heads of tokens were compared. */
export const attempt = (layer: Layer.Layer<Gpu>, cases: ReadonlyArray<Case>): Promise<number> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function* () {
    const context = yield* Layer.build(layer)
    const gpu = (yield* Effect.provideContext(Gpu.Service, context)).name !== "cpu"
    let states = 0
    for (const one of cases) {
      const base = yield* Effect.provideContext(play(one, false), context)
      const tried = yield* Effect.provideContext(play(one, true), context)
      const bad = batchError(one, gpu, base, tried)
      if (bad !== undefined) throw new Error(`${show(one, Infinity)}: ${bad}`)
      states += base.lse.length
    }
    return states
  })))
