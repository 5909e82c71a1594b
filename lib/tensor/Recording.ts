/**
 * A recording: launches written down, not yet run, and what must be settled when they have run.
 * One run of a recording is one transaction: all of it happens, or nothing.
 *
 * @module
 */
import { Context, type Deferred, Effect, Result } from "effect"
import type {
  AnyKernel,
  ArrayOf,
  BindingDType,
  DType,
  Given,
  Grid,
  Kernel,
  KernelAxes,
  Overrides,
  Params,
  ParsedBinding,
  Sizes,
  Spec,
  Writes,
} from "../../kernels/kernel.ts"
import { type DeviceError, type LeaseClosed, ShapeMismatch, type StaleTensor } from "../errors.ts"
import * as DTypes from "./DType.ts"
import * as Shape from "./Shape.ts"
import type { Tensor } from "./value.ts"

/** Device memory; only a Gpu layer looks inside. */
export interface Buffer {
  readonly bytes: number
  readonly raw: unknown
}

/** Where a tensor lies. Internal, and the one thing about a tensor that changes: memory comes late and goes early. */
export interface Slot {
  readonly bytes: number
  /** Host values to write before the work runs; the host keeps no copy afterwards. */
  readonly data: ArrayBufferView | undefined
  buffer: Buffer | undefined
  /** Why it can no longer be read; undefined while it can. */
  stale: string | undefined
}

/** One launch, as data: it prints, compares and goes into golden files. */
export interface Dispatch {
  readonly _tag: "Dispatch"
  readonly kernel: AnyKernel
  readonly overrides: Readonly<Record<string, number>>
  readonly bindings: Readonly<Record<string, Tensor<DType, string>>>
  readonly axes: Readonly<Record<string, number>>
  readonly params: Readonly<Record<string, number>>
  readonly grid: Grid
}

/** A list of launches that a device keeps ready, run again with other inputs. */
export interface Replay {
  readonly _tag: "Replay"
  /** What the device made of the launches; only a Gpu layer looks inside. */
  readonly prepared: unknown
  /** Host values to write before the submit that runs it. */
  readonly uploads: ReadonlyArray<readonly [Buffer, ArrayBufferView]>
}

/** One item of a recording. */
export type Work = Dispatch | Replay

/** Something that is decided when the transaction ends, such as a claim on cache blocks. */
export interface Ending {
  /** Why it could not land now; asked of every ending before any is settled. */
  readonly refuses: () => LeaseClosed | undefined
  /** Called once: in order when the transaction landed, newest first when it did not. */
  readonly settle: (landed: boolean) => void
  /** Called once, when every ending is settled. */
  readonly close: (landed: boolean) => void
}

/** What an op adds to. */
export interface Open {
  readonly work: Array<Work>
  readonly endings: Array<Ending>
  /** Transactions whose end this one waits for: a ring of them would wait for ever. */
  readonly waitsFor: Set<Open>
  /** Submits on the way that have not ended. */
  readonly sending: Set<Deferred.Deferred<void>>
  /** Its run is over: nothing can be recorded any more. */
  ended: boolean
  /** Why work that was submitted on the way may not have run: then the transaction cannot land. */
  lost: DeviceError | StaleTensor | undefined
}

/** Key of the method by which a value names the tensors it must keep when a recording returns it. */
export const Keep: unique symbol = Symbol.for("kvasir/Keep")
/** A value that holds tensors out of sight of `Program.run`, such as a cache with unwritten rows. */
export interface Keeper {
  readonly [Keep]: () => Iterable<Tensor<DType, string>>
}

/** Identifier of the service: needed by every op. */
export interface Recording {
  readonly "~kvasir/Recording": "provided by Program.run"
}
/** The open recording. */
export const Service: Context.Service<Recording, Open> = Context.Service<Recording, Open>(
  "kvasir/Recording",
)

/** Identifier of the service needed by what may happen only once per submit, such as placing caches. */
export interface Transaction {
  readonly "~kvasir/Transaction": "provided by Program.run"
}
/** The same recording, when it will be submitted exactly once. */
export const Once: Context.Service<Transaction, Open> = Context.Service<Transaction, Open>(
  "kvasir/Transaction",
)

/** A new, empty one. */
export const open = (): Open => ({
  work: [],
  endings: [],
  waitsFor: new Set(),
  sending: new Set(),
  ended: false,
  lost: undefined,
})

/** Lifts a plain recording function to an Effect: one primitive, no generator (about 0.1 µs). */
export const op = <A, E>(f: (rec: Open) => Result.Result<A, E>): Effect.Effect<A, E, Recording> =>
  Effect.withFiber((fiber) => {
    const r = f(Context.getUnsafe(fiber.context as Context.Context<Recording>, Service))
    return Result.isSuccess(r) ? Effect.succeed(r.success) : Effect.fail(r.failure)
  })

type Outputs<S extends Spec> = { readonly [K in Writes<S>]: Shape.Shaped<string> }

/** Numbers the launch cannot work out from the axes by itself. */
type Rest<All, Known extends string> = { readonly [K in Exclude<keyof All, Known>]: number }

/**
 * What a launch needs, by the kernel's record. Params and overrides named like an axis fill themselves
 * (an override in capitals).
 */
