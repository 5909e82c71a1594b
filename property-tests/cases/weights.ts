/** Finds the weight files that recorded cases are of. @module */
import { existsSync, readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))
const own = [join(root, "models"), join(root, "property-tests/golden/kjv-3m")]

/**
 * The GGUF file of some quantisation (`f16`, `q8_0`): beside the cases, one folder up, or the project's own.
 */
export const modelFile = (cases: string, quantisation: string): string | undefined => {
  const folder = dirname(cases)
  for (const place of [folder, dirname(folder), ...own]) {
    const name = readdirSync(place).find((file) => file.endsWith(`-${quantisation}.gguf`))
    if (name !== undefined) return join(place, name)
  }
}

/** The folder of `config.json`, `tokenizer.json` and safetensors: the cases' own, one up, or the project's. */
export const modelFolder = (cases: string): string | undefined => {
  const folder = dirname(cases)
  return [folder, dirname(folder), ...own.map((place) => join(place, "hf"))].find((place) =>
    existsSync(join(place, "config.json"))
  )
}
