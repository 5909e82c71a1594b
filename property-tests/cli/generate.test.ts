/** `kvasir generate`: what it prints, and how it ends. @module */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import process from "node:process"
import { test } from "node:test"
import { command, type Ended, kvasir, others, run, start, type Started } from "./kvasir.ts"

const opening = "In the beginning"
const greedy = [opening, "--temperature", "0", "--device", "cpu", "--max-tokens", "12"]
const long = [opening, "--seed", "3", "--max-tokens", "400", "--ignore-eos", "--device", "cpu"]

interface Shape {
  readonly [field: string]: "string" | "number" | "numbers" | "others" | Shape
}

const shape: Shape = {
  model: "string",
  device: "string",
  promptTokens: "numbers",
  tokens: "numbers",
  text: "string",
  stopped: "string",
  seed: "number",
  timings: {
    loadMs: "number",
    prefillMs: "number",
    decodeMs: "number",
    prefillTokensPerSecond: "number",
    decodeTokensPerSecond: "number",
  },
  memory: {
    weightsBytes: "number",
    cacheBytes: "number",
    blocksLive: "number",
    blocksShared: "number",
    groups: "others",
  },
}

const shapeOf = (value: unknown): Shape[string] =>
  Array.isArray(value)
    ? value.every((one) => typeof one === "number") ? "numbers" : "others"
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shapeOf(one)])) as Shape
    : typeof value as Shape[string]

/** The object on standard output, which holds nothing else. */
const object = ({ stdout }: Ended) => {
  const [line, ...rest] = stdout.split("\n")
  assert.deepEqual(rest, [""])
  const { topLogits, ...fields } = JSON.parse(line!)
  assert.deepEqual(shapeOf(fields), shape)
  return { topLogits, ...fields }
}

test("generate prints the text and nothing else, or one object and nothing else", {
  timeout: 60_000,
}, async () => {
  const [plain, json, logits] = await Promise.all([
    run("generate", ...greedy),
    run("generate", ...greedy, "--json"),
    run("generate", ...greedy, "--json", "--top-logits", "3"),
  ])
  const { timings, memory, ...said } = object(json)
  assert.deepEqual(said, {
    model: "kvasir-kjv-3m",
    device: "cpu",
    promptTokens: [0, 42, 79, 260, 1828, 1271],
    tokens: [270, 260, 1201, 13, 269, 260, 616, 639, 853, 15, 200, 18],
    text: " of the world, and the Lord Jesus Christ.\n1",
    stopped: "length",
    seed: said.seed,
    topLogits: undefined,
  })
  assert.ok(Object.values(timings).every((ms) => Number(ms) > 0), JSON.stringify(timings))
  assert.ok(memory.weightsBytes > 2.9e6 && memory.cacheBytes > 0)
  assert.deepEqual([memory.blocksLive, memory.blocksShared], [2, 0]) // 17 tokens in blocks of 16
  const [{ layers, ...group }, ...others] = memory.groups
  assert.deepEqual(others, [])
  assert.deepEqual(layers, [0, 1, 2, 3, 4, 5])
  const bytes = memory.cacheBytes / 3
  const blocks = { blocksLive: 2, blocksShared: 0, numBlocks: 2 }
  assert.deepEqual(group, { window: null, blockBytes: bytes, ...blocks })
  assert.deepEqual(plain, { status: 0, stdout: `${said.text}\n`, stderr: "" })
  assert.deepEqual([json.status, json.stderr], [0, ""])

  const { topLogits } = object(logits)
  assert.deepEqual(
    topLogits.map((top: ReadonlyArray<unknown>) => top.length),
    said.tokens.map(() => 3),
  )
  assert.deepEqual(topLogits.map(([[id]]: [[number]]) => id), said.tokens)
  for (const [[, a], [, b], [, c]] of topLogits) assert.ok(a >= b && b >= c)
})