export interface Launch<S extends Spec, O extends Outputs<S>> {
  /** Tensors that are read or updated. */
  readonly reads: { readonly [K in Given<S>]: Tensor<BindingDType<S["bindings"][K]>, string> }
  /** Axes and shapes of the tensors to make. */
  readonly writes: O
  readonly params: Rest<Params<S>, KernelAxes<S>>
  readonly overrides: {
    readonly [K in Exclude<keyof Overrides<S>, Uppercase<KernelAxes<S>>>]: number
  }
}

/** Tensors a launch makes, with the axis names the caller asked for. */
export type Made<S extends Spec, O extends Outputs<S>> = {
  readonly [K in Writes<S>]: Tensor<BindingDType<S["bindings"][K]>, O[K]["axes"]>
}

/** A tensor without memory yet; `Program.run` backs it. */
export const fresh = <D extends DType, A extends string>(
  dtype: D,
  axes: A,
  shape: ReadonlyArray<number>,
  data?: ArrayOf[D],
): Tensor<D, A> => ({
  dtype,
  axes,
  shape,
  slot: {
    bytes: DTypes.bufferBytes(dtype, Shape.size(shape)),
    data,
    buffer: undefined,
    stale: undefined,
  },
})

/**
 * Host values as a tensor of this recording: written to the device before the recording's work runs.
 * `data` is row-major and must not change before the run ends.
 */
export const constant = <D extends DType, const A extends string>(
  dtype: D,
  axes: A,
  sizes: NoInfer<Sizes<A>>,
  data: ArrayOf[NoInfer<D>],
): Result.Result<Tensor<D, A>, ShapeMismatch> => {
  const { shape } = Shape.of(axes, sizes)
  const bad = Shape.wholeError("data", { axes, shape })
  if (bad !== undefined) return Result.fail(bad)
  const expected = DTypes.bytes(dtype, Shape.size(shape)) / data.BYTES_PER_ELEMENT
  if (expected !== data.length) {
    return Result.fail(
      new ShapeMismatch({ tensor: "data", axis: axes, expected, actual: data.length }),
    )
  }
  return Result.succeed(fresh(dtype, axes, shape, data))
}

/** Aligned from the right; the first name takes the product of all leading axes. */
const bindAxes = (
  axes: Record<string, number>,
  { name, axes: names }: ParsedBinding,
  shape: ReadonlyArray<number>,
): ShapeMismatch | undefined => {
  for (let i = names.length - 1, j = shape.length - 1; i >= 0; i--, j--) {
    let actual = shape[j] ?? 1
    if (i === 0) { while (j > 0) actual *= shape[--j]! }
    const axis = names[i]!
    const expected = axes[axis] ??= actual
    if (expected !== actual) return new ShapeMismatch({ tensor: name, axis, expected, actual })
  }
}

/** Records one launch: the plain function under every op. O(bindings). */
export const launchTo = <S extends Spec, const O extends Outputs<S>>(
  rec: Open,
  kernel: Kernel<S>,
  args: Launch<S, O>,
): Result.Result<Made<S, O>, ShapeMismatch> => {
  // The record ↔ type seam: below, names are strings; the types above say which names there are.
  const given = args.reads as Record<string, Tensor<DType, string>>
  const writes = args.writes as Record<string, Shape.Shaped<string>>
  const bindings: Record<string, Tensor<DType, string>> = {}
  const made: Record<string, Tensor<DType, string>> = {}
  const axes: Record<string, number> = {}
  for (const binding of kernel.bindings) {
    const { name, access, dtype } = binding
    const like = access === "write" ? writes[name]! : given[name]!
    const bad = bindAxes(axes, binding, like.shape)
    if (bad !== undefined) return Result.fail(bad)
    bindings[name] = access === "write"
      ? made[name] = fresh(dtype, like.axes, like.shape)
      : given[name]!
  }
  const params: Record<string, number> = {}
  for (const name in kernel.spec.params) {
    params[name] = axes[name] ?? (args.params as Record<string, number>)[name]!
  }
  const overrides: Record<string, number> = {}
  for (const name in kernel.spec.overrides) {
    overrides[name] = (args.overrides as Record<string, number>)[name] ?? axes[name.toLowerCase()]!
  }
  const any = kernel as unknown as AnyKernel
  const grid = any.grid(axes, overrides, params)
  rec.work.push({ _tag: "Dispatch", kernel: any, overrides, bindings, axes, params, grid })
  return Result.succeed(made as Made<S, O>)
}

/**
 * Records one launch of any kernel, yours included.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { type Kernel, Recording, type Tensor } from "@kvasir/kvasir"
 * // given a kernel whose record reads `x` and writes `out`, both f32[n]
 * type Spec = {
 *   name: "double"
 *   bindings: { x: "read f32[n]"; out: "write f32[n]" }
 *   overrides: { WG: "u32" }
 *   params: { n: "u32" }
 * }
 * const double = (kernel: Kernel<Spec>, x: Tensor<"f32", "tokens">) =>
 *   Recording.launch(kernel, { reads: { x }, writes: { out: x }, params: {}, overrides: { WG: 64 } })
 *     .pipe(Effect.map((made) => made.out)) // Tensor<"f32", "tokens">
 * ```
 */
export const launch = <S extends Spec, const O extends Outputs<S>>(
  kernel: Kernel<S>,
  args: Launch<S, O>,
): Effect.Effect<Made<S, O>, ShapeMismatch, Recording> => op((rec) => launchTo(rec, kernel, args))
