/** Typed errors, compared by tag and exact text. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import type { Act, Play } from "./play.ts"
import * as World from "../../testing/world/world.ts"

/** The tag that goes with the verb of a message. */
const tags: { readonly [verb: string]: string } = {
  take: "InvalidArgument",
  bind: "ShapeMismatch",
  use: "DTypeMismatch",
  grow: "CapacityExceeded",
  place: "OutOfBlocks",
  make: "ArenaTooLarge",
}

interface Tagged {
  readonly _tag: string
  readonly message: string
}

/** An error has this text, and the tag that goes with it. */
export const says = ({ _tag, message }: Tagged, want: string): void => {
  assert.equal(message, want)
  const [, verb = ""] = message.split(" ")
  assert.equal(_tag, tags[verb] ?? _tag)
}

/** A pure function failed with this text. */
export const refused = (made: Result.Result<unknown, Tagged>, want: string): void =>
  says(Result.isFailure(made) ? made.failure : { _tag: "none", message: "it succeeded" }, want)

/** A run fails with this text, and leaves the ledgers as they were. */
export const fails = (w: Play, lease: World.Guard, act: Act<unknown>, want: string): void => {
  const before = World.picture(w.world)
  says(w.run(lease, act).error(), want)
  assert.deepEqual(World.picture(w.world), before)
}
