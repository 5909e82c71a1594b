/**
 * One hostile call, and what must hold after it: a typed error that says what would do, or an answer that is sound;
 * in time, without gigabytes, and with everything older as before.
 *
 * @module
 */
import { Cause, type Context, Effect, Exit, Layer, Result, type Scope, Stream } from "effect"
import assert from "node:assert/strict"
import { DType, Gpu, Lease, Program, Shape, type Tensor } from "../../mod.ts"
import { conserved, picture } from "../../testing/world/world.ts"
import { tally } from "../../testing/mod.ts"
import { watched } from "./device.ts"
import type { Door, Plan, Room } from "./door.ts"
import { guarded } from "./guard.ts"
import { show } from "./spoil.ts"

/** Longest that a call may take, milliseconds. */
const longest = 5000

/** What came of a call. */
export interface Tried {
  readonly outcome: "refused" | "answered" | "TypeError"
  /** What is wrong with it; undefined where nothing is. */
  readonly wrong: string | undefined
  /** The answer in words, to be compared with another's. */
  readonly answer: string
}

/** A room, entered. */
export interface Visit {
  readonly room: Room
  /** Makes a call. A TypeError is an answer to arguments of a type that TypeScript refuses. */
  readonly call: (door: Door, given: ReadonlyArray<unknown>, foreign?: boolean) => Promise<Tried>
  /** Throws where something older reads otherwise than at first. */
  readonly unharmed: () => Promise<void>
}

/** The effect of a call, whatever kind of answer it gives. */
const effectOf = (
  { call, alone }: Door,
  given: ReadonlyArray<unknown>,
): Effect.Effect<unknown, unknown, Gpu | Lease | Scope.Scope> => {
  const made: Effect.Effect<unknown, unknown, never> = Effect.suspend(() => {
    const answer = call(...given as Array<never>)
    if (Result.isResult(answer)) return Effect.fromResult(answer)
    if (Stream.isStream(answer)) return Stream.runCollect(answer as Stream.Stream<unknown, unknown>)
    return Effect.isEffect(answer)
      ? answer as Effect.Effect<unknown, unknown, never> // what it needs, all calls are given
      : Effect.succeed(answer)
  })
  return alone ? made : Program.run(made)
}

/** Calls `f` with every tensor of an answer, and every number. */
const each = (
  answer: unknown,
  tensor: (x: Tensor<DType.DType, string>) => void,
  number: (x: number, name: string) => void,
  name: string,
  seen: Set<unknown>,
): void => {
  if (typeof answer === "number") return number(answer, name)
  if (typeof answer !== "object" || answer === null || seen.has(answer)) return
  seen.add(answer)
  if ("slot" in answer && "axes" in answer) return tensor(answer as Tensor<DType.DType, string>)
  if (!Array.isArray(answer) && Object.getPrototypeOf(answer) !== Object.prototype) return
  for (const [key, part] of Object.entries(answer)) {
    if (!["arena", "layout", "pages", "held", "node", "llama"].includes(key)) {
      each(part, tensor, number, key, seen)
    }
  }
}

/** What is wrong with an answer, whatever it is of: sizes that are none, memory that is not there, no numbers. */
const unsound = (
  answer: unknown,
  finite: boolean,
): Effect.Effect<string | undefined, unknown, Gpu> =>
  Effect.gen(function* () {
    const tensors: Array<Tensor<DType.DType, string>> = []
    const odd: Array<string> = []
    const number = (x: number, name: string) => {
      if (finite && Number.isNaN(x)) odd.push(`${name} is NaN`)
    }
    each(answer, (x) => tensors.push(x), number, "the answer", new Set())
    for (const { axes, shape, dtype, slot } of tensors) {
      const ranks = Shape.words(axes).length
      if (ranks !== shape.length) odd.push(`a tensor [${shape}] has ${ranks} axes`)
      if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) odd.push(`a size of [${shape}]`)
      else if (DType.bytes(dtype, Shape.size(shape)) > slot.bytes) odd.push(`a tensor past its end`)
    }
    if (odd.length > 0) return odd.join(", ")
    for (const x of tensors.filter(({ dtype, slot }) => dtype === "f32" && slot.buffer)) {
      const data = yield* Gpu.read(x as Tensor<"f32", string>)
      if (finite && !data.every(Number.isFinite)) {
        return `[${x.axes}] holds ${data.find((n) => !Number.isFinite(n))}`
      }
    }
  })

