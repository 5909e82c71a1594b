/**
 * The one shape of every effect on caches: check · pin · join · plan · claim · work · settle · hold · unpin.
 * Work is recorded, and the end of the transaction settles, holds and unpins.
 *
 * @module
 */
import { Deferred, Effect, Result } from "effect"
import { InvalidArgument, LeaseClosed, type OutOfBlocks, type StaleCache } from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import { type Claim, claim, finish, hold, settle } from "./Claim.ts"
import * as Lease from "./Lease.ts"
import * as Owner from "./Owner.ts"
import { owed, type Plan, plan, type Work } from "./Plan.ts"
import { endOf, type KvCache, type Node, view } from "./value.ts"

/** An effect in flight: an owner like any other, so nothing it reads or writes can be recycled. */
export interface Flight {
  readonly lease: Owner.Owner
  readonly owner: Owner.Owner
  readonly transaction: Recording.Open
  /** Values it touches: the lease holds them when the transaction lands. */
  readonly closure: ReadonlyArray<KvCache>
}

/** Why an effect on caches could not begin. */
export type CheckError = LeaseClosed | InvalidArgument | StaleCache

/** What an effect on caches needs around it. */
export type Needs = Lease.Lease | Recording.Recording | Recording.Transaction

/** What an effect touches: what its values grow from, their unrealised ancestors, and themselves. */
const closureOf = (values: ReadonlyArray<KvCache>): ReadonlyArray<KvCache> => [
  ...new Set([
    ...owed(values).flatMap((node) => {
      const base = node.base!
      // How much of a step stays is known when it lands; what grows from it sees no more than that.
      return node.rows === undefined
        ? [base]
        : [base, view(base.arena, node, endOf(node), base.starts)]
    }),
    ...values,
  ]),
]

/** A fiber that outlives its run would claim blocks that nobody settles. */
const endedError = ({ ended }: Recording.Open): InvalidArgument | undefined =>
  ended
    ? new InvalidArgument({
      name: "a recording",
      value: "one whose run is over",
      need: "open: what a run forks must end in it",
    })
    : undefined

/**
 * Checks and pins the values in one tick, then runs `work`. From here on they cannot become stale inside the
 * transaction. Checking and pinning are O(1) while the values are held.
 */
export const during = <A, E, R>(
  doing: string,
  values: ReadonlyArray<KvCache>,
  work: (flight: Flight) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | CheckError, R | Needs> =>
  Effect.flatMap(
    Effect.all([Lease.Service, Recording.Once]),
    ([lease, transaction]): Effect.Effect<A, E | CheckError, R> => {
      const bad = endedError(transaction) ?? Lease.refused(lease, new Set(values), doing)
      if (bad !== undefined) return Effect.fail(bad)
      const closure = closureOf(values)
      const owner = Owner.open(lease.arena, closure)
      let succeeded = false
      transaction.endings.push({
        refuses: () => lease.open ? undefined : new LeaseClosed({ doing }),
        settle: () => {},
        close: (landed) => {
          if (landed && succeeded) { for (const value of closure) hold(lease, value) }
          Owner.close(owner)
        },
      })
      return Effect.tap(
        work({ lease, owner, transaction, closure }),
        () => Effect.sync(() => succeeded = true),
      )
    },
  )

/** Would waiting for `busy` close a ring? Effects of one transaction may wait for several at once. */
const rings = (busy: Recording.Open, transaction: Recording.Open): boolean => {
  const seen = new Set([busy])
  for (const at of seen) for (const next of at.waitsFor) seen.add(next)
  return seen.has(transaction)
}

/** Waits until no other transaction is placing what these values owe. */
const join = (flight: Flight): Effect.Effect<void, InvalidArgument> =>
  Effect.suspend(() => {
    const { transaction } = flight
    const busy = owed(flight.closure)
      .find(({ pending }) => pending !== undefined && pending.transaction !== transaction)?.pending
    if (busy === undefined) return Effect.void
    if (rings(busy.transaction, transaction)) {
      const need = "in one realise, as two transactions wait for each other's claims"
      return Effect.fail(
        new InvalidArgument({ name: "the order of values", value: "a ring", need }),
      )
    }
    transaction.waitsFor.add(busy.transaction)
    return Deferred.await(busy.done).pipe(
      // Another effect of this transaction may wait for the same end: then it is over for both.
      Effect.ensuring(Effect.sync(() => transaction.waitsFor.delete(busy.transaction))),
      Effect.andThen(join(flight)),
    )
  })

/** What stays of a claim when its transaction lands; undefined is nothing. */
export interface Settlement {
  /** Rows kept of each node, all unless named. */
  readonly kept: ReadonlyMap<Node, number>
  /** Values that may remember that the lease holds them. */
  readonly values: ReadonlyArray<KvCache>
}

/** A claim as an ending of its transaction; the outcome is asked for when the transaction ends. */
const endsWith = (
  flight: Flight,
  doing: string,
  taken: Claim,
  outcome: () => Settlement | undefined,
): Recording.Ending => ({
  refuses: () => flight.lease.open ? undefined : new LeaseClosed({ doing }),
  settle: (landed) => {
    const { kept, values } = (landed ? outcome() : undefined) ?? { kept: undefined, values: [] }
    settle(taken, flight.lease, kept, values)
  },
  close: () => finish(taken),
})

/** A claim that was taken, and what the append kernel must do for it. */
export interface Taken {
  readonly claim: Claim
  readonly work: ReadonlyArray<Work>
}

/** Takes what a plan has decided: nothing may come between the two. */
export const takePlan = (
  flight: Flight,
  doing: string,
  decided: Plan,
  outcome: () => Settlement | undefined,
): Result.Result<Taken, InvalidArgument> => {
  const late = endedError(flight.transaction)
  if (late !== undefined) return Result.fail(late)
  const taken = claim(flight.transaction, flight.owner, decided)
  flight.transaction.endings.push(endsWith(flight, doing, taken, outcome))
  return Result.succeed({ claim: taken, work: decided.work })
}

/** Plans and claims nodes in one tick. */
export const take = (
  flight: Flight,
  doing: string,
  nodes: ReadonlyArray<Node>,
  outcome: () => Settlement | undefined,
): Result.Result<Taken, OutOfBlocks | InvalidArgument> =>
  Result.flatMap(
    plan(flight.lease.arena, nodes),
    (decided) => takePlan(flight, doing, decided, outcome),
  )

/**
 * Places what the flight's values still owe, none of it if one block is missing, and records the work in the
 * same tick.
 */
export const place = <E>(
  flight: Flight,
  doing: string,
  record: (work: ReadonlyArray<Work>) => Result.Result<void, E>,
): Effect.Effect<void, CheckError | OutOfBlocks | E> =>
  Effect.flatMap(
    join(flight),
    () =>
      Effect.suspend((): Effect.Effect<void, CheckError | OutOfBlocks | E> => {
        // Others moved on meanwhile.
        const bad = Lease.refused(flight.lease, flight.closure, doing)
        if (bad !== undefined) return Effect.fail(bad)
        const nodes = owed(flight.closure).filter(({ pending }) => pending === undefined)
        if (nodes.length === 0) return Effect.void
        const outcome = () => ({ kept: new Map<Node, number>(), values: flight.closure })
        const taken = take(flight, doing, nodes, outcome)
        return Effect.fromResult(
          Result.flatMap(taken, ({ work }): Result.Result<void, E> => record(work)),
        )
      }),
  )
