/** The command line, as a value: options by table, so that every mistake is one clear line. @module */
import { type Cause, Data, Result } from "effect"
import { parseArgs } from "node:util"

const UsageBase: new (
  args: { readonly problem: string },
) => Cause.YieldableError & { readonly _tag: "Usage"; readonly problem: string } = Data.TaggedError(
  "Usage",
)
/** A command line that cannot be understood. */
export class Usage extends UsageBase {
  /** Derived. */
  override readonly message: string = `${this.problem}; --help shows what there is`
}

/** What an option takes. */
export interface Option {
  readonly takes: "nothing" | "text" | "number"
  /** Shown by `--help`, after the option's name. */
  readonly help: string
}

/** Options by name, without the dashes. */
export interface Table {
  readonly [name: string]: Option
}

/** Values by name; options that were not given are missing. */
export type Values<T extends Table> = {
  readonly [K in keyof T]?: T[K]["takes"] extends "nothing" ? true
    : T[K]["takes"] extends "number" ? number
    : string
}

/** What a command line said. */
export interface Parsed<T extends Table> {
  readonly values: Values<T>
  readonly texts: ReadonlyArray<string>
}

/** Letters to change, add or drop to get from one word to the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** `, did you mean …?` when a known word is near. */
export const meant = (word: string, known: ReadonlyArray<string>, dashes = ""): string => {
  const near = known.map((name) => [distance(word, name), name] as const)
    .sort((a, b) => a[0] - b[0])[0]
  return near !== undefined && near[0] <= 2 ? ` (did you mean ${dashes}${near[1]}?)` : ""
}

const valueOf = (
  name: string,
  { takes }: Option,
  value: string | undefined,
): Result.Result<true | number | string, Usage> => {
  const fail = (problem: string) => Result.fail(new Usage({ problem }))
  if (takes === "nothing") {
    return value === undefined ? Result.succeed(true) : fail(`--${name} takes no value: ${value}`)
  }
  if (value === undefined) return fail(`--${name} needs a ${takes}`)
  if (takes === "text") return Result.succeed(value)
  const number = value.trim() === "" ? NaN : Number(value)
  return Number.isFinite(number)
    ? Result.succeed(number)
    : fail(`--${name} needs a number: ${JSON.stringify(value)} is none`)
}

/** Reads a command's arguments; `--` ends the options. */
export const parse = <const T extends Table>(
  args: ReadonlyArray<string>,
  table: T,
): Result.Result<Parsed<T>, Usage> =>
  Result.gen(function* () {
    const names = Object.keys(table)
    const { tokens } = parseArgs({
      args: [...args],
      strict: false,
      tokens: true,
      options: Object.fromEntries(
        names.map((name) => [
          name,
          { type: table[name]!.takes === "nothing" ? "boolean" : "string" },
        ]),
      ),
    })
    const values: Record<string, true | number | string> = {}
    const texts: Array<string> = []
    for (const token of tokens) {
      if (token.kind === "positional") texts.push(token.value)
      if (token.kind !== "option") continue
      const option = Object.hasOwn(table, token.name) ? table[token.name] : undefined
      if (option === undefined) {
        const problem = `There is no option ${token.rawName}${meant(token.name, names, "--")}`
        return yield* Result.fail(new Usage({ problem }))
      }
      if (values[token.name] !== undefined) {
        return yield* Result.fail(new Usage({ problem: `--${token.name} is there twice` }))
      }
      values[token.name] = yield* valueOf(token.name, option, token.value)
    }
    return { values: values as Values<T>, texts } // `valueOf` gave each the type its option takes
  })

/** The one text a command is about. */
export const oneText = (texts: ReadonlyArray<string>): Result.Result<string, Usage> => {
  const [text] = texts
  return text !== undefined && texts.length === 1 ? Result.succeed(text) : Result.fail(
    new Usage({
      problem: text === undefined
        ? "A text is missing"
        : `One text is wanted and ${texts.length} are there: quote it`,
    }),
  )
}

/** The lines of `--help` for a table. */
export const helpOf = (table: Table): string => {
  const rows = Object.entries(table).map(([name, { takes, help }]) =>
    [`--${name}${takes === "nothing" ? "" : takes === "number" ? " N" : " X"}`, help] as const
  )
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n")
}
