/**
 * How large the values of a template are when written out: `[a, a]` is twice as large as `a`, though it takes
 * no more memory, since printing, joining and sorting write it twice.
 *
 * @module
 */
import type { Interpreter } from "@huggingface/jinja"

type Value = ReturnType<Interpreter["evaluate"]>

/** Whether a value holds others. */
export const isComposite = (value: Value): boolean =>
  typeof value.value === "object" && value.value !== null

/** Characters of a text, elements of an array, entries of an object; 1 of anything else. */
export const shallow = ({ value }: Value): number => {
  if (typeof value === "string" || Array.isArray(value)) return value.length
  return value instanceof Map ? value.size : 1
}

/** Sizes of values, each found once. */
export interface Sizes {
  (value: Value): number
  /** Whether the size of this very value is known. */
  readonly known: (value: Value) => boolean
}

/** Sizes; `error` makes what is thrown for a namespace inside another value, since it may hold itself. */
export const sizes = (error: () => Error): Sizes => {
  const found = new WeakMap<Value, number>()
  const inside = (value: Value): number => {
    if (value.type === "NamespaceValue") throw error()
    return size(value)
  }
  const size = (self: Value): number => {
    const { value, type } = self
    if (typeof value === "string") return value.length + 2
    const old = found.get(self)
    if (old !== undefined) return old
    let sum = 2
    if (Array.isArray(value)) { for (const one of value) sum += 2 + inside(one) }
    else if (value instanceof Map) {
      for (const [key, one] of value) sum += key.length + 6 + inside(one)
    } else return 8
    if (type !== "NamespaceValue") found.set(self, sum) // all others never change
    return sum
  }
  return Object.assign(size, { known: (value: Value) => found.has(value) })
}
