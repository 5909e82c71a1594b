/** What a person reads when something is wrong: one line that says what, and an exit status. @module */
import assert from "node:assert/strict"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { entry, file, header, string, types } from "../model/writer.ts"
import { inFolder, root, run } from "./kvasir.ts"

/** Arguments, exit status, and the line without `kvasir: `. */
type Mistake = readonly [args: ReadonlyArray<string>, status: 1 | 2, line: string | RegExp]

/** Two at a time: each is a process. */
const check = async (mistakes: ReadonlyArray<Mistake>): Promise<void> => {
  const waiting = [...mistakes]
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [args, status, line] = next
      const ended = await run(...args)
      const what = JSON.stringify([args, ended])
      assert.deepEqual([ended.status, ended.stdout], [status, ""], what)
      const [, said] = /^kvasir: (.+)\n$/.exec(ended.stderr) ?? []
      assert.ok(said !== undefined, `not one line: ${what}`)
      if (typeof line === "string") assert.equal(said, line)
      else assert.match(said, line)
    }
  }
  await Promise.all([worker(), worker()])
}

test(
  "kvasir refuses a model it cannot read or run",
  { timeout: 60_000 },
  () =>
    inFolder(async (folder) => {
      const at = (name: string) => join(folder, name)
      const whole = readFileSync(join(root, "models/kjv-3m-q8_0.gguf"))
      mkdirSync(at("folder"))
      writeFileSync(at("text.gguf"), '{ "this": "is not a model" }')
      writeFileSync(at("empty.gguf"), "")
      writeFileSync(at("head.gguf"), whole.subarray(0, 1000))
      writeFileSync(at("half.gguf"), whole.subarray(0, whole.length >> 1))
      const gpt = file([header(0, 1), entry("general.architecture", types.string, string("gpt2"))])
      writeFileSync(at("gpt2.gguf"), gpt)
      const refused = (name: string, line: RegExp): Mistake => {
        const words = ["generate", "In", "--json", "--model", at(name)]
        return [words, 1, line]
      }
      await check([
        refused(
          "missing.gguf",
          /^Cannot read the model .*missing\.gguf .*: there is no such file$/,
        ),
        refused(
          "folder",
          /^Cannot read the model .*folder.config\.json .*: there is no such file$/,
        ),
        refused(
          "text.gguf",
          /text\.gguf at byte 0: it begins with 7b 20 22 74: .*"GGUF", is needed$/,
        ),
        refused("empty.gguf", /empty\.gguf at byte 0: /),
        refused("head.gguf", /head\.gguf at byte \d+: /),
        refused(
          "half.gguf",
          /half\.gguf at byte \d+: tensor "\S+" ends at byte \d+: the file has 1499424/,
        ),
        refused(
          "gpt2.gguf",
          /^Cannot run a model whose architecture is "gpt2": "llama", "qwen2" or "gemma3" is supported$/,
        ),
      ])
    }),
)

test(
  "kvasir refuses what does not fit, with the numbers",
  { timeout: 60_000 },
  () =>
    inFolder(async (folder) => {
      const ids = join(folder, "ids")
      writeFileSync(ids, "0 42 forty")
      const outside = join(folder, "outside")
      writeFileSync(outside, "[0, 42, 2048]")
      await check([
        [
          ["generate", "the ".repeat(600)],
          1,
          /^Cannot read a text of 60\d tokens: the model's context is 512 tokens, /,
        ],
        [
          ["generate", "In the beginning", "--cache-blocks", "1", "--max-tokens", "20"],
          1,
          "Cannot hold the prompt and the answer as they need 2 blocks of 16 tokens: " +
          "--cache-blocks gives 1; give more, or less to say with --max-tokens",
        ],
        [["score", ""], 1, /^Cannot take 1 as number of tokens: it must be at least two tokens/],
        [
          ["score", "--ids", join(folder, "none")],
          1,
          /^Cannot take .*none as --ids: it must be a file that can be read \(ENOENT/,
        ],
        [["score", "--ids", ids], 1, /^Cannot take .*ids as --ids: .*, and "forty" is none$/],
        [["score", "--ids", outside], 1, /^Cannot take 2048 as a token id: .* from 0 to 2047$/],
      ])
    }),
)

test("kvasir refuses a command line it does not understand", { timeout: 60_000 }, () => {
  const wrong = (line: string, ...args: ReadonlyArray<string>): Mistake => [
    args,
    2,
    `${line}; --help shows what there is`,
  ]
  return check([
    wrong(`There is no command "genrate" (did you mean generate?)`, "genrate", "In"),
    wrong(`There is no command "toString"`, "toString"),
    wrong(
      "There is no option --temprature (did you mean --temperature?)",
      ...["generate", "In", "--temprature", "0"],
    ),
    wrong("There is no option --toString", "generate", "In", "--toString"),
    wrong("A text is missing", "generate"),
    wrong("A text is missing", "score", "--json"),
    wrong("One text is wanted and 2 are there: quote it", "tokenize", "In", "the"),
    wrong(`--max-tokens needs a number: "many" is none`, "generate", "In", "--max-tokens", "many"),
    wrong(
      "--max-tokens must be a whole number, at least 1: 0 is not",
      ...["generate", "In", "--max-tokens", "0"],
    ),
    wrong("--seed is there twice", "generate", "In", "--seed", "1", "--seed", "2"),
    wrong("--json takes no value: 3", "generate", "In", "--json=3"),
    wrong("--model needs a text", "generate", "In", "--model"),
    wrong(
      "--device takes auto, cpu, webgpu, dawn, and not gpu (did you mean cpu?)",
      ...["generate", "In", "--device", "gpu"],
    ),
    wrong("Either a text or --ids is scored, not both", "score", "In", "--ids", "x"),
    wrong("doctor takes no text", "doctor", "In"),
  ])
})

test("kvasir runs on the device that is named, or says why it cannot", {
  timeout: 60_000,
}, async () => {
  for (const device of ["webgpu", "dawn"]) {
    const words = ["generate", "In", "--max-tokens", "2", "--json", "--device", device]
    const { status, stdout, stderr } = await run(...words)
    if (status === 0) {
      assert.equal(JSON.parse(stdout).device, device)
      continue
    }
    assert.deepEqual([status, stdout], [1, ""])
    // Drivers may have said something before.
    const line = stderr.trimEnd().split("\n").at(-1)!
    assert.match(line, new RegExp(`^kvasir: Cannot open the ${device} device: .+; .*use --device `))
  }
})
