/**
 * How one layer hides positions, with its numbers.
 *
 * @module
 */
import { Result } from "effect"
import type { Mask } from "../../attention/Mask.ts"
import * as Window from "../../attention/Window.ts"
import { InvalidArgument } from "../../errors.ts"
import { type AttnMaskType, CHUNK, FULL, SLIDING } from "./AttnMaskType.ts"
import { whole } from "./check.ts"

/** A mask of a layer; `make` checks it. */
export interface AttnMaskDetail {
  readonly maskType: AttnMaskType
  /**
   * Tokens of the window, the query's own included: needed where the type is `SLIDING`, a further limit where it is
   * `CHUNK`, filler where it is `FULL`.
   */
  readonly size?: number | undefined
  /** A position at which a chunk begins. Default 0, and nothing else unless the type is `CHUNK`. */
  readonly offset?: number | undefined
  /** Tokens of a chunk (its size, not how many there are): needed where the type is `CHUNK`. */
  readonly chunks?: number | undefined
  /** Tiles of a blocked kernel: a hint that changes no result. */
  readonly bricks?: number | undefined
}

/** What is wrong with a detail. */
export const error = (detail: AttnMaskDetail): InvalidArgument | undefined => {
  const { maskType, size, offset = 0, chunks, bricks = 1 } = detail
  if (![FULL, SLIDING, CHUNK].includes(maskType)) {
    return new InvalidArgument({
      name: "maskType",
      value: String(maskType),
      need: `${FULL}, ${SLIDING} or ${CHUNK}`,
    })
  }
  const sized = maskType === SLIDING || (maskType === CHUNK && size !== undefined)
  const bad = (sized ? whole("size", size, 1) : undefined) ??
    (maskType === CHUNK ? whole("chunks", chunks, 1) : undefined) ??
    whole("offset", offset, 0) ?? whole("bricks", bricks, 1)
  if (bad !== undefined) return bad
  if (maskType !== CHUNK && offset !== 0) {
    const need = `0 where the type is ${maskType}: where a row begins is said by starts`
    return new InvalidArgument({ name: "offset", value: offset, need })
  }
  if (maskType !== CHUNK && chunks !== undefined) {
    return new InvalidArgument({
      name: "chunks",
      value: chunks,
      need: `left out where the type is ${maskType}`,
    })
  }
}

/**
 * Checks every number.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Result } from "effect"
 * import { AttnMaskDetail, AttnMaskType } from "@kvasir/kvasir"
 * const detail = AttnMaskDetail.make({ maskType: AttnMaskType.SLIDING, size: 0 })
 * assert.equal(Result.getOrThrow(Result.flip(detail)).message,
 *   "Cannot take 0 as size: it must be a whole number, at least 1")
 * ```
 */
export const make = (detail: AttnMaskDetail): Result.Result<AttnMaskDetail, InvalidArgument> => {
  const bad = error(detail)
  return bad === undefined ? Result.succeed(detail) : Result.fail(bad)
}

/** Tokens that a layer keeps of a sequence; undefined is all. */
export const windowOf = (detail: AttnMaskDetail | undefined): number | undefined =>
  detail?.maskType === SLIDING ? detail.size : undefined

/** The mask of positions that a detail stands for. */
export const maskOf = (
  detail: AttnMaskDetail | undefined,
): Pick<Mask, "window" | "chunk" | "chunkOffset"> => {
  if (detail === undefined || detail.maskType === FULL) return {}
  const window = detail.size === undefined ? {} : { window: Window.last(detail.size) }
  return detail.maskType === SLIDING
    ? window
    : { ...window, chunk: detail.chunks!, chunkOffset: detail.offset ?? 0 }
}
