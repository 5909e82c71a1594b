/** The project's own files, as the house rules read them. @module */
import { readdirSync, readFileSync } from "node:fs"
import { posix } from "node:path"

const root = new URL("../../", import.meta.url)

/** Text of a file, by its path from the root. */
export const text = (file: string): string => readFileSync(new URL(file, root), "utf8")

const ignored: ReadonlySet<string> = new Set([
  ".git",
  ...text(".gitignore").split("\n").map((line) => line.replaceAll("/", "")),
])

const walk = (folder: string): ReadonlyArray<string> =>
  readdirSync(new URL(folder, root), { withFileTypes: true })
    .filter(({ name }) => !ignored.has(name))
    .flatMap((entry) =>
      entry.isDirectory() ? walk(`${folder}${entry.name}/`) : [`${folder}${entry.name}`]
    )

/** Paths of every file that git would not ignore. */
export const files: ReadonlyArray<string> = walk("./").map((file) => file.slice(2)).sort()

/** Paths of the TypeScript sources. */
export const sources: ReadonlyArray<string> = files.filter((file) => file.endsWith(".ts"))

/** A source without its comments. */
export const code = (file: string): string =>
  text(file).replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\/.*|\/\*[\s\S]*?\*\//g,
    (_, literal: string | undefined) => literal ?? "",
  )

/** One import or re-export. */
export interface Import {
  readonly from: string
  /** A path from the root, or a package as written. */
  readonly to: string
  /** `type` is gone at run time, `lazy` loads when it is called. */
  readonly kind: "value" | "type" | "lazy"
}

const names = String.raw`\*(?:\s+as\s+\w+)?|\{[^}]*\}`
const statement = new RegExp(
  String.raw`^(?:im|ex)port\s+(type\s+)?(?:((?:\w+\s*,?\s*)?(?:${names})?)\s*from\s*)?"([^"]+)"`,
  "gm",
)
const call = /\bimport\(\s*"([^"]+)"/g
const onlyTypes = /^\{(\s*type\s+[^,}]+,?)+\s*\}$/

/** Everything a source imports. */
export const imports = (from: string): ReadonlyArray<Import> => {
  const source = code(from)
  const at = (to: string): string => to.startsWith(".") ? posix.join(posix.dirname(from), to) : to
  const found = [...source.matchAll(statement)].map(([, type, clause, to]): Import => ({
    from,
    to: at(to!),
    kind: type !== undefined || onlyTypes.test(clause?.trim() ?? "") ? "type" : "value",
  }))
  const lazy = [...source.matchAll(call)].map(([, to]): Import => ({
    from,
    to: at(to!),
    kind: "lazy",
  }))
  return [...found, ...lazy]
}

/** Every import of the project. */
export const arrows: ReadonlyArray<Import> = sources.flatMap(imports)

/** What the imports that run at load lead to, each file with the path that leads there. */
export const reached = (start: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = new Map<string, ReadonlyArray<string>>()
  const visit = (path: ReadonlyArray<string>): void => {
    for (const { from, to, kind } of arrows) {
      if (from !== path.at(-1) || kind !== "value" || found.has(to)) continue
      found.set(to, [...path, to])
      visit([...path, to])
    }
  }
  visit([start])
  return found
}
