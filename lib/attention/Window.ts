/** Which positions a query may see besides its causal past. @module */

/** The last `last` tokens including self, and the `sinks` first ones; `last` undefined is everything. */
export interface Window {
  readonly last: number | undefined
  readonly sinks: number
}

/** Everything up to self. */
export const all: Window = { last: undefined, sinks: 0 }

/** The last `n` tokens, self included; `sinks` first tokens stay visible besides. */
export const last = (n: number, options?: { readonly sinks: number }): Window => ({
  last: n,
  sinks: options?.sinks ?? 0,
})

/** From the convention that counts the tokens before self only: `before = n` sees n + 1 tokens. */
export const excludingSelf = (before: number): Window => last(before + 1)

/** Lowest position a query at `position` needs, sinks included. */
export const lowest = (window: Window, position: number): number =>
  window.last === undefined || window.sinks > 0 ? 0 : Math.max(0, position - window.last + 1)
