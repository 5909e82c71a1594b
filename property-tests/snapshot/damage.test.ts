/** Damaged, foreign and hostile snapshots: a typed error, never other data. @module */
import { Effect, Result } from "effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import { BadSnapshot, KvCache, type Layout, LayoutMismatch, Snapshot } from "../../mod.ts"
import { runs } from "../arbitraries/runs.ts"
import * as Shelf from "../models/shelf.ts"
import { bytesOf, small } from "./shelves.ts"

const whole = small()

const refused = (data: Uint8Array): BadSnapshot => {
  const found = Snapshot.decode(data, "a.kvcache")
  assert.ok(Result.isFailure(found), "damaged data was taken")
  assert.ok(found.failure instanceof BadSnapshot)
  return found.failure
}

test("Snapshot.decode() refuses every length but its own", () => {
  assert.ok(Result.isSuccess(Snapshot.decode(whole)))
  for (let length = 0; length < whole.length; length++) refused(whole.slice(0, length))
  for (const more of [1, 3, 1000]) {
    const longer = new Uint8Array(whole.length + more)
    longer.set(whole)
    assert.match(refused(longer).message, new RegExp(`it ends here, and ${more} bytes follow$`))
  }
})

test("Snapshot.decode() refuses every flipped bit", () => {
  // All of them are more than the 2,000 that were asked for, and take no longer.
  for (let bit = 0; bit < 8 * whole.length; bit++) {
    const data = whole.slice()
    data[bit >> 3]! ^= 1 << (bit & 7)
    refused(data)
  }
  assert.ok(8 * whole.length > 2000)
})

test("Snapshot.decode() refuses bytes that were moved, doubled or replaced", () => {
  const edit = fc.record({ at: fc.nat(whole.length), from: fc.nat(whole.length), n: fc.nat(80) })
  fc.assert(
    fc.property(edit, fc.boolean(), ({ at, from, n }, insert) => {
      const piece = whole.slice(from, from + n)
      const rest = whole.slice(at + (insert ? 0 : piece.length))
      const data = Uint8Array.from([...whole.slice(0, at), ...piece, ...rest])
      if (data.join() !== whole.join()) refused(data)
    }),
    runs(300),
  )
})

test("Snapshot.decode() says what is wrong, and where", () => {
  const after = (change: (data: Uint8Array) => void): string => {
    const data = whole.slice()
    change(data)
    return refused(data).message
  }
  assert.equal(
    refused(new TextEncoder().encode("GGUF and so on")).message,
    "Cannot restore the snapshot a.kvcache at byte 0: it is no snapshot of a cache",
  )
  assert.equal(
    after((data) => data[8] = 9),
    "Cannot restore the snapshot a.kvcache at byte 8: its version is 9: version 1 is read",
  )
  assert.match(after((data) => data[8] = 0), /byte 8: its version is 0: version 1 is read$/)
  assert.equal(
    after((data) => data[40]! ^= 1),
    "Cannot restore the snapshot a.kvcache at byte 0: its header is damaged: the checksum differs",
  )
  const last = whole.length - 1
  assert.match(
    after((data) => data[last]! ^= 1),
    /^Cannot restore the snapshot a\.kvcache at byte \d+: a block is damaged: the checksum differs$/,
  )
  assert.match(
    refused(whole.slice(0, 12)).message,
    /at byte 12: it ends within its first 16 bytes$/,
  )
  const end = 16 + new DataView(whole.buffer).getUint32(12, true)
  assert.match(refused(whole.slice(0, end)).message, /: its header ends at byte \d+$/)
  assert.match(refused(whole.slice(0, 90)).message, /at byte 90: its header ends at byte \d+$/)
  assert.match(
    refused(whole.slice(0, last)).message,
    /: a block of 32 bytes is needed, and 31 are there$/,
  )
})

/** A header of this text, under a checksum that is right. */
const sealed = (json: string): Uint8Array => {
  const text = new TextEncoder().encode(json)
  const data = new Uint8Array(16 + text.length + 32)
  data.set(whole.subarray(0, 16))
  new DataView(data.buffer).setUint32(12, text.length, true)
  data.set(text, 16)
  data.set(createHash("sha256").update(data.subarray(0, -32)).digest(), 16 + text.length)
  return data
}

/** The header of `whole` with other fields in it. */
const forged = (change: Readonly<Record<string, unknown>>): Uint8Array => {
  const end = 16 + new DataView(whole.buffer).getUint32(12, true)
  const header = JSON.parse(new TextDecoder().decode(whole.subarray(16, end)))
  return sealed(JSON.stringify({ ...header, ...change }))
}

