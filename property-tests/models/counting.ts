/**
 * Counts what the book-keeping of an arena does: references taken, and blocks looked at.
 *
 * @module
 */
import type { Arena } from "../../mod.ts"

/** Counts since the arena was watched. */
export interface Counts {
  /** References taken by leases and effects. */
  retained: number
  /** Times anybody asked about one block: whether it is held, its generation or its mark. */
  looked: number
}

type Owner = Arena["owners"] extends Set<infer O> ? O : never

/** Watches an arena from now on. */
export const watch = (arena: Arena): Counts => {
  const counts: Counts = { retained: 0, looked: 0 }
  const held = (ids: Set<number>): void => {
    ids.add = (id) => (counts.retained++, Set.prototype.add.call(ids, id) as typeof ids)
    ids.has = (id) => (counts.looked++, Set.prototype.has.call(ids, id))
  }
  const owner = (one: Owner): void => one.held.forEach(held)
  arena.owners.forEach(owner)
  const { owners } = arena
  owners.add = (one) => (owner(one), Set.prototype.add.call(owners, one) as typeof owners)
  for (const ledger of arena.ledgers) {
    for (const name of ["generation", "fill"] as const) {
      const column = ledger[name]
      const watched = new Proxy(column, {
        get: (_, key) => {
          counts.looked++
          const value: unknown = Reflect.get(column, key, column)
          return typeof value === "function" ? value.bind(column) : value
        },
        set: (_, key, value) => Reflect.set(column, key, value, column),
      })
      Object.defineProperty(ledger, name, { value: watched })
    }
  }
  return counts
}
