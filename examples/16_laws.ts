/** The laws on a cache of one's own: it keeps them, and with one mistake breaks one, shown by a program to paste. */
import assert from "node:assert/strict"
import fc from "fast-check"
import {
  append,
  check,
  fork,
  ProgramFailed,
  Refused,
  replay,
  type Subject,
  subject,
} from "../testing/mod.ts"

/** Rows in blocks that caches share; a cache sees the first `length` of them. */
interface Cache {
  readonly blocks: ReadonlyArray<Array<number>>
  readonly length: number
}

/** `ours(tail, seen)`: may a cache that sees so many rows of the tail block write the next one into it? */
const paged =
  (ours: (tail: Array<number>, seen: number) => boolean) =>
  ({ blockSize }: { readonly blockSize: number }): Subject<Cache> => ({
    empty: { blocks: [], length: 0 },
    append: ({ blocks, length }, rows) => {
      const next = [...blocks]
      for (const [i, row] of rows.entries()) {
        const seen = (length + i) % blockSize
        if (seen === 0) next.push([])
        const tail = next.at(-1)!
        if (!ours(tail, seen)) next[next.length - 1] = tail.slice(0, seen)
        next.at(-1)![seen] = row
      }
      return { blocks: next, length: length + rows.length }
    },
    truncate: ({ blocks, length }, to) => {
      if (to < 0 || to > length) throw new Refused("out of range")
      return { blocks: blocks.slice(0, Math.ceil(to / blockSize)), length: to }
    },
    read: (caches) => caches.map(({ blocks, length }) => blocks.flat().slice(0, length)),
  })

const sizes = fc.record({ blockSize: fc.constantFrom<number>(1, 3, 5) })

// In place only where the block ends with what this cache sees: nobody has written on.
const good = subject("good", paged((tail, seen) => tail.length === seen), sizes)
for (const { law, checks, because } of await check(good, { runs: 100, seed: 1 })) {
  console.log(law.name.padEnd(20), because === undefined ? "held" : `not checked: ${because}`)
  assert.equal(because === undefined, checks > 0)
}

// Always in place: a fork writes over its sibling.
const bad = subject("bad", paged(() => true), sizes)
const failed: unknown = await check(bad, { runs: 100, seed: 1 }).then(() => undefined, (e) => e)
assert.ok(failed instanceof ProgramFailed)
assert.equal(failed.cause.law, "persistence")
console.log(`\n${failed.cause.message}\n\n${failed.program}`)

// The program, pasted: the mistake breaks the law, and the good cache keeps it.
const program = [append(0, 1), fork(0), append(0, 1), append(1, 1)]
await assert.rejects(replay(bad, { blockSize: 3 }, program), /^ProgramFailed: Law 1, persistence/)
await replay(good, { blockSize: 3 }, program)
