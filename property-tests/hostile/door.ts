/**
 * What a hostile caller knocks at: functions that the package exports, each with arguments that work. Numbers in
 * them are found by walking the arguments, so an option that is added to an example is tried by itself.
 *
 * @module
 */
import type { Context, Effect, Result, Scope } from "effect"
import type { Arena, Gpu, Lease, Recording } from "../../mod.ts"

/** What an effect of a door may ask for. */
export type Services =
  | Recording
  | Recording.Transaction
  | Lease
  | Gpu
  | Scope.Scope

/** Whatever a function answers: a value, a Result or an Effect. */
export type Answer = unknown

/** One exported function. */
export interface Door {
  /** As in `mod.ts`: `KvCache.append`; what follows a space tells two examples of one function apart. */
  readonly name: string
  /** The function. Tables of functions of many types have no other type in common. */
  readonly call: (...given: Array<never>) => Answer
  /** Arguments that work, fresh for each call: nothing of a refused call may be in the next one. */
  readonly valid: () => ReadonlyArray<unknown>
  /** Is this answer right, where it is one? Besides what is asked of every answer. */
  readonly right?: (given: ReadonlyArray<unknown>, answer: unknown) => string | undefined
  /** It submits runs of its own, and may not be put in another. */
  readonly alone?: true
  /** It answers numbers and cannot refuse: what is no number of a thing that is not there. */
  readonly arithmetic?: true
}

/** The lease under which calls are made is opened anew for each of them. */
export type Owner = Context.Service.Shape<typeof Lease.Service>

/** Doors over the same values, and what must be as before after every call. */
export interface Room {
  readonly doors: ReadonlyArray<Door>
  /** Arenas whose books are watched; leases of calls are of the first. */
  readonly arenas: ReadonlyArray<Arena>
  /** Everything older, read back. */
  readonly read: Effect.Effect<unknown, unknown, Gpu>
}

/** A room is built on a device, and goes with the scope. */
export type Plan = Effect.Effect<Room, unknown, Gpu | Scope.Scope>

/** A door; types of arguments are checked where the example is written. */
export const door = <A extends ReadonlyArray<unknown>>(
  name: string,
  call: (...given: A) => Answer,
  valid: () => readonly [...A],
  more: Pick<Door, "alone" | "arithmetic"> & {
    readonly right?: (given: NoInfer<A>, answer: unknown) => string | undefined
  } = {},
): Door => ({ name, call, valid, ...more }) as unknown as Door

/** What succeeded, of a Result that must. */
export type Success<T> = T extends Result.Result<infer A, unknown> ? A : never
