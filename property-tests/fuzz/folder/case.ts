/** A folder of a model with some of its files spoilt: opened, or refused with a type. @module */
import { Effect, Exit, Result, Scope } from "effect"
import assert from "node:assert/strict"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import type { Checkpoint } from "../../../lib/model/Checkpoint.ts"
import * as Folder from "../../../lib/model/Folder.ts"
import { smollm2 } from "../../model/chat.templates.ts"
import { folderOf } from "../../model/tiny.files.ts"
import { tinyGemma3, tinyLlama3, tinyQwen2 } from "../../model/tiny.ts"
import { guardedLater, type Outcome } from "../guard.ts"
import { anyText, damaged } from "../hostile.ts"
import { anyTree, bytesOf, spoilTree, treeOf } from "../json/tree.ts"
import type { Random } from "../random.ts"

/** Files by name; those of JSON as what they say. */
type Files = { readonly [name: string]: Uint8Array<ArrayBuffer> | unknown }

const models: ReadonlyArray<Files> = [
  { ...folderOf(tinyQwen2, { sharded: true }), "chat_template.jinja": smollm2 },
  folderOf(tinyLlama3),
  { ...folderOf(tinyGemma3, { sharded: true }), "generation_config.json": { eos_token_id: [1] } },
]

/** A folder that is there until it is closed. */
export interface Room {
  readonly path: string
  /** What its files hold when they are sound. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>
  readonly json: Files
  readonly close: () => void
}

/** Makes a folder of one of the tiny models. */
export const room = (which: number): Room => {
  const json = models[which % models.length]!
  const outer = mkdtempSync(join(tmpdir(), "kvasir-fuzz-"))
  const path = join(outer, "model")
  mkdirSync(path)
  const files = new Map(
    Object.entries(json).map(([name, content]) => {
      const bytes = content instanceof Uint8Array
        ? Uint8Array.from(content)
        : new TextEncoder().encode(
          typeof content === "string" ? content : JSON.stringify(content),
        )
      return [name, bytes] as const
    }),
  )
  // Beside the folder there are weights too, which are not its own.
  for (const [name, bytes] of files) {
    writeFileSync(join(path, name), bytes)
    if (name.endsWith(".safetensors")) writeFileSync(join(outer, name), bytes)
  }
  return { path, files, json, close: () => rmSync(outer, { recursive: true }) }
}

const shards = [
  "../model-0.safetensors",
  "/etc/passwd",
  "a/b.safetensors",
  "model-0.safetensors\0",
  ".safetensors",
  "config.json",
  "none.safetensors",
  "model-0.safetensors",
]

/** Spoils one file; gives what it holds then, `undefined` where it is gone or no file at all. */
const spoil = (random: Random, { path, files, json }: Room, name: string): string => {
  const at = join(path, name)
  const content = json[name]
  const isJson = name.endsWith(".json") && typeof content === "object"
  const write = (bytes: Uint8Array | string, how: string): string => {
    if (existsSync(at)) rmSync(at, { recursive: true })
    return writeFileSync(at, bytes), `${name}: ${how}`
  }
  switch (random.below(isJson ? 14 : 7)) {
    case 0:
      rmSync(at)
      return `${name}: gone`
    case 1:
      rmSync(at)
      mkdirSync(at)
      return `${name}: a folder`
    case 2:
      rmSync(at)
      symlinkSync(random.pick([name, "none", "/dev/null", "config.json"]), at)
      return `${name}: a link`
    case 3:
      return write(
        random.pick(["", "\0", "null", "[]", "{}", "\ufeff{}", anyText(random)]),
        "other",
      )
    case 4:
    case 5:
    case 6:
      return write(damaged(random, files.get(name)!), "damaged")
    case 7:
      return write(bytesOf(anyTree(random)), "anything")
    default: {
      const tree = treeOf(content)
      const how = random.oneIn(2) && name.endsWith("index.json")
        ? shardOf(random, tree)
        : spoilTree(random, tree, 40)
      return write(bytesOf(tree), how)
    }
  }
}

const shardOf = (random: Random, tree: ReturnType<typeof treeOf>): string => {
  if (typeof tree !== "object" || tree === null || !("pairs" in tree)) return "nothing"
  const map = tree.pairs.find(([name]) => name === "weight_map")?.[1]
  if (typeof map !== "object" || map === null || !("pairs" in map)) return "nothing"
  const [, old] = random.pick(map.pairs)
  const shard = random.oneIn(2) ? `../${old}` : random.pick(shards)
  for (const pair of map.pairs) if (pair[1] === old) pair[1] = shard
  return `a shard of ${JSON.stringify(shard)}`
}

const open = (path: string): Promise<Result.Result<Checkpoint, unknown>> =>
  Effect.runPromise(Effect.gen(function* () {
    const scope = yield* Scope.make()
    const result = yield* Effect.result(Scope.provide(Folder.open(path), scope))
    yield* Scope.close(scope, Exit.void)
    return result
  }))

/** Spoils one to three files, opens the folder, and puts the files back. */
export const check = async (
  random: Random,
  self: Room,
): Promise<{ readonly how: ReadonlyArray<string>; readonly outcome: Outcome<Checkpoint> }> => {
  const names = [...self.files.keys()]
  const chosen = new Set(Array.from({ length: 1 + random.below(2) }, () => random.pick(names)))
  const how = [...chosen].map((name) => spoil(random, self, name))
  try {
    const size = [...self.files.keys()].map((name) => join(self.path, name))
      .reduce((sum, at) => sum + (existsSync(at) ? sizeOf(at) : 0), 0)
    const outcome = await guardedLater(size, () => open(self.path))
    if (Result.isSuccess(outcome)) {
      for (const { offset, bytes, file } of outcome.success.tensors.values()) {
        assert.ok(dirname(file) === self.path, `${file} is outside the folder`)
        assert.ok(offset >= 0 && Number.isSafeInteger(offset + bytes))
      }
    }
    return { how, outcome }
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${how.join("\n")}`, {
      cause: error,
    })
  } finally {
    for (const name of chosen) {
      rmSync(join(self.path, name), { recursive: true, force: true })
      writeFileSync(join(self.path, name), self.files.get(name)!)
    }
  }
}

const sizeOf = (at: string): number => {
  try {
    return readFileSync(at).length
  } catch {
    return 0
  }
}
