/** Refusals by their full text. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import type { BlockTableFull, DuplicateBlock, InvalidArgument, UnknownSequence } from "../../mod.ts"

/** Tags of refusals. */
export type Tag =
  | BlockTableFull["_tag"]
  | DuplicateBlock["_tag"]
  | InvalidArgument["_tag"]
  | UnknownSequence["_tag"]
  | "CapacityExceeded"
  | "DTypeMismatch"
  | "OutOfBlocks"
  | "ShapeMismatch"

/** It fails, and says so. */
export const refuses = <A>(
  result: Result.Result<A, { readonly _tag: string; readonly message: string }>,
  tag: Tag,
  message: string,
): void => {
  const failure = Result.getOrThrow(Result.flip(result))
  assert.equal(failure._tag, tag)
  assert.equal(failure.message, `Cannot ${message}`)
}
