/** What a run held, in words and for `--json`. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { cacheLine, toJson } from "../../lib/cli/memory.ts"

const full = {
  layers: [5, 11, 17],
  window: undefined,
  blockBytes: 64,
  blocksLive: 14,
  blocksShared: 0,
  numBlocks: 40,
}
const layers = Array.from({ length: 15 }, (_, i) => i)
const windowed = { ...full, layers, window: 512, blocksLive: 33, numBlocks: 33 }

test("cacheLine() counts blocks by what layers see, and is silent where all see alike", () => {
  assert.equal(
    cacheLine({ groups: [full, windowed] }),
    "cache: 14 of 40 blocks in 3 layers that see all, 33 of 33 blocks in 15 layers with a window of 512",
  )
  assert.equal(
    cacheLine({ groups: [{ ...full, layers: [1] }, { ...windowed, layers: [0] }] }),
    "cache: 14 of 40 blocks in 1 layer that sees all, 33 of 33 blocks in 1 layer with a window of 512",
  )
  assert.equal(cacheLine({ groups: [full] }), undefined)
})

test("toJson() says of layers that see all that their window is null", () => {
  const memory = { weightsBytes: 1, cacheBytes: 2, blocksLive: 47, blocksShared: 0 }
  const written = JSON.parse(JSON.stringify(toJson({ ...memory, groups: [full, windowed] })))
  assert.deepEqual(written, { ...memory, groups: [{ ...full, window: null }, windowed] })
})
