/** The chat template of a folder: a file of its own, or a member of `tokenizer_config.json`. @module */
import { Effect, Result } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { BadModelFile, UnsupportedModel } from "../../errors.ts"
import { limits, type Template } from "../Chat.ts"
import * as Source from "../gguf/Source.ts"
import * as Get from "../json/get.ts"
import type { Document } from "../json/parse.ts"

/** A template, or why there is none. */
export type Found = Result.Result<Template, BadModelFile | UnsupportedModel>

const member = "chat_template"
const utf8 = new TextDecoder("utf-8", { fatal: true })

const readFile = (path: string): Effect.Effect<Template, BadModelFile> =>
  Effect.scoped(Effect.gen(function* () {
    const source = yield* Source.file(path)
    const bad = (reason: string) => new BadModelFile({ file: path, offset: 0, reason })
    if (source.size > 3 * limits.template) { // the most that its characters take as UTF-8
      return yield* bad(`it has ${source.size} bytes: over limits.template, ${limits.template}`)
    }
    const bytes = yield* source.read(0, source.size)
    const text = Result.try(() => utf8.decode(bytes))
    if (Result.isFailure(text)) return yield* bad("it is not UTF-8")
    return { file: path, offset: 0, source: text.success }
  }))

/** One template, or several by name, of which `default` is for a conversation. */
const readMember = (from: Document): Found =>
  Result.gen(function* () {
    const found = { file: from.file, offset: from.offset(member) }
    if (!Get.isArray(from.keys.get(member))) {
      return { ...found, source: yield* Get.string(from, member) }
    }
    for (const one of yield* Get.objects(from, member)) {
      if ((yield* Get.string(one, "name")) !== "default") continue
      return { ...found, source: yield* Get.string(one, "template") }
    }
    return yield* Get.bad(from, member, `has no template of the name "default"`)
  })

/** Reads the template of a folder; that there is none is no failure of the effect. */
export const read = (
  folder: string,
  tokenizerConfig: Document | undefined,
): Effect.Effect<Found> => {
  const own = join(folder, `${member}.jinja`)
  if (existsSync(own)) return Effect.result(readFile(own))
  if (tokenizerConfig !== undefined && Get.has(tokenizerConfig, member)) {
    return Effect.succeed(readMember(tokenizerConfig))
  }
  const supported = `a folder with ${member}.jinja or "${member}" in tokenizer_config.json, as ` +
    "instruction-tuned models have, or a plain prompt"
  const what = "chat template"
  return Effect.succeed(
    Result.fail(new UnsupportedModel({ what, value: "missing", supported })),
  )
}
