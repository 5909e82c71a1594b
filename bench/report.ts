/** What a bench says, and how it is printed and saved. @module */
import type { Effect } from "effect"

/** One number. */
export interface Line {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What ran it: `cpu`, or `none` where the device is left out. */
  readonly device: string
  readonly params: Readonly<Record<string, string | number>>
  /** What it is measured against, in the same run. */
  readonly peer?: string
  readonly peerValue?: number
  /** Above 1 where ours is better. */
  readonly ratio?: number
}

/** One question. */
export interface Bench {
  readonly name: string
  /** Checks what it will time, then times it; a wrong result is a defect. */
  readonly run: Effect.Effect<ReadonlyArray<Line>>
}

/** Four significant digits. */
export const digits = (value: number): number => Number(value.toPrecision(4))

/** A line as one row of text. */
export const show = ({ name, value, unit, device, params, peer, peerValue, ratio }: Line): string =>
  [
    name.padEnd(24),
    `${digits(value)} ${unit}`.padStart(14),
    ...(peerValue === undefined ? [] : [
      `  ${peer} ${digits(peerValue)} ${unit}`,
      `  ratio ${ratio!.toFixed(2)}`,
    ]),
    `  ${device}`,
    ...Object.entries(params).map(([key, of]) => ` ${key}=${of}`),
  ].join("")
