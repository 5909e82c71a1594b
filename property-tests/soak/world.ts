/** What a soak's operations find, and leave for the next ones. @module */
import { Effect, Exit, Result, Scope } from "effect"
import { type Arena, type Gpu, KvCache, Lease, type Llama, Program } from "../../mod.ts"

/** A sequence under a lease of its own. */
export interface Branch {
  readonly scope: Scope.Closeable
  readonly lease: Parameters<typeof Lease.under>[0]
  cache: KvCache
  tokens: ReadonlyArray<number>
}

/** A conversation, and what owns its cache. */
export interface Talk {
  readonly scope: Scope.Closeable
  conversation: Llama.Conversation
}

/** A place for operations, until its scope closes. */
export interface World {
  readonly llama: Llama
  readonly arena: Arena
  /** For snapshots. */
  readonly folder: string
  /** Draws a number below n. */
  readonly pick: (n: number) => number
  readonly branches: Array<Branch>
  readonly talks: Array<Talk>
  /** Tokens of the snapshots in the folder, by name; it outlives the world. */
  readonly saved: Map<string, ReadonlyArray<number>>
}

/** One of them. */
export const one = <T>({ pick }: World, list: ReadonlyArray<T>): T | undefined =>
  list.length === 0 ? undefined : list[pick(list.length)]

/** Ids of the vocabulary's words, in no order. */
export const ids = ({ pick, llama }: World, n: number): ReadonlyArray<number> =>
  Array.from({ length: n }, () => 300 + pick(llama.config.vocab - 300))

/** Opens a branch over a cache that is readable now. */
export const open = (
  world: World,
  cache: KvCache,
  tokens: ReadonlyArray<number>,
): Effect.Effect<Branch, KvCache.RealizeError | Program.RunError, Gpu> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const lease = yield* Scope.provide(Lease.make(world.arena), scope)
    const branch = { scope, lease, cache, tokens }
    world.branches.push(branch)
    const hold = Lease.under(lease)(Program.run(KvCache.realize([cache])))
    yield* Effect.scoped(hold)
    return branch
  })

/** Closes a branch: its blocks are free, unless another holds them. */
export const close = (world: World, branch: Branch): Effect.Effect<void> =>
  Effect.suspend(() => {
    world.branches.splice(world.branches.indexOf(branch), 1)
    return Scope.close(branch.scope, Exit.void)
  })

/** Ends a conversation. */
export const hangUp = (world: World, talk: Talk): Effect.Effect<void> =>
  Effect.suspend(() => {
    world.talks.splice(world.talks.indexOf(talk), 1)
    return Scope.close(talk.scope, Exit.void)
  })

/** Closes everything. */
export const end = (world: World): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (const branch of [...world.branches]) yield* close(world, branch)
    for (const talk of [...world.talks]) yield* hangUp(world, talk)
  })

/** The empty cache, or the one of a branch cut somewhere. */
export const start = (
  world: World,
  branch: Branch | undefined,
): { readonly cache: KvCache; readonly tokens: ReadonlyArray<number> } => {
  if (branch === undefined) return { cache: KvCache.empty(world.arena), tokens: [] }
  const length = world.pick(branch.tokens.length + 1)
  const cache = Result.getOrThrow(KvCache.truncate(branch.cache, length))
  return { cache, tokens: branch.tokens.slice(0, length) }
}
