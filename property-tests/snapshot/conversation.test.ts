/** A conversation goes on from where it was saved. @module */
import { Effect, Option, Result, Stream } from "effect"
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { Llama } from "../../mod.ts"
import { cpu, windowed, withModel } from "../model/llama.ts"

const place = mkdtempSync(join(tmpdir(), "kvasir-snapshot-"))
after(() => rmSync(place, { recursive: true }))

const plainly = (llama: Llama): Llama => {
  const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"
  return { ...llama, template: Result.succeed({ file: "test", offset: 0, source }) }
}

for (
  const [name, made] of [["", plainly], [
    " with windows",
    (l: Llama) => windowed(plainly(l)),
  ]] as const
) {
  test(`Llama.restoreConversation() goes on where it was, and reads nothing again${name}`, () =>
    withModel(cpu, (plain) =>
      Effect.scoped(Effect.gen(function* () {
        const llama = made(plain)
        const file = `conversation${name.length}`
        const ask = (conversation: Llama.Conversation, text: string) =>
          Effect.map(
            Stream.runLast(
              Llama.say(conversation, text, { temperature: 0, ignoreEos: true, maxTokens: 20 }),
            ),
            (last) => Option.getOrThrow(last) as Llama.Answered,
          )
        const start = yield* Llama.converse(llama, { contextTokens: 256, system: "Be brief" })
        const first = yield* ask(start, "In the beginning was the word")
        yield* Llama.saveConversation(first.conversation, place, file)
        const options = { contextTokens: 320 }
        const restored = yield* Llama.restoreConversation(llama, place, file, options)
        assert.deepEqual(restored.messages, first.conversation.messages)
        assert.equal(restored.system, "Be brief")
        const [a, b] = [
          yield* ask(first.conversation, "And he said unto them"),
          yield* ask(restored, "And he said unto them"),
        ]
        assert.deepEqual([b.text, b.usage], [a.text, a.usage])
        assert.ok(b.usage.cachedTokens >= first.usage.promptTokens)
      }))))
}

// It failed with `StaleCache`, though saying something goes on from such a conversation.
test("Llama.saveConversation() of one whose blocks made room saves what was said, to be read again", () =>
  withModel(cpu, (plain) =>
    Effect.scoped(Effect.gen(function* () {
      const llama = plainly(plain)
      const ask = (conversation: Llama.Conversation, text: string) =>
        Effect.map(
          Stream.runLast(
            Llama.say(conversation, text, { temperature: 0, ignoreEos: true, maxTokens: 16 }),
          ),
          (last) => Option.getOrThrow(last) as Llama.Answered,
        )
      const start = yield* Llama.converse(llama, { contextTokens: 112, system: "Be brief" })
      const { conversation } = yield* ask(start, "In the beginning was the word")
      yield* Llama.saveConversation(conversation, place, "room")
      const other = yield* ask(start, "And the earth was without form, and void; and darkness was")
      yield* ask(other.conversation, "And God said, Let there be light")
      const saved = yield* Llama.saveConversation(conversation, place, "room")
      assert.equal(saved.blocks, 0, "its blocks have not made room")
      const restored = yield* Llama.restoreConversation(llama, place, "room", {
        contextTokens: 112,
      })
      assert.deepEqual(restored.messages, conversation.messages)
      assert.equal(restored.system, "Be brief")
      assert.equal(restored.history.cache.length, 0)
      const [a, b] = [
        yield* ask(conversation, "And he said unto them"),
        yield* ask(restored, "And he said unto them"),
      ]
      assert.deepEqual([b.text, b.usage], [a.text, a.usage])
      assert.equal(b.usage.cachedTokens, 0)
    }))))
