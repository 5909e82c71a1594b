/** One GGUF file: made of a seed, read, and what was read compared with what was described. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import * as Gguf from "../../../lib/model/Gguf.ts"
import { guarded, type Outcome } from "../guard.ts"
import type { Random } from "../random.ts"
import { anySound } from "./describe.ts"
import { brokenText, lie, spoil } from "./mutate.ts"
import { expected, isSound } from "./sound.ts"
import { write } from "./write.ts"

/** A file, and what is known of it. */
export interface Made {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What was done to it. */
  readonly how: ReadonlyArray<string>
  /** Whether it must be taken; undefined where no description says. */
  readonly sound: boolean | undefined
  /** What must be read where it is. */
  readonly says: () => unknown
}

/** A file that is sound, or spoilt in one to three ways. */
export const make = (random: Random): Made => {
  const described = anySound(random)
  const how = random.some(random.oneIn(16) ? 0 : 2, () => spoil(random, described))
  const written = write(described)
  let { bytes } = written
  let true_ = true
  if (random.oneIn(2)) {
    const change = random.oneIn(12) ? brokenText : lie
    for (let i = random.below(2); i >= 0; i--) {
      const [spoilt, name] = change(random, written, bytes)
      bytes = spoilt
      how.push(name)
    }
    true_ = false
  } else if (random.oneIn(8)) {
    bytes = bytes.slice(0, random.below(bytes.length + 1))
    how.push("cut")
  }
  return {
    bytes,
    how,
    sound: true_ ? isSound(described, written, bytes.length) : undefined,
    says: () => expected(described, written),
  }
}

const narrow = (one: unknown): unknown =>
  typeof one === "bigint" && Number.isSafeInteger(Number(one)) ? Number(one) : one

/** Everything that was read, in the form of `expected`. */
export const said = ({ metadata, tensors }: Gguf.Gguf): unknown => ({
  entries: Array.from(metadata, ([key, { type, data }]) => [
    key,
    type,
    typeof data !== "object"
      ? data
      : Array.from<unknown, unknown>(data, (one) => type === "bool[]" ? one === 1 : narrow(one)),
  ]),
  tensors: Array.from(
    tensors.values(),
    ({ name, dtype, shape, offset, bytes }) => [name, dtype, shape, offset, bytes],
  ),
})

/** What holds of every file that is taken, whatever made it. */
const checkInside = ({ tensors, alignment }: Gguf.Gguf, size: number): void => {
  let end = 0
  for (const { offset, bytes } of [...tensors.values()].sort((a, b) => a.offset - b.offset)) {
    assert.ok(offset >= end && bytes > 0 && offset % alignment === 0)
    end = offset + bytes
    assert.ok(Number.isSafeInteger(end) && end <= size)
  }
}

/** Reads a file, whole and by parts, and checks all that is known of it. */
export const check = ({ bytes, sound, says }: Made): Outcome<Gguf.Gguf> => {
  const outcome = guarded(bytes.length, () => Gguf.parse("x.gguf", bytes))
  const taken = Result.isSuccess(outcome)
  if (taken) checkInside(outcome.success, bytes.length)
  if (sound === undefined) return outcome
  assert.equal(taken, sound, taken ? "a file that is not sound was taken" : outcome.failure.message)
  if (taken) assert.deepEqual(said(outcome.success), says())
  return outcome
}
