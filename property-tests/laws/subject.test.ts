/** The laws on somebody else's cache: a sound one keeps all ten, and each mistake breaks the law it is made for. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { AttentionState } from "../../mod.ts"
import {
  check,
  Laws,
  laws,
  type Name,
  ProgramFailed,
  Refused,
  type Subject,
  subject,
} from "../../testing/mod.ts"

/** Blocks of a pool, as they were given. */
interface Place {
  readonly ids: ReadonlyArray<number>
  readonly generations: ReadonlyArray<number>
}

/** Rows in the host's memory until somebody holds them; then they lie in the pool. */
interface Cache {
  readonly length: number
  rows: Array<number> | undefined
  place: Place
}

const [size, numBlocks, capacity, poison] = [3, 12, 12, 999] as const

const state = (row: number): AttentionState => ({ lse: row % 5, out: [row % 7] })

/** A pool whose caches share nothing, with one mistake. */
const pool = (mistake: Name | undefined) => (): Subject<Cache> => {
  const memory = new Array<number>(numBlocks * size).fill(0)
  const generation = new Array<number>(numBlocks).fill(0)
  const references = new Array<number>(numBlocks).fill(0)
  let free = generation.map((_, id) => id)
  const make = (rows: ReadonlyArray<number>): Cache => ({
    length: rows.length,
    rows: [...rows],
    place: { ids: [], generations: [] },
  })
  const slots = ({ place: { ids }, rows, length }: Cache): ReadonlyArray<number> =>
    rows !== undefined
      ? []
      : Array.from({ length }, (_, i) => ids[Math.floor(i / size)]! * size + i % size)
  const rowsOf = (cache: Cache): Array<number> => {
    if (cache.rows !== undefined) return cache.rows
    const { ids, generations } = cache.place
    if (ids.some((id, i) => generation[id] !== generations[i])) throw new Refused("stale")
    const seen = slots(cache).map((slot) => memory[slot]!)
    // Looks where it may not.
    const peeks = mistake === "inertness" && memory[free[0]! * size] === poison
    return peeks || mistake === "oneOracle" && seen.length > 2 ? seen.reverse() : seen
  }
  const place = (cache: Cache): void => {
    if (cache.rows === undefined) return
    const needed = Math.ceil(cache.length / size)
    if (needed > free.length) {
      if (mistake === "atomicity") free = free.slice(1)
      throw new Refused("full")
    }
    const ids = free.slice(0, needed)
    if (mistake !== "writeOnce") free = free.slice(needed)
    cache.rows.forEach((row, i) => memory[ids[Math.floor(i / size)]! * size + i % size] = row)
    cache.place = { ids, generations: ids.map((id) => generation[id]!) }
    cache.rows = undefined
  }
  const release = (id: number): void => {
    if (--references[id]! > 0) return
    generation[id]!++
    free.push(id)
  }
  return {
    empty: make([]),
    capacity,
    append: (cache, more) => {
      const rows = rowsOf(cache)
      if (rows.length + more.length > capacity) throw new Refused("full")
      if (mistake === "persistence" && cache.rows !== undefined && cache.length > 0) rows[0]!++
      return make([...rows, ...more])
    },
    truncate: (cache, length) => {
      const rows = rowsOf(cache)
      const outside = length < 0 || length > rows.length
      if (outside && mistake !== "noSilentCorruption") throw new Refused("out of range")
      return make(rows.slice(0, Math.max(0, length)))
    },
    write: (cache, at, rows) => {
      const old = rowsOf(cache)
      if (at > old.length) throw new Refused("out of range")
      if (at + rows.length > capacity) throw new Refused("full")
      return make([...old.slice(0, at), ...rows, ...old.slice(at + rows.length)])
    },
    read: (caches) => {
      const read = caches.map((cache) => [...rowsOf(cache)])
      return mistake === "batchInvariance" ? read.map(() => read[0]!) : read
    },
    open: () => {
      let held = new Set<number>()
      let open = true
      const reached = (caches: ReadonlyArray<Cache>): Set<number> => {
        if (!open) throw new Refused("closed")
        caches.forEach(rowsOf)
        const before = free.length
        const owing = new Set(caches.filter(({ rows }) => rows !== undefined))
        const needed = [...owing].reduce((sum, one) => sum + Math.ceil(one.length / size), 0)
        if (needed > before && mistake !== "atomicity") throw new Refused("full")
        caches.forEach(place)
        return new Set(caches.flatMap(({ place: { ids } }) => ids))
      }
      const take = (ids: ReadonlySet<number>): void => {
        for (const id of ids) if (!held.has(id)) references[id]! += 1
        held = new Set([...held, ...ids])
      }
      return {
        hold: (caches) => {
          const ids = reached(caches)
          if (mistake === "conservation") free.push(...ids)
          take(ids)
        },
        keep: (caches) => {
          const ids = reached(caches)
          take(ids)
          for (const id of [...held]) if (!ids.has(id)) release(id)
          held = ids
        },
        close: () => {
          open = false
          for (const id of mistake === "noLeak" ? [...held].slice(1) : held) release(id)
          held.clear()
        },
      }
    },
    account: () => ({ free: [...free], references: [...references] }),
    slots,
    poison: () => {
      for (const id of free) memory.fill(poison, id * size, (id + 1) * size)
    },
    attend: (cache, from, to) => {
      const { lse, out } = AttentionState.reducer.combineAll(
        rowsOf(cache).slice(from, to).map(state),
      )
      return { lse: mistake === "merge" ? 0 : lse, out }
    },
    save: (cache) => [...rowsOf(cache)],
    restore: (saved) => make(saved as ReadonlyArray<number>),
  }
}

const options = { runs: 300, seed: 1, maxCommands: 30 }

test("check() finds that a sound subject keeps all ten laws, and that each was checked", async () => {
  const findings = await check(subject("sound", pool(undefined)), options)
  assert.deepEqual(findings.map(({ law }) => law), laws)
  assert.deepEqual(findings.filter(({ because }) => because !== undefined), [])
})

for (const { name, number } of laws) {
  test(`check() finds what breaks law ${number}, ${name}, and only asks for what it is told`, async () => {
    const bad = subject("bad", pool(name))
    const failed: unknown = await check(bad, { ...options, laws: [Laws[name]] })
      .then(() => {}, (error) => error)
    assert.ok(failed instanceof ProgramFailed, `${name} is not noticed`)
    assert.equal(failed.cause.law, name)
  })
}

test("check() says of each law that a subject cannot answer why it was not checked", async () => {
  type List = ReadonlyArray<number>
  const lists = subject("lists", () => ({
    empty: [] as List,
    append: (list: List, rows: List) => [...list, ...rows],
    read: (all: ReadonlyArray<List>) => all,
  }))
  const findings = await check(lists, { runs: 30, seed: 1 })
  const not = findings.flatMap(({ law, because }) => because === undefined ? [] : [law.name])
  const missing: ReadonlyArray<Name> = [
    ...["writeOnce", "conservation", "atomicity", "merge", "inertness", "noLeak"] as const,
  ]
  assert.deepEqual(not, missing)
  for (const { because } of findings) assert.ok(because === undefined || because.length > 10)
})
