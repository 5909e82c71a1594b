/** Checks that several files of this view share. @module */
import { InvalidArgument, type ShapeMismatch, UnknownSequence } from "../../errors.ts"
import * as Shape from "../../tensor/Shape.ts"
import type { Any } from "../../tensor/value.ts"
import { isWhole } from "../whole.ts"

/** What is wrong with a whole number that has a least. */
export const whole = (
  name: string,
  value: number | undefined,
  least: number,
): InvalidArgument | undefined =>
  isWhole(value, least) ? undefined : new InvalidArgument({
    name,
    value: value ?? "nothing",
    need: `a whole number, at least ${least}`,
  })

/** What is wrong with a list that has a number for each row. */
export const listOf = (
  name: string,
  list: ReadonlyArray<number> | undefined,
  rows: number,
): InvalidArgument | undefined => {
  if (list === undefined) return undefined
  if (list.length !== rows) {
    const need = `${rows}, one for each row`
    return new InvalidArgument({ name: `the number of ${name}`, value: list.length, need })
  }
  for (const [i, value] of list.entries()) {
    const bad = whole(`${name}[${i}]`, value, 0)
    if (bad !== undefined) return bad
  }
}

/** What is wrong with a tensor whose sizes are known; an axis that is not known has size undefined. */
export const shapeOf = (
  tensor: string,
  { shape }: Any,
  sizes: { readonly [axis: string]: number | undefined },
): ShapeMismatch | undefined => Shape.sizesError(tensor, shape, sizes)

/** What is wrong with `count` neighbouring rows of a batch from `slot` on. */
export const slotError = (
  slot: number,
  count: number,
  sequences: number,
): UnknownSequence | undefined => {
  const inside = (row: number) => Number.isSafeInteger(row) && row >= 0 && row < sequences
  if (!inside(slot)) return new UnknownSequence({ sequence: slot, sequences })
  const last = slot + Math.max(1, count) - 1
  return inside(last) ? undefined : new UnknownSequence({ sequence: last, sequences })
}
