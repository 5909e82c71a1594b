/** A subject under test, and a list of rows beside each of its values. @module */
import { AttentionState } from "../mod.ts"
import type { Act } from "./acts.ts"
import { count, must, type Tally } from "./laws.ts"
import type { Player } from "./player.ts"
import { type Answer, type Holder, Refused, type Subject } from "./subject.ts"

/** A cache, and the rows it must read as. */
interface Value<Cache> {
  readonly cache: Cache
  readonly rows: ReadonlyArray<number>
  /** Rows before those it reads as. */
  readonly dropped: number
  /** Has it been read as it must be? */
  read: boolean
}

interface Guard<Cache> {
  readonly holder: Holder<Cache>
  held: Set<Value<Cache>>
  open: boolean
}

const same = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length === b.length && a.every((x, i) => x === b[i])

/** Weighted means and logarithms of moderate numbers, in whatever precision the subject has. */
const merging = 1e-4

/** A player of a subject. */
export const playerOf = <Cache>(subject: Subject<Cache>, tally: Tally): Player => {
  const values: Array<Value<Cache>> = [{ cache: subject.empty, rows: [], dropped: 0, read: false }]
  const guards: Array<Guard<Cache>> = []
  const capacity = subject.capacity ?? Infinity
  let nextRow = 0

  const at = (i: number): Value<Cache> => values[values.length - 1 - i % values.length]!
  const fresh = (n: number): ReadonlyArray<number> => Array.from({ length: n }, () => nextRow++)
  const account = (): string => JSON.stringify(subject.account?.())
  const guard = async (i: number): Promise<Guard<Cache>> => {
    const open = guards.filter(({ open }) => open)
    if (open.length > 0) return i < 0 ? guards[0]! : open[i % open.length]!
    const made = { holder: await subject.open!(), held: new Set<Value<Cache>>(), open: true }
    guards.push(made)
    return made
  }
  const alive = (value: Value<Cache>): boolean =>
    subject.open === undefined || guards.some(({ open, held }) => open && held.has(value))

  /** What it answers, or undefined if it refuses; it may for these reasons only, and changes nothing then. */
  const asked = async <A>(
    ask: () => Answer<A>,
    reasons: ReadonlyArray<Refused["reason"]>,
    needed = false,
  ): Promise<{ readonly answer: A } | undefined> => {
    const before = account()
    const law = (holds: boolean, detail: string): void =>
      must(tally, "noSilentCorruption", holds, detail)
    try {
      const answer = await ask()
      law(!needed, `it did what it must refuse as ${reasons.join(" or ")}`)
      return { answer }
    } catch (error) {
      if (!(error instanceof Refused)) {
        // A law that broke in here is no refusal of the subject's.
        if (error instanceof Error && error.name === "LawBroken") throw error
        return law(false, `it threw ${String(error)}`) ?? undefined
      }
      count(tally, `refused ${error.reason}`)
      law(reasons.includes(error.reason), `there is no reason for: ${error.message}`)
      if (before === undefined) return
      must(tally, "atomicity", account() === before, "what was refused changed the books")
    }
  }

  const full: ReadonlyArray<Refused["reason"]> = subject.account === undefined ? [] : ["full"]
  const stale = (of: ReadonlyArray<Value<Cache>>): ReadonlyArray<Refused["reason"]> =>
    of.every(alive) ? [] : ["stale"]

  /** One value more, unless it is refused. */
  const grown = async (
    from: Value<Cache>,
    expected: Refused["reason"] | undefined,
    rows: ReadonlyArray<number>,
    dropped: number,
    ask: () => Answer<Cache>,
  ): Promise<Value<Cache> | undefined> => {
    const why = expected === undefined ? full : [expected]
    const reasons = [...why, ...stale([from])]
    const made = await asked(ask, reasons, expected !== undefined)
    if (made === undefined) return
    const value = { cache: made.answer, rows, dropped, read: false }
    values.push(value)
    await reads([value])
    return value
  }
  const append = (from: Value<Cache>, n: number): Promise<Value<Cache> | undefined> => {
    const rows = fresh(n)
    const over = from.dropped + from.rows.length + n > capacity
    const all = [...from.rows, ...rows]
    return grown(
      from,
      over ? "full" : undefined,
      all,
      from.dropped,
      () => subject.append(from.cache, rows),
    )
  }
  const truncate = (from: Value<Cache>, length: number): Promise<unknown> => {
    const outside = length < 0 || length > from.rows.length
    return grown(
      from,
      outside ? "out of range" : undefined,
      from.rows.slice(0, Math.max(0, length)),
      from.dropped,
      () => subject.truncate!(from.cache, length),
    )
  }

  /** Reads values, each of them alone or all in one batch. */
  const reads = async (of: ReadonlyArray<Value<Cache>>): Promise<boolean> => {
    const got = await asked(() => subject.read(of.map(({ cache }) => cache)), stale(of))
    if (got === undefined) return false
    for (const [i, value] of of.entries()) {
      const right = same(got.answer[i] ?? [], value.rows)
      // What was right once must stay so.
      const law = of.length > 1 ? "batchInvariance" : value.read ? "persistence" : "oneOracle"
      must(tally, law, right, () => `a value reads as [${got.answer[i]}], not [${value.rows}]`)
      value.read = true
    }
    return true
  }

  const books = (): void => {
    if (subject.account === undefined) return
    const { free, references } = subject.account()
    const law = (holds: boolean, detail: string): void => must(tally, "conservation", holds, detail)
    law(new Set(free).size === free.length, "a block is free twice")
    for (const [block, held] of references.entries()) {
      law(free.includes(block) === (held === 0), `block ${block} is held ${held} times, or free`)
    }
    if (subject.open === undefined || guards.some(({ open }) => open)) return
    const left = references.length - free.length
    must(tally, "noLeak", left === 0, `${left} blocks are taken, and nobody is there to hold them`)
  }

  const act = async (act: Act, i: number): Promise<void> => {
    switch (act.kind) {
      case "realize": {
        if (subject.open === undefined) return
        const of = act.values.map(at)
        const { holder, held, open } = await guard(i)
        const reasons = [...open ? full : ["closed" as const], ...stale(of)]
        const done = await asked(() => holder.hold(of.map(({ cache }) => cache)), reasons, !open)
        if (done !== undefined) { for (const value of of) held.add(value) }
        return
      }
      case "make":
        return void await append(at(act.value), act.count)
      case "step": {
        const of = act.rows.map(({ value }) => at(value))
        for (const [i, { count, kept }] of act.rows.entries()) {
          const grown = await append(of[i]!, count)
          if (grown === undefined || subject.truncate === undefined) continue
          await truncate(grown, grown.rows.length - count + Math.min(kept, count))
        }
        return
      }
      default:
        return void await reads([at(act.value)])
    }
  }

  const nothing = (): Promise<void> => Promise.resolve()
  return {
    before: () => {},
    check: async () => {
      books()
      const readable: Array<Value<Cache>> = []
      for (const value of values) if (await reads([value])) readable.push(value)
      if (readable.length > 1) await reads(readable)
      if (subject.slots !== undefined) {
        const seen = new Map<number, number>()
        for (const { cache, rows } of readable) {
          for (const [i, slot] of (await subject.slots(cache)).entries()) {
            const other = seen.get(slot) ?? rows[i]
            const detail = `two values see rows ${other} and ${rows[i]} in slot ${slot}`
            must(tally, "writeOnce", other === rows[i], detail)
            seen.set(slot, rows[i]!)
          }
        }
      }
      if (subject.poison === undefined) return
      await subject.poison()
      for (const { cache, rows } of readable) {
        const [got = []] = await subject.read([cache])
        must(tally, "inertness", same(got, rows), () => `over poison a value reads as [${got}]`)
      }
    },
    end: async () => {
      for (const { holder, open } of guards) if (open) await holder.close()
      for (const one of guards) one.open = false
      books()
    },
    append: async (i, n) => void await append(at(i), n),
    write: async (i, back, n) => {
      const from = at(i)
      const position = Math.max(0, from.rows.length - back)
      const rows = fresh(n)
      const over = from.dropped + position + n > capacity
      const expected = position > from.rows.length ? "out of range" : over ? "full" : undefined
      const all = [...from.rows.slice(0, position), ...rows, ...from.rows.slice(position + n)]
      await grown(
        from,
        expected,
        all,
        from.dropped,
        () => subject.write!(from.cache, position, rows),
      )
    },
    fork: (i) => Promise.resolve(void values.push(at(i))),
    truncate: async (i, back) => void await truncate(at(i), at(i).rows.length - back),
    drop: async (i, more) => {
      const from = at(i)
      const expected = more > from.rows.length ? "out of range" : undefined
      await grown(
        from,
        expected,
        from.rows.slice(more),
        from.dropped + more,
        () => subject.drop!(from.cache, more),
      )
    },
    run: async (i, acts) => {
      for (const one of acts) await act(one, i)
    },
    begin: nothing,
    tick: nothing,
    interrupt: nothing,
    fail: nothing,
    attend: nothing,
    open: async () => {
      guards.push({ holder: await subject.open!(), held: new Set(), open: true })
    },
    keep: async (i, of) => {
      const kept = of.map(at)
      const one = await guard(i)
      const reasons = [...one.open ? full : ["closed" as const], ...stale(kept)]
      const done = await asked(
        () => one.holder.keep(kept.map(({ cache }) => cache)),
        reasons,
        !one.open,
      )
      if (done !== undefined) one.held = new Set(kept)
    },
    close: async (i) => {
      const one = await guard(i)
      if (one.open) await one.holder.close()
      one.open = false
      one.held.clear()
    },
    snapshot: async (_, i) => {
      const from = at(i)
      const back = await asked(async () => subject.restore!(await subject.save!(from.cache)), [
        ...full,
        ...stale([from]),
      ])
      if (back !== undefined) values.push({ ...from, cache: back.answer, read: true })
    },
    merge: async (_, i, cuts) => {
      const { cache, rows: { length } } = at(i)
      if (length === 0 || !alive(at(i))) return
      const ends = [...cuts.filter((n) => n < length), length]
      const parts: Array<AttentionState> = []
      for (const end of ends) {
        const from = Math.max(0, ...ends.filter((other) => other < end))
        parts.push(await subject.attend!(cache, from, end))
      }
      const whole = await subject.attend!(cache, 0, length)
      const merged = AttentionState.reducer.combineAll(parts)
      const far = [whole.lse, ...whole.out].some((x, k) =>
        !(Math.abs(x - [merged.lse, ...merged.out][k]!) <= merging)
      )
      must(tally, "merge", !far, () => `merged it is ${merged.out}, whole ${whole.out}`)
    },
  }
}
