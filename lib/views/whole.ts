/** Numbers that count something. @module */
import { InvalidArgument } from "../errors.ts"

/** Is it a whole number, at least so large? */
export const isWhole = (value: number | undefined, least: number): boolean =>
  Number.isSafeInteger(value) && value! >= least

/** What is wrong with the first of these numbers that is not whole, or below `least`. */
export const wholeError = (
  numbers: Readonly<Record<string, number>>,
  least: number,
): InvalidArgument | undefined => {
  const [name, value] = Object.entries(numbers).find(([, value]) => !isWhole(value, least)) ?? []
  return name === undefined
    ? undefined
    : new InvalidArgument({ name, value: value!, need: `a whole number, at least ${least}` })
}
