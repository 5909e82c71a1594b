/** What attention may be told, and what is wrong with it. @module */
import type { Arena } from "../cache/Arena.ts"
import { InvalidArgument, type ShapeMismatch } from "../errors.ts"
import { inF32, isAboveF32, isF32 } from "../tensor/numbers.ts"
import { type Mask, windowError } from "./Mask.ts"
import * as Window from "./Window.ts"

/** What changes the mathematics; each has the default of the field. */
export interface Options {
  /** Default: the window of the layer's group. */
  readonly window?: Window.Window
  /** Multiplies every score. Default `1 / √keyDim`. */
  readonly scale?: number
  /** `cap · tanh(score / cap)`, after the scale. Default: none. */
  readonly softCap?: number
}

/** Options of a read: which layer's keys and values, and what hides positions. */
export interface ReadOptions extends Options, Mask {
  /** Default: the window of the layer's group. */
  readonly window?: Window.Window
  /** Needed unless the arena has one layer. */
  readonly layer?: number
}

/** What attention may fail with besides placing the caches. */
export type AttendError = ShapeMismatch | InvalidArgument

/** What is wrong with the numbers. */
export const optionsError = (options: Options): InvalidArgument | undefined => {
  const { scale, softCap, window } = options
  return (scale === undefined ? undefined : scaleError("scale", scale)) ??
    (softCap === undefined ? undefined : capError("softCap", softCap)) ??
    (window === undefined ? undefined : windowError(window))
}

/** What is wrong with a factor of scores. */
export const scaleError = (name: string, value: number): InvalidArgument | undefined =>
  isF32(value)
    ? undefined
    : new InvalidArgument({ name, value, need: inF32("a finite number", value) })

/** What is wrong with a cap of scores. */
export const capError = (name: string, value: number): InvalidArgument | undefined =>
  isAboveF32(value)
    ? undefined
    : new InvalidArgument({ name, value, need: inF32("a finite number above 0", value) })

/** The layer of a read, or of an arena that has only one. */
export const layerOf = ({ layout: { layers } }: Arena, { layer }: ReadOptions): number =>
  layer ?? (layers === 1 ? 0 : NaN)

/** What is wrong with a layer. */
export const layerError = (arena: Arena, layer: number): InvalidArgument | undefined =>
  Number.isSafeInteger(layer) && layer >= 0 && layer < arena.layout.layers
    ? undefined
    : new InvalidArgument({
      name: "layer",
      value: Number.isNaN(layer) ? "nothing" : layer,
      need: `a layer from 0 to ${arena.layout.layers - 1}`,
    })

/** The window that the layout gives a group. */
export const groupWindow = (arena: Arena, group: number): Window.Window => {
  const { window } = arena.layout.groups[group]!
  return window === undefined ? Window.all : Window.last(window)
}

/** A window is never silently shorter than asked for: every position a row needs must still be there. */
export const goneError = (
  needed: ReadonlyArray<number>,
  starts: ReadonlyArray<number>,
): InvalidArgument | undefined => {
  for (const [i, value] of starts.entries()) {
    if (value <= needed[i]!) continue
    const need = `at most ${needed[i]}, the first position that the window needs`
    return new InvalidArgument({ name: "the first position kept", value, need })
  }
}
