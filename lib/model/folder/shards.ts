/**
 * The weight files of a folder: `model.safetensors`, or the shards that an index names.
 *
 * @module
 */
import { Effect, Result, type Scope } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { BadModelFile } from "../../errors.ts"
import { quote } from "../gguf/bytes.ts"
import * as Source from "../gguf/Source.ts"
import type { TensorInfo } from "../gguf/tensors.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"
import * as Safetensors from "../Safetensors.ts"

/** A tensor, and the open file that it is in. */
export interface Located extends TensorInfo {
  readonly source: Source.Source
}

/** A name in the folder itself, and not a way out of it. */
const plain = /^[A-Za-z0-9][A-Za-z0-9._-]{0,251}\.safetensors$/

type Opened = Effect.Effect<ReadonlyArray<Located>, Safetensors.OpenError, Scope.Scope>

const openFile = (path: string): Opened =>
  Effect.gen(function* () {
    const source = yield* Source.file(path)
    const { tensors } = yield* Safetensors.open(source)
    return Array.from(tensors.values(), (info) => ({ ...info, source }))
  })

/** Tensor by tensor the shard it is in. */
const weightMap = (index: Document): Result.Result<ReadonlyMap<string, string>, BadModelFile> =>
  Result.gen(function* () {
    const map = yield* Get.object(index, "weight_map")
    const out = new Map<string, string>()
    for (const [name, shard] of map.keys) {
      if (typeof shard !== "string" || !plain.test(shard)) {
        const need = "the name of a .safetensors file beside it is needed"
        return yield* Get.bad(map, name, `is ${Get.show(shard)}: ${need}`)
      }
      out.set(name, shard)
    }
    const shards = new Set(out.values()).size
    const { limits } = Safetensors
    return shards > limits.shards
      ? yield* Get.bad(
        index,
        "weight_map",
        `has ${shards} files: over limits.shards, ${limits.shards}`,
      )
      : out
  })

/** Each tensor must be in the shard that the index says, and only there. */
const openIndex = (folder: string, path: string): Opened =>
  Effect.gen(function* () {
    const index = yield* Get.file(path)
    const map = yield* Effect.fromResult(weightMap(index))
    const out: Array<Located> = []
    for (const shard of new Set(map.values())) {
      const tensors = yield* openFile(join(folder, shard))
      for (const { name, source, offset } of tensors) {
        if (map.get(name) === shard) continue
        const reason = `tensor ${quote(name)} is in this file, and not so in ${path}`
        return yield* new BadModelFile({ file: source.name, offset, reason })
      }
      const here = new Set(tensors.map(({ name }) => name))
      for (const [name, of] of map) {
        if (of !== shard || here.has(name)) continue
        const reason = `tensor ${quote(name)} should be in ${shard}, and is not`
        return yield* new BadModelFile({ file: path, offset: index.offset("weight_map"), reason })
      }
      for (const tensor of tensors) out.push(tensor)
    }
    return out
  })

/** Every tensor of a folder; its files stay open until the scope closes. */
export const open = (folder: string): Opened => {
  const whole = join(folder, "model.safetensors")
  const index = join(folder, "model.safetensors.index.json")
  if (existsSync(whole)) return openFile(whole)
  if (existsSync(index)) return openIndex(folder, index)
  const reason = "it has neither model.safetensors nor model.safetensors.index.json"
  return Effect.fail(new BadModelFile({ file: folder, offset: 0, reason }))
}