test("generate shows the seed it drew, and says the same again with it", {
  timeout: 60_000,
}, async () => {
  const drawn = [opening, "--max-tokens", "12", "--device", "cpu"]
  const { stdout, stderr } = await run("generate", ...drawn)
  const [, seed] = /^seed (\d+)\n$/.exec(stderr)!
  const [again, json] = await Promise.all([
    run("generate", ...drawn, "--seed", seed!),
    run("generate", ...drawn, "--seed", seed!, "--json"),
  ])
  assert.deepEqual(again, { status: 0, stdout, stderr: "" })
  assert.deepEqual([object(json).seed, `${object(json).text}\n`], [Number(seed), stdout])
})

test("generate takes what stands after -- as text", { timeout: 60_000 }, async () => {
  const { status, stdout } = await run("generate", "--json", "--max-tokens", "1", "--", "--json")
  assert.equal(status, 0)
  assert.ok(JSON.parse(stdout).promptTokens.length > 2)
})

test("generate keeps what it said when it is interrupted, and ends with 130", {
  timeout: 60_000,
}, async () => {
  const interrupted = async (
    args: ReadonlyArray<string>,
    speaks: (child: Started["child"]) => Promise<void>,
  ) => {
    const { child, ended } = start(kvasir(["generate", ...long, ...args]))
    await speaks(child)
    // `child.kill` would make Deno report the signal and not the status.
    process.kill(child.pid!, "SIGINT")
    return ended
  }
  const begun = performance.now()
  const text = await interrupted(
    [],
    (child) => new Promise((resolve) => child.stdout.once("data", () => resolve())),
  )
  assert.deepEqual([text.status, text.stderr], [130, ""])
  assert.match(text.stdout, /\S[^]*\n$/)
  // The object comes last: nothing tells when the process speaks, and before it listens a signal ends it.
  const wait = performance.now() - begun
  const json = (longer: number) =>
    interrupted(["--json"], () => new Promise((resolve) => setTimeout(resolve, longer * wait)))
  let ended = await json(1)
  for (let longer = 1.5; ended.status === "SIGINT" && longer < 5; longer += 0.5) {
    ended = await json(longer)
  }
  assert.deepEqual([ended.status, ended.stderr], [130, ""])
  const { stopped, tokens, text: said } = object(ended)
  assert.deepEqual([stopped, tokens.length < 400], ["interrupted", true])
  const [a, b] = [text.stdout.slice(0, -1), said].sort((one, two) => one.length - two.length)
  assert.ok(b.startsWith(a), `${JSON.stringify(a)} does not begin ${JSON.stringify(b)}`)
})

test("kvasir ends in silence when its reader has gone", { timeout: 60_000 }, async () => {
  const reading = [
    kvasir(["generate", ...long]),
    kvasir(["generate", ...greedy, "--json"]),
    kvasir(["tokenize", "In the beginning God created the heaven and the earth"]),
  ].map((words) => {
    const quoted = words.map((word) => `'${word}'`).join(" ")
    return start(["sh", "-c", `{ ${quoted}; echo "status $?" >&2; } | head -c 5`]).ended
  })
  for (const { stdout, stderr } of await Promise.all(reading)) {
    assert.equal(stdout.length, 5)
    assert.equal(stderr, "status 0\n")
  }
})

const other = others.find(([program = "", ...words]) =>
  spawnSync(program, [...words.filter((word) => !/^(run|-A)$/.test(word)), "--version"], {
    timeout: 30_000,
  }).status === 0
)
const skip = other === undefined ? "the other runtime is not reachable" : false

test("generate says the same under Deno and Bun", { skip, timeout: 90_000 }, async () => {
  const words = [
    ["generate", ...long.slice(0, 3), "--max-tokens", "60", "--device", "cpu", "--json"],
    ["generate", ...greedy, "--json"],
  ]
  const said = (runtime: ReadonlyArray<string>) =>
    Promise.all(words.map(async (args) => {
      const { tokens, text } = object(await start(kvasir(args, runtime)).ended)
      return { tokens, text }
    }))
  assert.deepEqual(await said(other!), await said(command))
})