test("Snapshot.decode() refuses headers that no cache has, though their checksums are right", () => {
  const shape = { dtype: "f32", keyHeads: 1, keyDim: 3, valueHeads: 1, valueDim: 3, latent: false }
  const group = { layers: [0, 1], window: null }
  const cases: ReadonlyArray<readonly [Record<string, unknown>, RegExp]> = [
    [{ length: -1 }, /greater than or equal to 0/],
    [{ length: 2 ** 53 }, /\["length"\]/],
    [
      { length: 2 ** 40, starts: [2 ** 40, 2 ** 40], tokens: [], blocks: [[], []] },
      /it claims 1099511627776 tokens, and 16777216 are the most/,
    ],
    [{ length: 2 ** 24, tokens: [], blockTokens: 1 }, /blocks, and has 16777216 16777214$/],
    [{ starts: [0] }, /it begins at 0 in 2 groups of 5 tokens/],
    [{ starts: [0, 6] }, /it begins at 0 6 in 2 groups of 5 tokens/],
    [{ tokens: [1] }, /it names 1 of its 5 tokens/],
    [{ tokens: [1, 2, 3, 4, 0.5] }, /integer/],
    [{ blockTokens: 0 }, /\["blockTokens"\]/],
    [{ blocks: [[], []] }, /it names 0 0 blocks, and has 2 2/],
    [{ blocks: [["../../etc"], []] }, /\["blocks"\]/],
    [{ shape: { ...shape, groups: [{ layers: [0, 2], window: null }] } }, /each layer/],
    [{ shape: { ...shape, groups: [group], dtype: "f64" } }, /\["dtype"\]/],
    [{ shape: { ...shape, groups: [group], keyDim: 0 } }, /\["keyDim"\]/],
    [{ shape: { ...shape, groups: [group], latent: true, valueDim: 9 } }, /heads and dims/],
    [{ model: 7 }, /\["model"\]/],
  ]
  for (const [change, reason] of cases) {
    assert.match(refused(forged(change)).message, reason)
  }
  for (const text of ["", "7", "null", "{", "\ufeff{}", "[".repeat(1e6), '{"length":1e999}']) {
    assert.match(refused(sealed(text)).message, /at byte 16: /)
  }
  const json = fc.oneof(fc.json(), fc.jsonValue().map((value) => JSON.stringify(value)))
  fc.assert(
    fc.property(fc.constantFrom("shape", "length", "starts", "tokens", "blocks", "note"), json, (
      field,
      text,
    ) => {
      const value = JSON.parse(text)
      const found = Snapshot.decode(forged({ [field]: value }))
      if (Result.isFailure(found)) assert.ok(found.failure instanceof BadSnapshot)
    }),
    runs(200),
  )
})

test("Snapshot.restore() refuses a foreign layout or model, and names the field", () => {
  const base = { layers: 2, keyHeads: 2, keyDim: 4, blockSize: 4 } as const
  const groups = (window?: number) => [{ layers: [0], window: undefined }, { layers: [1], window }]
  const from = Shelf.make(base)
  const cache = Shelf.cacheOf(from, [1, 2, 3])
  const data = bytesOf(from, cache, { model: "right", tokens: [1, 2, 3] })
  const snapshot = Result.getOrThrow(Snapshot.decode(data))
  const cases: ReadonlyArray<readonly [Layout.Options, string, string, string]> = [
    [{ ...base, dtype: "bf16" }, "dtype", "bf16", "f32"],
    [{ ...base, layers: 3 }, "groups of layers", "0 1 2", "0 1"],
    [{ ...base, groups: groups() }, "groups of layers", "0, 1", "0 1"],
    [{ ...base, groups: groups(7) }, "groups of layers", "0, 1 (window 7)", "0 1"],
    [{ ...base, keyHeads: 1, valueHeads: 2 }, "number of key heads", "1", "2"],
    [{ ...base, keyDim: 5, valueDim: 4 }, "key dim", "5", "4"],
    [{ ...base, valueHeads: 1 }, "number of value heads", "1", "2"],
    [{ ...base, valueDim: 3 }, "value dim", "3", "4"],
  ]
  const refusedBy = (shelf: Shelf.Shelf, options = {}, given = snapshot) => {
    const { arena } = shelf.world
    const error = Shelf.run(shelf, Effect.flip(Snapshot.restore(arena, given, options)))
    Shelf.end(shelf)
    return error
  }
  for (const [layout, field, expected, actual] of cases) {
    const error = refusedBy(Shelf.make(layout))
    assert.ok(error instanceof LayoutMismatch)
    assert.deepEqual([error.field, error.expected, error.actual], [field, expected, actual])
  }
  assert.equal(
    refusedBy(Shelf.make({ ...base, blockSize: 7 }), { model: "left" }).message,
    "Cannot use a cache whose model is right: left is needed",
  )
  const mute = Result.getOrThrow(Snapshot.decode(bytesOf(from, cache, {})))
  assert.equal(
    refusedBy(Shelf.make(base), { model: "left" }, mute).message,
    "Cannot use a cache whose model is not said: left is needed",
  )
  assert.equal(
    refusedBy(Shelf.make({ ...base, capacity: 2 })).message,
    "Cannot grow the cache as it needs 3 tokens: its capacity is 2",
  )
  const latent = Shelf.make({ ...base, placement: "latent" })
  assert.match(refusedBy(latent).message, /^Cannot use a cache whose place of values is beside/)
  Shelf.end(from)
})

test("Snapshot.take() refuses what it would not restore", () => {
  const shelf = Shelf.make({ layers: 1, keyHeads: 1, keyDim: 2, blockSize: 4 })
  const cache = Shelf.cacheOf(shelf, [1, 2, 3])
  const error = (about: Snapshot.About) =>
    Shelf.run(shelf, Effect.flip(Snapshot.take(cache, about))).message
  assert.match(error({ tokens: [1, 2] }), /^Cannot take 2 as the number of token ids: it must be 3/)
  assert.match(error({ tokens: [1, 2, -1] }), /^Cannot take -1 as a token id/)
  assert.match(error({ tokens: [1, 2, NaN] }), /^Cannot take NaN as a token id/)
  for (const blockTokens of [0, -1, 0.5, NaN, 2 ** 32]) {
    assert.match(
      error({ blockTokens }),
      /as blockTokens: it must be a whole number from 1 to 65536$/,
    )
  }
  const none = Shelf.run(shelf, Snapshot.take(KvCache.empty(shelf.world.arena), { tokens: [] }))
  assert.deepEqual(none.header.blocks, [[]])
  Shelf.end(shelf)
})
