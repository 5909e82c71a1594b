/** Tables against plain arrays of references, around the ends of their chunks. @module */
import fc from "fast-check"
import assert from "node:assert/strict"
import { test } from "node:test"
import * as Table from "../../lib/cache/Table.ts"
import { runs } from "../arbitraries/runs.ts"

const place = fc.oneof(fc.nat(300), fc.constantFrom(0, 63, 64, 65, 127, 128, 129))
const change = fc.record({ cuts: fc.boolean(), at: place, id: fc.nat(999), generation: fc.nat(9) })

const listed = (table: Table.Table): ReadonlyArray<Table.Ref | undefined> =>
  Array.from({ length: Table.length(table) }, (_, i) => Table.at(table, i))

test("Table reads as a plain array does, and every older one stays as it was", () => {
  const program = fc.record({ length: place, changes: fc.array(change) })
  fc.assert(
    fc.property(program, ({ length, changes }) => {
      let plain: ReadonlyArray<Table.Ref> = Array.from({ length }, (_, i) => ({
        id: i,
        generation: i % 5,
      }))
      let table = Table.of(plain)
      for (const { cuts, at, ...ref } of changes) {
        const [older, before] = [table, plain]
        const i = Math.min(at, plain.length)
        table = cuts ? Table.take(table, i) : Table.set(table, i, ref)
        plain = cuts ? plain.slice(0, i) : [...plain.slice(0, i), ref, ...plain.slice(i + 1)]
        assert.deepEqual(listed(table), plain)
        assert.deepEqual(listed(older), before)
      }
      assert.equal(Table.at(table, plain.length), undefined)
      const words = new Uint32Array(plain.length + 2).fill(7777)
      Table.copyIds(table, words, 1)
      assert.deepEqual([...words], [7777, ...plain.map(({ id }) => id), 7777])
    }),
    runs(200),
  )
})
