/**
 * Runs a chat template.
 *
 * @module
 */
import { Environment, parse, tokenize } from "@huggingface/jinja"
import { limits } from "./limits.ts"
import { OverLimit, Raised, Sandbox } from "./sandbox.ts"

/** The steps that a conversation is worth. */
const stepsOf = (given: { readonly [name: string]: Given }): number => {
  const messages = Object.values(given).flatMap((one) => typeof one === "object" ? one : [])
  const characters = messages.flatMap((one) => Object.values(one))
    .reduce((sum, { length }) => sum + length, 0)
  return limits.steps + limits.stepsOfMessage * messages.length +
    Math.floor(characters / limits.charactersOfStep)
}

const range = (steps: number) => (...given: ReadonlyArray<unknown>): ReadonlyArray<number> => {
  const numbers = given.filter((one) => typeof one === "number" && Number.isSafeInteger(one))
  const [first = 0, second, step = 1] = numbers.map(Number)
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  if (numbers.length !== given.length || numbers.length === 0 || step === 0) {
    throw new Error("range() takes whole numbers, and a step that is not 0")
  }
  const length = Math.max(0, Math.ceil((stop - start) / step))
  if (length > steps) throw new OverLimit("steps")
  return Array.from({ length }, (_, i) => start + i * step)
}

const raise = (reason: unknown): never => {
  throw new Raised(typeof reason === "string" ? reason : "no reason")
}

/** A value that a template may be given. */
export type Given = string | boolean | ReadonlyArray<{ readonly [key: string]: string }>

/**
 * Renders a template. Throws `OverLimit`, `Hostile` or `Raised`, a `RangeError` when the stack is not deep
 * enough for its syntax, and any other `Error` for what the interpreter cannot run.
 *
 * There is no clock: `strftime_now` is not defined, and templates that ask for it have a date of their own.
 */
export const run = (template: string, given: { readonly [name: string]: Given }): string => {
  if (template.length > limits.template) throw new OverLimit("template")
  // The lexer's search for `generation` tags is quadratic in the longest run of white space.
  if (template.match(/\s+/g)?.some((blank) => blank.length > limits.blank)) {
    throw new OverLimit("blank")
  }
  const program = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }))
  const environment = new Environment()
  const constants = { true: true, false: false, none: null, True: true, False: false, None: null }
  const steps = stepsOf(given)
  const names = { ...constants, range: range(steps), raise_exception: raise, ...given }
  for (const [name, value] of Object.entries(names)) environment.set(name, value)
  return String(new Sandbox(environment, { length: template.length, steps }).run(program).value)
}
