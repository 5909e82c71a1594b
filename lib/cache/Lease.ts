/**
 * The ambient owner of blocks, bound to a scope: an effect that succeeds makes the lease it runs under hold
 * what it touched. A value that no open lease holds any more may fail with `StaleCache`; it never reads
 * another sequence's data.
 *
 * @module
 */
import { Context, Effect, type Scope } from "effect"
import { InvalidArgument, LeaseClosed, type StaleCache } from "../errors.ts"
import type { Arena } from "./Arena.ts"
import * as Ledger from "./Ledger.ts"
import * as Owner from "./Owner.ts"
import { stale } from "./stale.ts"
import { type KvCache, placed, reach } from "./value.ts"

/** Identifier of the service. */
export interface Lease {
  readonly "~kvasir/Lease": "provided by Lease.scoped or Lease.under"
}

/** The lease effects run under. */
export const Service: Context.Service<Lease, Owner.Owner> = Context.Service<Lease, Owner.Owner>(
  "kvasir/Lease",
)

/** Opens a lease for the life of the scope; closing the scope releases everything it holds. */
export const make = (arena: Arena): Effect.Effect<Owner.Owner, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => Owner.open(arena)),
    (lease) => Effect.sync(() => Owner.close(lease)),
  )

/** Runs an effect under a lease that somebody else's scope owns. */
export const under: (
  lease: Owner.Owner,
) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Lease>> = (
  lease,
) =>
(effect) => Effect.provideService(effect, Service, lease)

/**
 * Runs an effect under a lease of its own, and in a scope of its own: a request. When it ends, its blocks
 * are free and the tensors it made are gone.
 */
export const scoped: (
  arena: Arena,
) => <A, E, R>(
  effect: Effect.Effect<A, E, R>,
) => Effect.Effect<A, E, Exclude<Exclude<R, Lease>, Scope.Scope>> = (arena) => (effect) =>
  Effect.scoped(Effect.flatMap(make(arena), (lease) => under(lease)(effect)))

/** What a value must be for an effect under this lease: of its arena, and not stale. */
export const refused = (
  lease: Owner.Owner,
  values: Iterable<KvCache>,
  doing: string,
): LeaseClosed | InvalidArgument | StaleCache | undefined => {
  if (!lease.open) return new LeaseClosed({ doing })
  for (const value of values) {
    if (value.arena !== lease.arena) {
      const need = "a cache of the arena that the lease is of"
      return new InvalidArgument({ name: "a cache", value: "one of another arena", need })
    }
    const gone = stale(value)
    if (gone !== undefined) return gone
  }
}

const keepUnder = (
  lease: Owner.Owner,
  values: ReadonlyArray<KvCache>,
): LeaseClosed | InvalidArgument | StaleCache | undefined => {
  const bad = refused(lease, values, "keep values")
  if (bad !== undefined) return bad
  const { arena } = lease
  const reached = arena.ledgers.map(() => new Set<number>())
  for (const value of new Set(values.map(placed))) {
    for (const [group, ref] of reach(value)) reached[group]!.add(ref.id)
  }
  for (const [group, ids] of reached.entries()) {
    for (const id of ids) Ledger.retain(arena.ledgers[group]!, lease.held[group]!, id)
  }
  Owner.pinAll(arena) // somebody is about to let go
  for (const [group, held] of lease.held.entries()) {
    const dropped = [...held].filter((id) => !reached[group]!.has(id))
    if (dropped.length > 0) lease.epoch++
    Owner.letGo(lease, group, dropped)
  }
  for (const value of values) placed(value).held = { owner: lease, epoch: lease.epoch }
}

/**
 * Makes the lease hold exactly what these values reach, and frees the rest: how a tree search prunes and a
 * window lets its blocks go. Values placed under this lease but not named here may become stale, unless
 * another lease holds them. Never waits. O(blocks held + blocks reached): call it about once a block of
 * tokens, not once a token.
 */
export const keep = (
  values: ReadonlyArray<KvCache>,
): Effect.Effect<void, LeaseClosed | InvalidArgument | StaleCache, Lease> =>
  Effect.flatMap(Service, (lease) =>
    Effect.suspend(() => {
      const bad = keepUnder(lease, values)
      return bad === undefined ? Effect.void : Effect.fail(bad)
    }))
