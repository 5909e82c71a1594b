/** Histories and conversations that outlive their process. @module */
import { Effect, Result, Schema, type Scope } from "effect"
import type { Arena } from "../cache/Arena.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Lease from "../cache/Lease.ts"
import { sha256 } from "../cache/snapshot/hash.ts"
import type { Gpu } from "../device/service.ts"
import { read } from "../device/transfer.ts"
import {
  type ArenaTooLarge,
  BadSnapshot,
  type DeviceError,
  type InvalidArgument,
  type StaleTensor,
} from "../errors.ts"
import * as Snapshot from "../snapshot/Snapshot.ts"
import { type Matrix, partsOf } from "../tensor/Matrix.ts"
import { type Conversation, converse, type ConverseOptions } from "./conversation.ts"
import type { History } from "./generate.ts"
import type { Llama } from "./load.ts"

/** How a model is told from others. */
export interface FingerprintOptions {
  /** What tells models apart that are alike but for their matrices, as the name of a fine-tuning. */
  readonly salt?: string
}

/** A weight as files store it: a device may have it in tiles and in parts. */
const stored = (name: string, weight: Matrix<string>) => {
  const { dtype } = partsOf(weight)[0]!
  return [name, dtype.replace("_tiled", ""), weight.shape] as const
}

/**
 * What tells a model's rows from those of others: a SHA-256 of its family, its sizes and constants, the names, dtypes
 * and shapes of its tensors, and the numbers of two norms. The same on every device and under every path. Matrices
 * are not read: for models that differ in nothing else (adapters merged into one model), say a `salt`. Two small
 * reads.
 */
export const fingerprint = (
  { config, weights }: Llama,
  { salt = "" }: FingerprintOptions = {},
): Effect.Effect<string, DeviceError | StaleTensor, Gpu> =>
  Effect.gen(function* () {
    const { name: _, family, ...constants } = config
    const layers = weights.layers.flatMap((layer, i) =>
      Object.entries(layer).map(([name, weight]) => stored(`${i}.${name}`, weight))
    )
    const said = {
      salt,
      family: family.architecture,
      constants: Object.entries(constants).sort(([a], [b]) => a < b ? -1 : 1),
      tensors: [stored("embed", weights.embed), stored("head", weights.head), ...layers].sort(),
    }
    const norms = [yield* read(weights.norm), yield* read(weights.layers.at(-1)!.ffn_norm)]
    return sha256(
      new TextEncoder().encode(JSON.stringify(said)),
      ...norms.map(({ buffer, byteOffset, byteLength }) =>
        new Uint8Array(buffer, byteOffset, byteLength)
      ),
    )
  })

/** Saves a history: its cache, its tokens and its model. The ambient lease holds the cache. See `Snapshot.save`. */
export const saveHistory = (
  llama: Llama,
  folder: string,
  name: string,
  { cache, tokens }: History,
  options: FingerprintOptions & Pick<Snapshot.About, "note"> = {},
): Effect.Effect<Snapshot.Saved, Snapshot.SaveError, Gpu | Lease.Lease> =>
  Effect.flatMap(fingerprint(llama, options), (model) => {
    const { note = "" } = options
    return Snapshot.save(folder, name, cache, { tokens, model, note })
  })

const restoreFrom = (
  llama: Llama,
  arena: Arena,
  snapshot: Snapshot.Snapshot,
  options: FingerprintOptions,
): Effect.Effect<History, Snapshot.RestoreError, Gpu | Lease.Lease> =>
  Effect.gen(function* () {
    const model = yield* fingerprint(llama, options)
    const { cache, tokens } = yield* Snapshot.restore(arena, snapshot, { model })
    if (tokens.length === cache.length) return { cache, tokens }
    const reason = "it does not say which tokens it is of"
    return yield* new BadSnapshot({ file: snapshot.file, offset: 0, reason })
  })

/**
 * The history that was saved under a name, in this arena: it goes on with the tokens that it would have gone on with.
 * A snapshot of another model or layout is a `LayoutMismatch`. The ambient lease holds its cache.
 */
export const restoreHistory = (
  llama: Llama,
  arena: Arena,
  folder: string,
  name: string,
  options: FingerprintOptions = {},
): Effect.Effect<
  History,
  Snapshot.RestoreError | InvalidArgument,
  Gpu | Lease.Lease
> =>
  Effect.flatMap(
    Snapshot.open(folder, name),
    (snapshot) => restoreFrom(llama, arena, snapshot, options),
  )

const Said = Schema.fromJsonString(Schema.Struct({
  kind: Schema.Literal("conversation"),
  system: Schema.NullOr(Schema.String),
  messages: Schema.Array(Schema.Struct({
    role: Schema.Literals(["system", "user", "assistant"]),
    content: Schema.String,
  })),
}))

/**
 * Saves a conversation: what was said, and the cache of it. Where its blocks had to make room for another answer, what
 * was said is saved alone (`blocks` is 0 then), and read again when the conversation goes on: as here, so there. See
 * `Snapshot.save`.
 */
export const saveConversation = (
  conversation: Conversation,
  folder: string,
  name: string,
  options: FingerprintOptions = {},
): Effect.Effect<Snapshot.Saved, Snapshot.SaveError, Gpu> => {
  const { llama, lease, history, messages, system = null } = conversation
  const note = JSON.stringify({ kind: "conversation", system, messages })
  const save = (history: History) =>
    Lease.under(lease)(saveHistory(llama, folder, name, history, { ...options, note }))
  const unread: History = { cache: KvCache.empty(history.cache.arena), tokens: [] }
  return Effect.catchTag(save(history), "StaleCache", () => save(unread))
}

/**
 * The conversation that was saved under a name: nothing that was saved is read again. Its cache belongs to the scope.
 */
export const restoreConversation = (
  llama: Llama,
  folder: string,
  name: string,
  options: FingerprintOptions & Omit<ConverseOptions, "system"> = {},
): Effect.Effect<
  Conversation,
  Snapshot.RestoreError | ArenaTooLarge | InvalidArgument,
  Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const snapshot = yield* Snapshot.open(folder, name)
    const said = Schema.decodeUnknownResult(Said)(snapshot.header.note)
    if (Result.isFailure(said)) {
      const reason = "it is of a cache, and of no conversation"
      return yield* new BadSnapshot({ file: snapshot.file, offset: 0, reason })
    }
    const { system, messages } = said.success
    const start = yield* converse(llama, { ...options, ...(system !== null && { system }) })
    const { lease, history: { cache: { arena } } } = start
    const history = yield* Lease.under(lease)(restoreFrom(llama, arena, snapshot, options))
    return { ...start, messages, history }
  })
