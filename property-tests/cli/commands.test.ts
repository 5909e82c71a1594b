/** `kvasir tokenize`, `score`, `doctor` and help. @module */
import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { test } from "node:test"
import { inFolder, run } from "./kvasir.ts"

const file = "models/kjv-3m-q8_0.gguf"

test("tokenize prints ids and pieces, with special tokens where they are asked for", {
  timeout: 60_000,
}, async () => {
  const text = "In the <s>日"
  const [plain, json, special] = await Promise.all([
    run("tokenize", text),
    run("tokenize", text, "--json", "--model", file),
    run("tokenize", text, "--json", "--add-special"),
  ])
  const { ids, pieces, ...rest } = JSON.parse(json.stdout)
  assert.deepEqual([json.status, json.stderr, rest], [0, "", {}])
  assert.deepEqual(ids, [42, 79, 260, 222, 0, 164, 247, 100])
  assert.deepEqual(pieces, ["I", "n", " the", " ", "<s>", "<0xE6>", "<0x97>", "<0xA5>"])
  const lines = ids.map((id: number, i: number) => `${id}\t${JSON.stringify(pieces[i])}\n`)
  assert.deepEqual(plain, { status: 0, stdout: lines.join(""), stderr: "" })
  assert.deepEqual(JSON.parse(special.stdout).ids, [0, ...ids])
})

test(
  "score says how probable a text or a file of ids is",
  { timeout: 60_000 },
  () =>
    inFolder(async (folder) => {
      const [array, words] = [join(folder, "ids.json"), join(folder, "ids.txt")]
      writeFileSync(array, "[0, 42, 79, 260, 1828, 1271]\n")
      writeFileSync(words, "0 42 79\n260 1828 1271")
      const [json, plain, ...files] = await Promise.all([
        run("score", "In the beginning", "--json"),
        run("score", "In the beginning"),
        run("score", "--ids", array, "--json"),
        run("score", "--ids", words, "--json", "--model", file),
      ])
      const { ids, meanNll, nll, logsumexp, ...rest } = JSON.parse(json.stdout)
      assert.deepEqual([json.status, json.stderr, rest], [0, "", {}])
      assert.deepEqual(ids, [0, 42, 79, 260, 1828, 1271])
      assert.deepEqual([nll.length, logsumexp.length], [5, 5])
      const sum = nll.reduce((sum: number, x: number) => sum + x, 0)
      assert.ok(Math.abs(sum / 5 - meanNll) < 1e-9)
      const line = `${meanNll.toFixed(6)} nats a token over 5 tokens\n`
      assert.deepEqual(plain, { status: 0, stdout: line, stderr: "" })
      for (const one of files) assert.equal(one.stdout, json.stdout)
    }),
)

test("doctor says what there is, what is needed and what is taken", {
  timeout: 60_000,
}, async () => {
  const [json, plain] = await Promise.all([run("doctor", "--json"), run("doctor")])
  assert.deepEqual([json.status, plain.status], [0, 0])
  const { runtime, auto, devices, model } = JSON.parse(json.stdout)
  const { bun, deno } = process.versions as Record<string, string | undefined>
  assert.equal(runtime, bun === undefined ? `Deno ${deno}` : `Bun ${bun}`)
  const taken = devices.filter((one: { taken: boolean }) => one.taken)
  assert.deepEqual(taken.map((one: { device: string }) => one.device), [auto])
  for (const { device, why, fits } of devices) {
    assert.ok(["cpu", "webgpu", "dawn"].includes(device) && why.length > 0)
    assert.equal(typeof fits, "boolean")
  }
  const { name, context, weightsBytes, cacheBytesPer1000Tokens } = model
  assert.deepEqual([name, context, weightsBytes], ["kvasir-kjv-3m", 512, 2_934_528])
  // 6 layers · 2 heads · 32 elements · keys and values · 4 bytes
  assert.equal(cacheBytesPer1000Tokens, 1000 * 6 * 2 * 32 * 2 * 4)
  assert.ok(plain.stdout.startsWith(`runtime   ${runtime} on `), plain.stdout)
  assert.match(plain.stdout, /^memory {4}weights 2\.9 MB, cache 3\.1 MB per 1,000 tokens, /m)
})

test("kvasir shows its commands, and the options of each", { timeout: 60_000 }, async () => {
  const [bare, help, one] = await Promise.all([
    run(),
    run("--help"),
    run("generate", "In", "--help"),
  ])
  assert.deepEqual(bare, help)
  for (const name of ["generate", "tokenize", "score", "doctor"]) {
    assert.match(help.stdout, new RegExp(`^  ${name} +\\S`, "m"))
  }
  for (const name of ["model", "max-tokens", "temperature", "seed", "json", "device"]) {
    assert.match(one.stdout, new RegExp(`^  --${name}\\b.* {2}\\S`, "m"))
  }
  assert.deepEqual([help.status, help.stderr, one.status, one.stderr], [0, "", 0, ""])
})
