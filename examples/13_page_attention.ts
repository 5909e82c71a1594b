/** One query a sequence over pages of tensors, as they lie: nothing is copied, nothing outside is seen. */
import assert from "node:assert/strict"
import { Effect } from "effect"
import { Attention, Gpu, PageAttention, Program, Tensor } from "../mod.ts"

const [pages, heads, slots, dim, numHeads] = [6, 2, 4, 8, 6]

/** Numbers that look random and are the same every time. */
const wave = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(seed + 12.9898 * i) * 2)

const keys = wave(pages * heads * slots * dim, 1)
const values = wave(pages * heads * slots * dim, 2)
const queries = wave(3 * numHeads * dim, 3)
keys.fill(NaN, 5 * heads * slots * dim) // page 5 belongs to nobody

const contextLens = [7, 0, 10]
const blockTables = [[2, 4, -1], [-1, -1, -1], [0, 4, 1]] // page 4 is shared

/** Rows `[contextLen, heads, dim]` of one sequence, brought together by hand. */
const rows = (data: Float32Array, sequence: number) =>
  Array.from(
    { length: contextLens[sequence]! },
    (_, t) =>
      Array.from({ length: heads }, (_, head) => {
        const page = blockTables[sequence]![Math.floor(t / slots)]!
        const at = ((page * heads + head) * slots + t % slots) * dim
        return [...data.slice(at, at + dim)]
      }).flat(),
  ).flat()

const program = Effect.scoped(Effect.gen(function* () {
  const sizes = { pages, heads, slots, dim }
  const keyPages = yield* Gpu.upload("f32", "pages heads slots dim", sizes, keys)
  const valuePages = yield* Gpu.upload("f32", "pages heads slots dim", sizes, values)
  const query = yield* Gpu.upload(
    "f32",
    "numSeqs numHeads headDim",
    { numSeqs: 3, numHeads, headDim: dim },
    queries,
  )
  const options = { query, contextLens, blockTables, slidingWindow: 6 }
  const [first, second] = yield* Program.run(Effect.gen(function* () {
    // The other order of axes: the tag is the tensor's own, so neither is guessed from a size.
    const turned = yield* Tensor.permute(keyPages, "heads pages slots dim")
    return [
      yield* PageAttention.pageAttention({ ...options, keyPages, valuePages }),
      yield* PageAttention.pageAttention({
        ...options,
        keyPages: turned,
        valuePages,
        numSplits: 4,
      }),
    ] as const
  }))
  const out = yield* Gpu.read(first.out)
  assert.deepEqual(out, yield* Gpu.read(second.out)) // an order or a hint changes no bit

  for (const [i, contextLen] of contextLens.entries()) {
    const size = numHeads * dim
    const own = out.slice(i * size, (i + 1) * size)
    const { out: want } = Attention.dense({
      q: queries.slice(i * size, (i + 1) * size),
      k: rows(keys, i),
      v: rows(values, i),
      queryLen: 1,
      contextLen,
      numQHeads: numHeads,
      keyHeads: heads,
      valueHeads: heads,
      keyDim: dim,
      valueDim: dim,
    }, { window: { last: 6, sinks: 0 } })
    assert.ok(own.every((x, j) => Math.abs(x - want[j]!) < 1e-5))
    console.log(`sequence ${i}: ${contextLen} tokens, paged equals dense within 1e-5`)
  }

  const refused = yield* Effect.flip(Program.run(
    PageAttention.pageAttention({ ...options, keyPages, valuePages, contextLens: [7, 1, 10] }),
  ))
  assert.equal(
    refused.message,
    "Cannot take -1 as block 0 of 1 tokens: it must be a page from 0 to 5",
  )
  console.log(refused.message)
}))

await Effect.runPromise(Effect.provide(program, Gpu.layerCpu()))
