/**
 * What holds whatever a file says: a typed error that names where, or success; in time; within memory; and the
 * prototypes of every object are as they were.
 *
 * @module
 */
import { Result } from "effect"
import assert from "node:assert/strict"
import process from "node:process"
import { BadModelFile, InvalidArgument, UnsupportedModel } from "../../lib/errors.ts"

/**
 * Milliseconds that a case may take when it is alone: 50 in a campaign (`SLACK=1`). The ordinary tests, which share a
 * machine, only look for what hangs. Readers are linear in what is larger than a quarter MiB.
 */
const patienceOf = (size: number): number =>
  50 * Number(process.env["SLACK"] ?? 20) * Math.max(1, size / 2 ** 18)

/** Bytes that reading may ask for besides four times the file: what does not grow with it. */
const small = 2 ** 17

/** The constructors whose sizes are counted. */
const counted = [
  "Uint8Array",
  "Int8Array",
  "Uint16Array",
  "Int16Array",
  "Uint32Array",
  "Int32Array",
  "Float32Array",
  "Float64Array",
  "BigUint64Array",
  "BigInt64Array",
  "ArrayBuffer",
  "Array",
] as const

let asked = 0

const watched = (original: new (...given: Array<unknown>) => object) =>
  new Proxy(original, {
    construct(target, given, self) {
      const [first] = given
      const made: unknown = Reflect.construct(target, given, self)
      if (Array.isArray(made)) asked += 8 * made.length
      else if (made instanceof ArrayBuffer) asked += made.byteLength
      // A view over memory that is there takes none.
      else if (ArrayBuffer.isView(made) && !(first instanceof ArrayBuffer)) asked += made.byteLength
      return made as object
    },
  })

/** Counts the bytes of every array that is made while something runs. */
export const counting = <A>(run: () => A): A => {
  const before = counted.map((name) => [name, Reflect.get(globalThis, name)] as const)
  // Whatever each of them takes is passed on as it came.
  for (const [name, original] of before) {
    Reflect.set(globalThis, name, watched(original as new (...given: Array<unknown>) => object))
  }
  const restore = () =>
    before.forEach(([name, original]) => Reflect.set(globalThis, name, original))
  try {
    const result = run()
    if (!(result instanceof Promise)) return restore(), result
    return result.finally(restore) as A // the same promise, and what it gives
  } catch (error) {
    restore()
    throw error
  }
}

const prototypes = [Object, Array, Map, Set, String, Function, Number, Boolean, Uint8Array].map(
  ({ prototype }) => prototype,
)
const keysOf = () => prototypes.map((prototype) => Reflect.ownKeys(prototype).length).join()
const clean = keysOf()

/** A failure that a reader may have. */
const known = [BadModelFile, UnsupportedModel, InvalidArgument]

/** Fails unless an error is one of those, says where, and says nothing that a terminal would obey. */
export const checkError = (error: unknown, size: number): void => {
  const one = known.find((kind) => error instanceof kind)
  if (one === undefined || !(error instanceof Error)) throw error
  assert.ok(error.message.length < 2000, `an error of ${error.message.length} characters`)
  assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u)
  if (!(error instanceof BadModelFile)) return
  const { offset } = error
  const inside = Number.isSafeInteger(offset) && offset >= 0 && offset <= size
  assert.ok(inside, `byte ${offset} of a file of ${size}: ${error.message}`)
}

/** What a case did: a value or a typed error. */
export type Outcome<A> = Result.Result<A, BadModelFile | UnsupportedModel | InvalidArgument>

/** A run that is being measured. */
interface Started {
  readonly clock: number
  readonly processor: ReturnType<typeof process.cpuUsage>
}

const start = (): Started => {
  asked = 0
  return { clock: performance.now(), processor: process.cpuUsage() }
}

/** Milliseconds since: of the clock, or of the processor where others had it in between. */
const since = ({ clock, processor }: Started): number => {
  const took = performance.now() - clock
  const { user, system } = process.cpuUsage(processor)
  return Math.min(took, (user + system) / 1000)
}

/** What holds after a case of `size` bytes. */
const judged = <A, E>(
  size: number,
  result: Result.Result<A, E>,
  { took, taken }: { readonly took: number; readonly taken: number },
): Outcome<A> => {
  assert.ok(took <= patienceOf(size), `${took.toFixed(0)} ms for ${size} bytes`)
  assert.ok(taken <= 4 * size + small, `${taken} bytes of arrays for a file of ${size}`)
  assert.equal(keysOf(), clean, "a prototype has changed")
  if (Result.isSuccess(result)) return Result.succeed(result.success)
  checkError(result.failure, size)
  return Result.fail(result.failure as never) // `checkError` says that it is one of them
}

/** Runs a case of `size` bytes; throws where anything but a typed error comes out, or it costs too much. */
export const guarded = <A, E>(size: number, run: () => Result.Result<A, E>): Outcome<A> => {
  const first = start()
  const result = run()
  const taken = asked
  let took = since(first)
  // A slow case is slow again when it is alone and warm.
  for (let again = 0; took > patienceOf(size) && again < 4; again++) {
    const next = start()
    run()
    took = Math.min(took, since(next))
  }
  return judged(size, result, { took, taken })
}

/** The same of what waits for files. */
export const guardedLater = async <A, E>(
  size: number,
  run: () => Promise<Result.Result<A, E>>,
): Promise<Outcome<A>> => {
  const first = start()
  const result = await run()
  const taken = asked
  let took = since(first)
  for (let again = 0; took > patienceOf(size) && again < 4; again++) {
    const next = start()
    await run()
    took = Math.min(took, since(next))
  }
  return judged(size, result, { took, taken })
}

/** Throws an error with what is needed to see a case again. */
export const within = <A>(what: () => string, run: () => A): A => {
  const said = (error: unknown): never => {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${what()}`, {
      cause: error,
    })
  }
  try {
    const result = run()
    return result instanceof Promise ? result.catch(said) as A : result // the same promise, but for its error
  } catch (error) {
    return said(error)
  }
}

/** Bytes as they can be pasted into a test. */
export const pasted = (bytes: Uint8Array): string =>
  bytes.length > 4096
    ? `${bytes.length} bytes`
    : `Uint8Array.from(atob("${btoa(String.fromCharCode(...bytes))}"), (c) => c.charCodeAt(0))`
