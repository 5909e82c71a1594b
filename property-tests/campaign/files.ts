/** Files, vocabularies and templates that are damaged or hostile, again and again. @module */
import { Result } from "effect"
import * as Chat from "../fuzz/chat/case.ts"
import { make as makeChat } from "../fuzz/chat/make.ts"
import * as Folder from "../fuzz/folder/case.ts"
import { theirs } from "../fuzz/gguf/beside.ts"
import * as Gguf from "../fuzz/gguf/case.ts"
import { compare } from "../fuzz/gguf/differences.ts"
import { checkModel, makeModel } from "../fuzz/gguf/model.ts"
import { counting, pasted, within } from "../fuzz/guard.ts"
import { type Random, random, seedOf } from "../fuzz/random.ts"
import * as Safetensors from "../fuzz/safetensors/case.ts"
import * as Tokenizers from "../fuzz/tokenizer/case.ts"
import { differences } from "../fuzz/tokenizer/differences.ts"
import { make as makeTokenizer } from "../fuzz/tokenizer/make.ts"
import { textOf } from "../fuzz/json/tree.ts"
import type { Batch, Trial } from "./trial.ts"

/** What came of a case, and how often: a campaign whose files are all refused tries nothing. */
export type Counts = Map<string, number>

/** Runs one case; says what came of it. */
export type Case = (random: Random, index: number) => string | Promise<string>

const outcome = (result: Result.Result<unknown, unknown>): string =>
  Result.isSuccess(result) ? "taken" : "refused"

const shown = (how: ReadonlyArray<string>): string => how.length === 0 ? "sound" : how.join("; ")

/** One GGUF file: of four one is a whole model, and one is read by `@huggingface/gguf` too. */
export const ggufCase: Case = async (random, index) => {
  if (index % 4 === 3) {
    const made = makeModel(random)
    const what = () => `${shown(made.how)}\n${JSON.stringify(made.prose)}\n${pasted(made.bytes)}`
    return `model ${outcome(within(what, () => checkModel(made)))}`
  }
  const made = Gguf.make(random)
  const what = () => `${shown(made.how)}\n${pasted(made.bytes)}`
  const ours = within(what, () => Gguf.check(made))
  if (index % 4 !== 0) return outcome(ours)
  const other = await theirs(made.bytes)
  const compared = within(what, () => compare(ours, other))
  return typeof compared === "string" ? compared : compared.kind
}

/** One safetensors file. */
export const safetensorsCase: Case = (random) => {
  const made = Safetensors.make(random)
  const what = () => `${shown(made.how)}\n${pasted(made.bytes)}`
  return outcome(within(what, () => Safetensors.check(made)))
}

/** The files of one vocabulary; of three one cuts texts beside `@huggingface/tokenizers`. */
export const tokenizerCase: Case = (random) => {
  const made = makeTokenizer(random)
  const what = () =>
    [shown(made.how), ...Object.values(made.trees).map((tree) => textOf(tree).slice(0, 20_000))]
      .join("\n")
  const compared = within(what, () => Tokenizers.check(random, made, differences))
  const [first = "refused"] = compared
  return typeof first === "string" ? first : first.kind
}

/** One chat template. */
export const chatCase: Case = (random) => {
  const made = makeChat(random)
  return outcome(within(() => JSON.stringify(made), () => Chat.check(made)))
}

/** Runs cases of a batch; the same batch gives the same cases. */
export const cases = async (
  batch: number,
  count: number,
  run: Case,
  counts: Counts = new Map(),
): Promise<Batch> => {
  await counting(async () => {
    for (let index = 0; index < count; index++) {
      const what = () => `case ${index} of batch ${batch}`
      const said = await within(what, () => run(random(seedOf(batch, index)), index))
      counts.set(said, (counts.get(said) ?? 0) + 1)
    }
  })
  return { executions: count, states: counts.size }
}

/** Folders of one tiny model, which is written once. */
export const folders = async (
  batch: number,
  count: number,
  counts: Counts = new Map(),
): Promise<Batch> => {
  const room = Folder.room(batch >>> 0)
  try {
    return await cases(
      batch,
      count,
      async (random) => outcome((await Folder.check(random, room)).outcome),
      counts,
    )
  } finally {
    room.close()
  }
}

const trial = (
  name: string,
  share: number,
  batch: (seed: number) => Promise<Batch>,
): Trial => ({ name, adapter: "host", share, batch })

/** GGUF files. */
export const ggufFiles: Trial = trial("gguf files", 3, (seed) => cases(seed, 1500, ggufCase))
/** Safetensors files. */
export const safetensorsFiles: Trial = trial(
  "safetensors files",
  2,
  (seed) => cases(seed, 4000, safetensorsCase),
)
/** Vocabularies of folders. */
export const tokenizerFiles: Trial = trial(
  "tokenizer files",
  1,
  (seed) => cases(seed, 400, tokenizerCase),
)
/** Chat templates. */
export const chatTemplates: Trial = trial(
  "chat templates",
  1,
  (seed) => cases(seed, 600, chatCase),
)
/** Folders of whole models. */
export const folderFiles: Trial = trial("folders", 1, (seed) => folders(seed, 200))

/** All of them. */
export const files: ReadonlyArray<Trial> = [
  ggufFiles,
  safetensorsFiles,
  tokenizerFiles,
  chatTemplates,
  folderFiles,
]
