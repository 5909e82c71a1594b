/** The line that a terminal shows while a model is loading. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { loadingLine, secondsLeft } from "../../lib/cli/progress.ts"

const mb = 1e6

test("secondsLeft() goes on at the mean pace, and says nothing where there is none", () => {
  assert.equal(secondsLeft({ done: 25, total: 100 }, 2000), 6)
  assert.equal(secondsLeft({ done: 99, total: 100 }, 990), 0.01)
  for (const [done, total, ms] of [[0, 100, 500], [100, 100, 500], [0, 0, 0], [50, 100, 0]]) {
    assert.equal(secondsLeft({ done: done!, total: total! }, ms!), undefined)
  }
})

test("loadingLine() says the phase, or bytes, percent and time left", () => {
  const line = (done: number, total: number, ms: number) =>
    loadingLine("a.gguf", { phase: "weights", done: done * mb, total: total * mb }, ms)
  assert.equal(
    loadingLine("a.gguf", { phase: "header", done: 0, total: 0 }, 9),
    "loading a.gguf: reading its header",
  )
  assert.equal(line(45.2, 98.4, 1700), "loading a.gguf: 45.2 of 98.4 MB (45 %), 3 s left")
  assert.equal(line(0, 98.4, 0), "loading a.gguf: 0.0 of 98.4 MB (0 %)")
  assert.equal(line(98.4, 98.4, 900), "loading a.gguf: 98.4 of 98.4 MB (100 %)")
  assert.equal(line(10, 1000, 2000), "loading a.gguf: 10.0 of 1000.0 MB (1 %), 4 min left")
})
