/**
 * A rude caller: every number, list and tensor that an export takes, replaced by what it never should be. The
 * answer is a result or a typed refusal, never a throw.
 *
 * @module
 */
import { Cause, type Context, Effect, Exit, Result, type Scope } from "effect"
import assert from "node:assert/strict"
import {
  Gpu,
  type GpuFault,
  Lease,
  Program,
  type Recording,
  type ShapeMismatch,
  type Tensor,
} from "../../mod.ts"

type Answer = Result.Result<unknown, unknown> | Effect.Effect<unknown, unknown, Services>
type Services = Recording | Recording.Transaction | Lease | Gpu
/** A call that works, as a function of its arguments. */
export type Call = readonly [
  name: string,
  call: (...args: Array<never>) => Answer,
  ...args: Array<unknown>,
]

const numbers = [NaN, -0, -1, 0.5, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, Infinity, -Infinity]

const isTensor = (x: object): x is Tensor<"f32", string> => "slot" in x && "shape" in x
const isPlain = (x: object): boolean =>
  Object.getPrototypeOf(x) === Object.prototype && Object.getOwnPropertySymbols(x).length === 0 &&
  !("ledgers" in x) && !("arena" in x) && !("pages" in x) && !("views" in x) && !("collection" in x)

/** An argument with one thing in it that is wrong. */
const spoilt = (value: unknown): ReadonlyArray<unknown> => {
  if (typeof value === "number") return numbers
  if (typeof value !== "object" || value === null) return []
  if (Array.isArray(value)) {
    const longer = value.length === 0 ? [1] : [...value, value.at(-1)]
    const parts = value.flatMap((one, i) => spoilt(one).map((bad) => value.with(i, bad)))
    return [[], value.slice(1), longer, ...parts]
  }
  if (isTensor(value)) {
    const { shape } = value
    const shapes = [[], [1, ...shape], [...shape, 1], shape.slice(1), shape.toReversed()]
    return shapes.map((shape) => ({ ...value, shape }))
  }
  if (!isPlain(value)) return []
  return Object.entries(value).flatMap(([name, one]) =>
    spoilt(one).map((bad) => ({ ...value, [name]: bad }))
  )
}

const show = (value: unknown): string =>
  JSON.stringify(
    value,
    (name, one) =>
      typeof one === "number" && !Number.isFinite(one)
        ? `${one}`
        : typeof one === "object" && one !== null && name !== "" && !Array.isArray(one) &&
            isTensor(one)
        ? `tensor [${one.shape}]`
        : one,
  )?.slice(0, 300) ?? "nothing"

const refusalError = (failure: unknown): string | undefined => {
  const { _tag, message } = failure as { readonly _tag?: string; readonly message?: string }
  return typeof _tag === "string" && /^Cannot .+/.test(message ?? "") && !/undefined/.test(message!)
    ? undefined
    : `refused with ${_tag}: ${message}`
}

/** A call's effect, whatever kind of answer it gives. */
const asked = (call: Call[1], args: ReadonlyArray<unknown>) =>
  Effect.scoped(Program.run(Effect.suspend(() => {
    const answer = call(...args as Array<never>)
    return Result.isResult(answer) ? Effect.fromResult(answer) : answer
  })))

/** What is wrong with an answer: it is none, or a refusal that says nothing. */
const wrongIn = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const refusal = exit.cause.reasons.find(Cause.isFailReason)
  return refusal === undefined
    ? Cause.pretty(exit.cause).split("\n").slice(0, 3).join(" ")
    : refusalError(refusal.error)
}

/** Spoils every argument of every call, one at a time, under the lease. */
export const rude = (
  lease: Context.Service.Shape<typeof Lease.Service>,
  calls: ReadonlyArray<Call>,
): Effect.Effect<void, never, Gpu> =>
  Effect.gen(function* () {
    const wrong: Array<string> = []
    for (const [name, call, ...args] of calls) {
      const works = yield* Effect.exit(Lease.under(lease)(asked(call, args)))
      if (Exit.isFailure(works)) wrong.push(`${name} as it should be: ${Cause.pretty(works.cause)}`)
      for (const [i, arg] of args.entries()) {
        for (const bad of spoilt(arg)) {
          const exit = yield* Effect.exit(Lease.under(lease)(asked(call, args.with(i, bad))))
          const why = wrongIn(exit)
          if (why !== undefined) wrong.push(`${name} of ${show(bad)}: ${why}`)
        }
      }
    }
    assert.deepEqual(wrong, [])
  })

/** A tensor of the scope whose elements count up. */
export const rows = <const A extends string>(
  axes: A,
  ...shape: ReadonlyArray<number>
): Effect.Effect<Tensor<"f32", A>, ShapeMismatch | GpuFault, Gpu | Scope.Scope> => {
  const count = shape.reduce((product, size) => product * size, 1)
  const data = Float32Array.from({ length: count }, (_, i) => i + 1)
  return Effect.map(
    Gpu.upload("f32", "n", { n: count }, data),
    (flat) => ({ ...flat, axes, shape }),
  )
}

/** Runs a test on the CPU. */
export const run = (program: Effect.Effect<void, unknown, Gpu | Scope.Scope>): Promise<void> =>
  Effect.runPromise(Effect.provide(Effect.scoped(program), Gpu.layerCpu()))
