/** Slices of `PageUtilities`: where new tokens go. @module */
import { Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import { PageUtilities } from "../../mod.ts"
import { refuses, type Tag } from "./refused.ts"

test("cdiv() rounds up whole numbers, and refuses what is none", () => {
  const { cdiv } = PageUtilities
  assert.deepEqual(
    [[10, 3], [9, 3], [0, 7], [1, 1]].map(([a, v]) => Result.getOrThrow(cdiv(a!, v!))),
    [4, 3, 0, 1],
  )
  assert.equal(
    Result.getOrThrow(cdiv(Number.MAX_SAFE_INTEGER, 2)),
    (Number.MAX_SAFE_INTEGER - 1) / 2 + 1,
  )
  const [any, some] = ["a whole number, at least 0", "a whole number, at least 1"]
  refuses(cdiv(1, 0), "InvalidArgument", `take 0 as v: it must be ${some}`)
  refuses(cdiv(1, -2), "InvalidArgument", `take -2 as v: it must be ${some}`)
  refuses(cdiv(-1, 2), "InvalidArgument", `take -1 as a: it must be ${any}`)
  refuses(cdiv(1.5, 2), "InvalidArgument", `take 1.5 as a: it must be ${any}`)
  refuses(cdiv(1, 0.5), "InvalidArgument", `take 0.5 as v: it must be ${some}`)
})

test("slotMappingToSlices() names the slot of every new token, one column a row and page", () => {
  const row = fc.record({ cached: fc.nat(9), query: fc.nat(9) })
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 9 }),
      fc.nat(1000),
      (rows, pageSize, group, seed) => {
        const width = Math.ceil(18 / pageSize)
        const numPages = width * rows.length + 3
        const page = (r: number, i: number) => (seed + (r * width + i) * 7) % numPages
        const blockTables = rows.map(({ cached, query }, r) =>
          Array.from({ length: width }, (_, i) =>
            // Pages that are not written need not be there.
            i * pageSize < cached + query && (i + 1) * pageSize > cached ? page(r, i) : -1)
        )
        const { sliceIndices, totalUpdateSlices } = Result.getOrThrow(
          PageUtilities.slotMappingToSlices({
            blockTables,
            cachedLengths: rows.map(({ cached }) => cached),
            queryLengths: rows.map(({ query }) => query),
            numPages,
            pageSize,
            slicesPerProcessingPage: group,
          }),
        )
        const columns = sliceIndices[0].length
        assert.equal(columns % group, 0)
        assert.ok(columns - totalUpdateSlices < group)
        const got: Array<readonly [number, number]> = []
        for (let i = 0; i < columns; i++) {
          const [to, from, count] = sliceIndices.map((list) => list[i]!) as [number, number, number]
          if (i >= totalUpdateSlices) assert.equal(count, 0)
          for (let t = 0; t < count; t++) got.push([from + t, to + t])
        }
        const want = rows.flatMap(({ cached, query }, r) =>
          Array.from({ length: query }, (_, t) => {
            const position = cached + t
            const logical = Math.floor(position / pageSize)
            return blockTables[r]![logical]! * pageSize + position % pageSize
          })
        ).map((slot, token) => [token, slot] as const)
        assert.deepEqual(got, want)
        const pieces = rows.reduce(
          (sum, { cached, query }) =>
            sum +
            (query === 0
              ? 0
              : Math.ceil((cached + query) / pageSize) - Math.floor(cached / pageSize)),
          0,
        )
        assert.equal(totalUpdateSlices, pieces)
      },
    ),
    { numRuns: 300 },
  )
})

test("slotMappingToSlices() refuses what the original takes from the next row", () => {
  const good = {
    blockTables: [[1, 2], [0, 3]],
    cachedLengths: [2, 0],
    queryLengths: [3, 1],
    numPages: 4,
    pageSize: 4,
  }
  const says = (
    changes: Partial<PageUtilities.SlotMapping>,
    tag: Tag,
    message: string,
  ): void => refuses(PageUtilities.slotMappingToSlices({ ...good, ...changes }), tag, message)
  says(
    { cachedLengths: [6, 0] },
    "BlockTableFull",
    "give sequence 0 3 blocks: its row of the block table has 2 cells; make the table wider or " +
      "end the sequence",
  )
  const wrong = (changes: Partial<PageUtilities.SlotMapping>, message: string) =>
    says(changes, "InvalidArgument", `take ${message}`)
  const written = "a page from 0 to 3, as position 4 of row 0 is written"
  wrong({ blockTables: [[1, -1], [0, 3]] }, `-1 as blockTables[0][1]: it must be ${written}`)
  wrong({ blockTables: [[1, 4], [0, 3]] }, `4 as blockTables[0][1]: it must be ${written}`)
  wrong(
    { queryLengths: [3] },
    "1 as the number of queryLengths: it must be 2, one for each row of the block tables",
  )
  const any = "it must be a whole number, at least 0"
  wrong({ cachedLengths: [2, -1] }, `-1 as cachedLengths[1]: ${any}`)
  wrong({ queryLengths: [1.5, 0] }, `1.5 as queryLengths[0]: ${any}`)
  for (const name of ["numPages", "pageSize", "slicesPerProcessingPage"]) {
    wrong({ [name]: 0 }, `0 as ${name}: it must be a whole number, at least 1`)
  }
  const none = { ...good, queryLengths: [0, 0] }
  const { sliceIndices, totalUpdateSlices } = Result.getOrThrow(
    PageUtilities.slotMappingToSlices(none),
  )
  assert.deepEqual([sliceIndices.map(({ length }) => length), totalUpdateSlices], [[0, 0, 0], 0])
})
