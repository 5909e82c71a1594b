/** Texts and conversations of fetched models: recorded ids. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { fetched, fetchedFile } from "../cases/fetched.ts"
import { recordedTokenizer } from "../cases/recorded_tokenizer.ts"
import { read } from "./vocabulary.ts"

const has = (name: string) => Result.isSuccess(fetchedFile(fetched[name]!.file))

// `skips` takes the reason from the test's own text, so the names stand outside of it.
const [hasSmollm2, hasGemma3] = [has("smollm2"), has("gemma3")]

const compare = async (name: string, compared: number) => {
  const path = `property-tests/golden/${name}/${name}_tokenizer.json`
  const json: unknown = JSON.parse(new TextDecoder().decode(read(path)))
  const cases = await Effect.runPromise(recordedTokenizer(json))
  const results = cases.filter((one) => one._tag === "Compared")
  assert.deepEqual(
    results.flatMap(({ name, differs }) => differs.length > 0 ? [name, differs] : []),
    [],
  )
  assert.equal(results.length, compared)
}

test("Tokenizer and Chat of SmolLM2 agree with every recorded case", {
  skip: hasSmollm2 ? false : "no model file: deno task fetch-model smollm2 gets it",
  timeout: 60_000,
}, () => compare("smollm2", 35))

test("Tokenizer of Gemma 3 agrees with every recorded case", {
  skip: hasGemma3 ? false : "no model file: deno task fetch-model gemma3 gets it",
  timeout: 60_000,
}, () => compare("gemma3", 20))

test("fetched models each say how to get them", () => {
  for (const [name, { file, parts, sha256 }] of Object.entries(fetched)) {
    assert.match(sha256, /^[0-9a-f]{64}$/)
    for (const { requirement } of parts) assert.match(requirement, /^[a-z0-9-]+==\d+\.\d+\.\d+$/)
    if (has(name)) continue
    const absent = `no model file ${file}; "deno task fetch-model ${name}" gets it`
    assert.deepEqual(fetchedFile(file), Result.fail(absent))
  }
  assert.deepEqual(fetchedFile("no-such.gguf"), Result.fail("no model file no-such.gguf"))
})
