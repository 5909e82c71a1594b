/** What a mask lets queries see, position by position. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Mask from "../../lib/attention/Mask.ts"
import type { Window } from "../../lib/attention/Window.ts"
import { runs } from "../arbitraries/runs.ts"

const maybe = <A>(some: fc.Arbitrary<A>): fc.Arbitrary<A | undefined> =>
  fc.option(some, { nil: undefined })

/** Runs of ids; each begins a new segment, or is padding. */
const idsOf = (lengths: ReadonlyArray<number>, contextLen: number): ReadonlyArray<number> =>
  lengths.flatMap((n, i) => Array<number>(n).fill(i % 3 === 2 ? -1 : i)).slice(0, contextLen)

const cases = fc.record({
  contextLen: fc.integer({ min: 1, max: 20 }),
  queries: fc.nat(20),
  causal: fc.boolean(),
  last: maybe(fc.integer({ min: 1, max: 12 })),
  sinks: fc.nat(3),
  chunk: maybe(fc.integer({ min: 1, max: 7 })),
  chunkOffset: fc.nat(9),
  runs: maybe(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 20, maxLength: 20 })),
  start: maybe(fc.nat(6)),
  positions: maybe(fc.array(fc.integer({ min: -1, max: 19 }), { minLength: 20, maxLength: 20 })),
})

test("Mask.visible() of a query is the positions that it sees by definition", () => {
  fc.assert(
    fc.property(cases, ({ contextLen, causal, last, chunk, chunkOffset, ...given }) => {
      const queryLen = given.queries % (contextLen + 1)
      const ids = given.runs && idsOf(given.runs, contextLen)
      const positions = given.positions?.slice(0, queryLen).map((p) => Math.min(p, contextLen - 1))
      const sinks = last !== undefined && causal && positions === undefined ? given.sinks : 0
      const window: Window = { last, sinks }
      const start = given.start ?? 0
      const sees = (p: number, j: number): boolean =>
        p >= 0 && (!causal || j <= p) && j >= start &&
        (chunk === undefined ||
          Math.floor((j - chunkOffset) / chunk) === Math.floor((p - chunkOffset) / chunk)) &&
        (ids === undefined || (ids[j] === ids[p] && ids[j] !== -1)) &&
        (last === undefined || j > p - last || j < sinks)
      const mask: Mask.Mask = {
        ...{ causal, window },
        ...(chunk === undefined ? {} : { chunk, chunkOffset }),
        ...(ids === undefined ? {} : { segments: [ids] }),
        ...(given.start === undefined ? {} : { starts: [start] }),
        ...(positions === undefined ? {} : { positions: [positions] }),
      }
      const made = Result.getOrThrow(Mask.visible(mask, [{ contextLen, queryLen }]))
      const all = Array.from({ length: contextLen }, (_, j) => j)
      const seen = Array.from({ length: queryLen }, (_, i) => {
        const p = positions?.[i] ?? contextLen - queryLen + i
        const [row, first, end] = made.words.subarray(3 * i, 3 * i + 3)
        const kept = made.window.last ?? Infinity // the kernel's part: a window before `end`
        const shown = all.filter((j) =>
          j >= first! && j <= end! && (j > end! - kept || j < made.window.sinks)
        )
        assert.equal(row, 0)
        assert.deepEqual(shown, all.filter((j) => sees(p, j)))
        return shown
      }).flat()
      if (sinks === 0) assert.deepEqual(made.needed, [Math.min(contextLen, ...seen)])
    }),
    runs(500),
  )
})
