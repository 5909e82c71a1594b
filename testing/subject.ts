/** A cache of one's own, as little of it as the laws can work with. @module */
import type { AttentionState } from "../mod.ts"

/** What a subject says when it cannot do what it is asked for; it throws it, or rejects with it. */
export class Refused extends Error {
  /** `Refused`. */
  override readonly name = "Refused"
  /** `stale`: the value is held by nobody any more. */
  readonly reason: "out of range" | "full" | "stale" | "closed"
  /** Why it cannot be done. */
  constructor(reason: Refused["reason"]) {
    super(`Cannot do this as it is ${reason}`)
    this.reason = reason
  }
}

/** What a subject answers: now or later. */
export type Answer<A> = A | Promise<A>

/** Somebody for whom values stay readable. */
export interface Holder<Cache> {
  /** Places caches and holds them from now on, besides others. */
  readonly hold: (caches: ReadonlyArray<Cache>) => Answer<void>
  /** Holds these and no others. */
  readonly keep: (caches: ReadonlyArray<Cache>) => Answer<void>
  /** Lets go of all. */
  readonly close: () => Answer<void>
}

/** The books of a subject whose rows lie in blocks. */
export interface Account {
  /** Blocks that may be taken. */
  readonly free: ReadonlyArray<number>
  /** How often each block is held. */
  readonly references: ReadonlyArray<number>
}

/**
 * A cache under test. Rows are whole numbers, each given once; a cache is a value, so whatever makes a new one
 * leaves the old one as it is. The first three members are enough; each of the others lets a law be checked, or
 * more commands be played. What is left out is reported as not checked.
 */
export interface Subject<Cache> {
  /** The cache without rows. */
  readonly empty: Cache
  /** The cache with these rows after its own. */
  readonly append: (cache: Cache, rows: ReadonlyArray<number>) => Answer<Cache>
  /** The rows of several caches, in one batch. */
  readonly read: (caches: ReadonlyArray<Cache>) => Answer<ReadonlyArray<ReadonlyArray<number>>>
  /** Replaces rows from position `at` on; they may reach past the end. */
  readonly write?: (cache: Cache, at: number, rows: ReadonlyArray<number>) => Answer<Cache>
  /** Its first `length` rows. */
  readonly truncate?: (cache: Cache, length: number) => Answer<Cache>
  /** Without its first rows: it reads as what is left. */
  readonly drop?: (cache: Cache, count: number) => Answer<Cache>
  /** Most rows of a cache; it refuses more. */
  readonly capacity?: number
  /** Opens a holder. Without it, every value is readable for good. */
  readonly open?: () => Answer<Holder<Cache>>
  /** For laws 3, 4 and 10. */
  readonly account?: () => Account
  /** Where each row of a cache lies, for law 2. */
  readonly slots?: (cache: Cache) => Answer<ReadonlyArray<number>>
  /** Overwrites all memory that no cache may see, for law 8. */
  readonly poison?: () => Answer<void>
  /** Attention of one query over positions `[from, to)`, for law 7. */
  readonly attend?: (cache: Cache, from: number, to: number) => Answer<AttentionState>
  /** To something that outlives it, and back. */
  readonly save?: (cache: Cache) => Answer<unknown>
  /** The cache that was saved. */
  readonly restore?: (saved: unknown) => Answer<Cache>
}
