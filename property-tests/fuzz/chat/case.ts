/** One chat template: run, or refused with a type, in time, whatever it asks for. @module */
import { Result } from "effect"
import assert from "node:assert/strict"
import * as Chat from "../../../lib/model/Chat.ts"
import { guarded, type Outcome } from "../guard.ts"
import type { Made } from "./make.ts"

/** Bytes that a template may take for what it makes: arrays as long as its steps, and frames. */
const making = 2 ** 20

/** Renders; what is rendered is within its limit. */
export const check = ({ source, messages, bosToken }: Made): Outcome<string> => {
  const before = JSON.stringify(messages)
  const size = source.length + before.length
  const options = { addGenerationPrompt: true, bosToken, eosToken: "</s>" }
  const outcome = guarded(
    size + making,
    () => Chat.render({ file: "x.gguf", offset: 0, source }, messages, options),
  )
  assert.equal(JSON.stringify(messages), before, "the messages have changed")
  if (Result.isSuccess(outcome)) {
    assert.equal(typeof outcome.success, "string")
    assert.ok(outcome.success.length <= Chat.limits.output)
  }
  return outcome
}