/** What is wrong with a refusal: it is none of the library's, or says nothing. */
const mute = (failure: unknown): string | undefined => {
  const { _tag, message } = failure as { readonly _tag?: string; readonly message?: string }
  return typeof _tag === "string" && /^Cannot \w+ .+: .+/s.test(message ?? "")
    ? undefined
    : `it is refused with ${_tag}: ${message ?? failure}`
}

const verdict = (exit: Exit.Exit<unknown, unknown>, foreign: boolean): Omit<Tried, "answer"> => {
  if (Exit.isSuccess(exit)) return { outcome: "answered", wrong: undefined }
  const reason = exit.cause.reasons.find(Cause.isFailReason)
  if (reason !== undefined) return { outcome: "refused", wrong: mute(reason.error) }
  const thrown = Cause.squash(exit.cause)
  if (mute(thrown) === undefined) return { outcome: "refused", wrong: undefined }
  const typed = foreign && (thrown instanceof TypeError || thrown instanceof SyntaxError)
  return {
    outcome: "TypeError",
    wrong: typed ? undefined : Cause.pretty(exit.cause).split("\n").slice(0, 4).join(" "),
  }
}

const visitOf = (
  room: Room,
  context: Context.Context<Gpu>,
  misfits: () => ReadonlyArray<string>,
  first: unknown,
): Visit => {
  const { arenas } = room
  const live = () => Effect.runSync(Effect.provideContext(Gpu.live, context))
  const books = () => arenas.map((arena) => picture({ arena }))
  /** Marks may rise where a call succeeded: a lease that is closed by now wrote on in a block's free slots. */
  const without = (pictures: ReturnType<typeof books>) =>
    pictures.map((text) => text.replaceAll(/(free \d+|^\d+|(?<=[,;] )\d+) \d+/g, "$1 any"))
  const harm = (before: readonly [ReturnType<typeof books>, unknown], failed: boolean) => {
    try {
      for (const arena of arenas) conserved({ arena, tally: tally() })
      const now = books()
      assert.deepEqual(failed ? now : without(now), failed ? before[0] : without(before[0]))
      assert.deepEqual(live(), before[1], "buffers that are alive")
    } catch (error) {
      return `afterwards ${(error as Error).message}`
    }
  }
  return {
    room,
    call: async (door, given, foreign = false) => {
      const before = [books(), live()] as const
      let answer = ""
      let odd: string | undefined
      const work = Effect.scoped(Effect.gen(function* () {
        const lease = yield* Lease.make(arenas[0]!)
        const made = yield* Lease.under(lease)(effectOf(door, given))
        answer = show(made, Infinity).replaceAll('"-0"', "0")
        odd = (yield* unsound(made, !foreign && door.arithmetic !== true)) ??
          (foreign ? undefined : door.right?.(given, made))
      }))
      const timed = async () => {
        const start = performance.now()
        const exit = await Effect.runPromiseExit(Effect.provideContext(work, context))
        return { exit, took: performance.now() - start }
      }
      let { exit, took } = await timed()
      for (let again = 0; took > longest && again < 3; again++) { // others may have had the processor
        took = Math.min(took, (await timed()).took)
      }
      const tried = verdict(exit, foreign)
      if (Exit.isFailure(exit)) answer = `${Cause.squash(exit.cause)}`
      const slow = took > longest ? `it took ${Math.round(took)} ms` : undefined
      const told = misfits()
      const wrong = tried.wrong ?? odd ?? told[0] ?? slow ??
        harm(before, tried.outcome !== "answered")
      return {
        ...tried,
        answer,
        wrong: wrong === undefined
          ? undefined
          : `${door.name}(${given.map(show).join(", ")}): ${wrong}`,
      }
    },
    unharmed: async () => {
      const now = await Effect.runPromise(Effect.provideContext(room.read, context))
      assert.deepEqual(now, first, "older values read as before")
    },
  }
}

/** Builds a room on a CPU device whose launches are looked at, and goes there. */
export const enter = <A>(plan: Plan, work: (visit: Visit) => Promise<A>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function* () {
    const device = watched(Gpu.layerCpu())
    const context = yield* Layer.build(device.layer)
    const room = yield* Effect.provideContext(plan, context)
    const first = yield* Effect.provideContext(room.read, context)
    device.taken()
    const visit = visitOf(room, context, device.taken, first)
    return yield* Effect.promise(() => guarded(() => work(visit)))
  })))
