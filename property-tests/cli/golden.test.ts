/** `tools/golden.ts` fails when it must. @module */
import assert from "node:assert/strict"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { command, type Ended, inFolder, root, start } from "./kvasir.ts"

const golden = (place: string): Promise<Ended> =>
  start([...command, "tools/golden.ts", place]).ended

const merge = "property-tests/golden/caches/merge_attention_states.01.json"
const recorded = "property-tests/golden/smollm2/smollm2_logits.json"

test("golden passes recorded cases and fails whatever is not as recorded", {
  timeout: 120_000,
}, () =>
  inFolder(async (folder) => {
    const [empty, wrong] = [join(folder, "empty"), join(folder, "wrong")]
    for (const place of [empty, wrong]) mkdirSync(place)
    const cases = JSON.parse(readFileSync(join(root, merge), "utf8"))
    cases.cases[0].expected.out.data[3] += 1
    cases.cases[1].expectedError = { tag: "ShapeMismatch" }
    const put = (name: string, value: unknown) =>
      writeFileSync(join(wrong, name), typeof value === "string" ? value : JSON.stringify(value))
    put("merge.json", cases)
    const logits = JSON.parse(readFileSync(join(root, recorded), "utf8"))
    put("absent.json", { ...logits, model_file: "nowhere.gguf" })
    put("unknown.json", { format: "kv-golden/2", op: "page_attention", cases: [] })
    put("malformed.json", { kind: "tokenizer", cases: [{ text: 1 }] })
    put("broken.json", "{")
    const [right, none, bad, missing] = await Promise.all([
      golden(merge),
      golden(empty),
      golden(wrong),
      golden(join(folder, "nowhere")),
    ])
    const last = ({ stdout }: Ended) => stdout.trimEnd().split("\n").at(-1)!
    assert.equal(right.status, 0, right.stdout)
    assert.match(last(right), /^\d*[1-9] passed, 0 failed$/)
    assert.match(right.stdout, /^cpu .*\.json: 7 passed, 0 failed, largest error \d\.\de-\d+$/m)

    assert.deepEqual([none.status, last(none)], [1, "0 passed, 0 failed"])
    assert.match(none.stdout, /^Cannot count this run as passed: no case was compared$/m)
    assert.deepEqual([missing.status, last(missing)], [1, "0 passed, 1 failed"])

    assert.equal(bad.status, 1)
    for (
      const line of [
        /^FAILED cpu .*merge\.json merge-two-splits: out on the host: 1 of 32 differ, \[3\] is \S+, not \S+ \(\S+ \+ \S+ of it allowed\); out on the device: /m,
        /^FAILED cpu .*merge\.json merge-four-splits-one-empty: no refusal, not ShapeMismatch$/m,
        /^cpu .*merge\.json: 5 passed, 2 failed, largest error 1\.0e\+0$/m,
        /^cpu .*absent\.json: 7 skipped: no model file nowhere\.gguf$/m,
        /^FAILED .*unknown\.json: its format is unknown: kv-golden\/2 page_attention$/m,
        /^FAILED .*broken\.json: its format is unknown: .*JSON/m,
        /^FAILED cpu .*malformed\.json: Expected string at .*text/m,
      ]
    ) assert.match(bad.stdout, line)
    assert.match(last(bad), /^\d+ passed, \d+ failed$/)
  }))
