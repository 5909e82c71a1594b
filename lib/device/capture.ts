/** Recordings written once and run many times: per run, the host only writes inputs and walks a list. @module */
import { Effect, type Scope } from "effect"
import type { ArrayOf, DType, Sizes } from "../../kernels/kernel.ts"
import { type DeviceError, InvalidArgument, ShapeMismatch, type StaleTensor } from "../errors.ts"
import * as DTypes from "../tensor/DType.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Shape from "../tensor/Shape.ts"
import type { Tensor } from "../tensor/value.ts"
import { back, launchesOf, staleIn } from "./memory.ts"
import { type Gpu, Service } from "./service.ts"

/** A declared input: what its tensor will be. */
export interface Input<out D extends DType, out A extends string> {
  readonly dtype: D
  readonly axes: A
  readonly shape: ReadonlyArray<number>
}

/** Inputs by name. */
export interface Inputs {
  readonly [name: string]: Input<DType, string>
}

/** What the body of a capture is given. */
export type Given<I extends Inputs> = {
  readonly [K in keyof I]: Tensor<I[K]["dtype"], I[K]["axes"]>
}

/** Host values for a replay; an input that is left out keeps what the device has in it. */
export type Values<I extends Inputs> = { readonly [K in keyof I]?: ArrayOf[I[K]["dtype"]] }

/** A captured recording: compiled, bound, with memory of its own. */
export interface Program<I extends Inputs, out A> {
  readonly given: Given<I>
  readonly out: A
  /** Internal: what the device made of it. */
  readonly prepared: unknown
  /** Internal: slots that the last replay handed out. */
  readonly handed: { slots: ReadonlyArray<Recording.Slot> }
}

/** Declares an input. */
export const tensor = <D extends DType, const A extends string>(
  dtype: D,
  axes: A,
  sizes: NoInfer<Sizes<A>>,
): Input<D, A> => ({ dtype, axes, shape: Shape.of(axes, sizes).shape })

/** Slots whose values are written when the capture is made, and must outlive every replay. */
const constants = (
  work: ReadonlyArray<Recording.Dispatch>,
): ReadonlyArray<Tensor<DType, string>> =>
  work.flatMap((launch) =>
    Object.values(launch.bindings).filter(({ slot }) => slot.data !== undefined)
  )

/**
 * Records `body` once. Its memory belongs to the scope. Nothing that may happen only once (placing caches)
 * can be recorded in it, which the compiler says: `Transaction` is missing.
 */
export const capture = <I extends Inputs, A, E, R>(
  inputs: I,
  body: (given: Given<I>) => Effect.Effect<A, E, R>,
): Effect.Effect<
  Program<I, A>,
  E | ShapeMismatch | DeviceError | StaleTensor,
  Exclude<R, Recording.Recording> | Gpu | Scope.Scope
> =>
  Effect.gen(function* () {
    const gpu = yield* Service
    for (const [name, input] of Object.entries(inputs)) {
      const bad = Shape.wholeError(name, input)
      if (bad !== undefined) return yield* bad
    }
    const rec = Recording.open()
    const given = Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, axes, shape }]) => [
        name,
        Recording.fresh(dtype, axes, shape),
      ]),
    ) as unknown as Given<I> // name by name what `Given` says
    const out = yield* Effect.provideService(body(given), Recording.Service, rec)
    const work = launchesOf(rec.work)
    const gone = staleIn(work)
    if (gone !== undefined) return yield* gone
    // Uninterruptible: nobody else would give back what was made.
    yield* Effect.acquireRelease(
      Effect.suspend(() =>
        Effect.fromResult(back(gpu, work, [Object.values(given), out, constants(work)]))
      ),
      ({ kept, scratch }) =>
        Effect.sync(() => {
          for (const slot of kept) {
            slot.stale = "its scope is closed"
            gpu.destroy(slot.buffer!)
          }
          scratch.forEach(gpu.destroy)
        }),
    )
    const prepared = yield* gpu.prepare(work)
    return { given, out, prepared, handed: { slots: [] } }
  })

/** The same tensors over slots of their own, so that the next replay can make these stale. */
const handOut = <A>(value: A, slots: Map<Recording.Slot, Recording.Slot>): A => {
  if (typeof value !== "object" || value === null) return value
  if ("slot" in value && "axes" in value) {
    const own = (value as unknown as Tensor<DType, string>).slot
    const slot = slots.get(own) ?? { ...own }
    slots.set(own, slot)
    return { ...value, slot }
  }
  if (Array.isArray(value)) return value.map((part) => handOut(part, slots)) as A
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, handOut(part, slots)]),
  ) as A
}

/**
 * Adds one run of the program to the recording: its inputs are written, its launches follow. The tensors it
 * gives back are stale after the next replay, which writes over them. A recording may hold one replay of a
 * program, since inputs are written before the whole submit.
 */
export const replay = <I extends Inputs, A>(
  program: Program<I, A>,
  values: Values<I>,
): Effect.Effect<A, ShapeMismatch | InvalidArgument, Recording.Recording | Recording.Transaction> =>
  Effect.flatMap(
    Recording.Once,
    (rec): Effect.Effect<A, ShapeMismatch | InvalidArgument> => {
      const { prepared, given, handed } = program
      if (rec.work.some((item) => item._tag === "Replay" && item.prepared === prepared)) {
        const need = "1: its inputs are written before the whole submit"
        const name = "the number of replays of a program in one submit"
        return Effect.fail(new InvalidArgument({ name, value: 2, need }))
      }
      const uploads: Array<readonly [Recording.Buffer, ArrayBufferView]> = []
      for (const name in values) {
        const value = values[name]
        if (value === undefined) continue
        const { axes, dtype, shape, slot } = given[name]
        const expected = DTypes.bytes(dtype, Shape.size(shape)) / value.BYTES_PER_ELEMENT
        if (expected !== value.length) {
          return Effect.fail(
            new ShapeMismatch({ tensor: name, axis: axes, expected, actual: value.length }),
          )
        }
        uploads.push([slot.buffer!, value])
      }
      rec.work.push({ _tag: "Replay", prepared, uploads })
      for (const slot of handed.slots) slot.stale = "a later replay wrote over it"
      const slots = new Map<Recording.Slot, Recording.Slot>()
      const out = handOut(program.out, slots)
      handed.slots = [...slots.values()]
      return Effect.succeed(out)
    },
  )
