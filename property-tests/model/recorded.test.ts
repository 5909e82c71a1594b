/** Fetched models: recorded ids of texts and conversations, and what SmolLM2 says of its short prompts. @module */
import { Effect, Result } from "effect"
import assert from "node:assert/strict"
import { test } from "node:test"
import { adapters } from "../adapters.ts"
import type { Checked } from "../cases/checked.ts"
import { fetched, fetchedFile } from "../cases/fetched.ts"
import { recordedGreedy, recordedLogits } from "../cases/recorded_model.ts"
import { recordedTokenizer } from "../cases/recorded_tokenizer.ts"
import { read } from "./vocabulary.ts"

const has = (name: string) => Result.isSuccess(fetchedFile(fetched[name]!.file))

// `skips` takes the reason from the test's own text, so the names stand outside of it.
const [hasSmollm2, hasGemma3] = [has("smollm2"), has("gemma3")]

const recorded = (path: string) =>
  JSON.parse(new TextDecoder().decode(read(`property-tests/golden/${path}.json`)))

const passed = (cases: ReadonlyArray<Checked>, compared: number) => {
  const results = cases.filter((one) => one._tag === "Compared")
  assert.deepEqual(
    results.flatMap(({ name, differs }) => differs.length > 0 ? [name, differs] : []),
    [],
  )
  assert.equal(results.length, compared)
}

const compare = async (name: string, compared: number) =>
  passed(
    await Effect.runPromise(recordedTokenizer(recorded(`${name}/${name}_tokenizer`))),
    compared,
  )

test("Tokenizer and Chat of SmolLM2 agree with every recorded case", {
  skip: hasSmollm2 ? false : "no model file: deno task fetch-model smollm2 gets it",
  timeout: 60_000,
}, () => compare("smollm2", 35))

test("Tokenizer of Gemma 3 agrees with every recorded case", {
  skip: hasGemma3 ? false : "no model file: deno task fetch-model gemma3 gets it",
  timeout: 60_000,
}, () => compare("gemma3", 20))

interface Case {
  readonly n_tokens: number
}

interface Said {
  readonly f32: { readonly tokens: ReadonlyArray<number>; readonly margin: ReadonlyArray<number> }
}

for (const { name, layer } of adapters) {
  test(
    `SmolLM2 agrees with the recorded logits of short prompts, and begins its answers so (${name})`,
    {
      skip: hasSmollm2 ? false : "no model file: deno task fetch-model smollm2 gets it",
      timeout: 240_000,
    },
    async () => {
      const run = (checked: ReturnType<typeof recordedLogits>) =>
        Effect.runPromise(Effect.provide(checked, layer))
      const logits = recorded("smollm2/smollm2_logits")
      const short = logits.cases.filter(({ n_tokens }: Case) => n_tokens <= 37)
      passed(await run(recordedLogits({ ...logits, cases: short })), 4)
      const greedy = recorded("smollm2/smollm2_greedy")
      const begun = greedy.cases.slice(0, 2).map(({ f32, ...one }: Said) => ({
        ...one,
        f32: { tokens: f32.tokens.slice(0, 8), margin: f32.margin.slice(0, 8) },
      }))
      passed(await run(recordedGreedy({ ...greedy, cases: begun })), 2)
    },
  )
}

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
