/**
 * Stops a call before it takes memory by the gigabyte, and says so: a refusal that comes by luck, because this
 * machine has no more, is none.
 *
 * @module
 */

/** Most bytes of one array, and 1/8 as many elements of a list. */
const most = 2 ** 28

/** It was asked for more than any of these examples needs. */
export class Greedy extends Error {
  /** Named for reports. */
  override readonly name: string = "Greedy"
}

const typed = [
  "Float32Array",
  "Float64Array",
  "Uint32Array",
  "Int32Array",
  "Uint16Array",
  "Uint8Array",
] as const

const world = globalThis as unknown as Record<string, unknown>

/** The class, but for arrays of too many. */
const wary = (made: new (...given: Array<unknown>) => object, bytes: number): unknown =>
  new Proxy(made, {
    construct: (target, given: Array<unknown>, as) => {
      const [length] = given
      if (given.length === 1 && typeof length === "number" && length * bytes > most) {
        throw new Greedy(`an array of ${length} elements of ${bytes} bytes`)
      }
      return Reflect.construct(target, given, as)
    },
  })

/** Watches allocations of lists while it runs. */
export const guarded = async <A>(work: () => Promise<A>): Promise<A> => {
  const names = [...typed, "Array"] as const
  const before = names.map((name) => world[name])
  const { from } = Array
  for (const [i, name] of names.entries()) {
    const made = before[i] as typeof Uint8Array
    world[name] = wary(made as never, name === "Array" ? 8 : made.BYTES_PER_ELEMENT)
  }
  Array.from = ((list: ArrayLike<unknown>, ...more: Array<never>) => {
    if (Number(list?.length) * 8 > most) throw new Greedy(`a list of ${list.length} elements`)
    return Reflect.apply(from, Array, [list, ...more])
  }) as typeof Array.from
  try {
    return await work()
  } finally {
    for (const [i, name] of names.entries()) world[name] = before[i]
    Array.from = from
  }
}
