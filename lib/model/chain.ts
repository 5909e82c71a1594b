/**
 * Decoding without the host in between: some steps captured as one program, in which the token that a step
 * draws is the one that the next step reads. The host writes where each step's rows go, and reads the tokens.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import { place } from "../../kernels/place.ts"
import type { Arena } from "../cache/Arena.ts"
import type { Step } from "../cache/Step.ts"
import * as Table from "../cache/Table.ts"
import { capacity } from "../cache/write.ts"
import * as Program from "../device/Program.ts"
import type { Gpu } from "../device/service.ts"
import {
  type DeviceError,
  InvalidArgument,
  type ShapeMismatch,
  type StaleTensor,
} from "../errors.ts"
import * as Recording from "../tensor/Recording.ts"
import * as Tensor from "../tensor/Tensor.ts"
import { forward } from "./forward.ts"
import type { Llama } from "./load.ts"
import { choose, noiseOf, type Sampling, samplingError } from "./Sampler.ts"

/** What one run of a chain leaves. */
export interface Drawn {
  /** `[steps]`, the token each step drew. */
  readonly tokens: Tensor.Tensor<"u32", "steps">
  /** What each was drawn from; empty unless asked for. */
  readonly logits: ReadonlyArray<Tensor.Tensor<"f32", "batch vocab">>
}

/** A captured run of decode steps for one sequence of an arena. */
export interface Chain {
  readonly steps: number
  readonly arena: Arena
  readonly sampling: Sampling
  /** Ids that may be read: those below. */
  readonly vocab: number
  readonly program: Program.Program<Program.Inputs, Drawn>
  /** Layers it writes: all. */
  readonly written: ReadonlySet<number>
}

/** How a chain is made. */
export interface ChainOptions extends Sampling {
  /** Steps of one run. */
  readonly steps: number
  /** Keep what each token was drawn from. */
  readonly keepLogits?: boolean
}

/** Each is a pass over all layers that is compiled, bound and kept: far more than are ever worth it. */
const mostSteps = 4096

/** Names of a step's inputs. */
const name = (input: string, step: number, group = 0): string => `${input}${step}.${group}`

/** Blocks a table of any cache of this arena can name. */
const widthOf = (arena: Arena): number => Math.ceil(capacity(arena) / arena.layout.blockSize)

const inputsOf = (arena: Arena, steps: number): Program.Inputs => {
  const { layout } = arena
  const inputs: Record<string, Program.Inputs[string]> = {
    token: Program.tensor("u32", "tokens", { tokens: 1 }),
  }
  for (const group of layout.groups.keys()) {
    const sizes = { batch: 1, maxBlocks: widthOf(arena) }
    inputs[name("blockTables", 0, group)] = Program.tensor("u32", "batch maxBlocks", sizes)
  }
  for (let step = 0; step < steps; step++) {
    inputs[name("positions", step)] = Program.tensor("u32", "tokens", { tokens: 1 })
    inputs[name("noise", step)] = Program.tensor("u32", "batch two", { batch: 1, two: 2 })
    for (const group of layout.groups.keys()) {
      const one = { tokens: 1, pair: 2, three: 3 }
      inputs[name("slotMapping", step, group)] = Program.tensor("u32", "tokens pair", one)
      inputs[name("visible", step, group)] = Program.tensor("u32", "tokens three", one)
    }
  }
  return inputs
}

const put = (
  x: Tensor.Tensor<"u32", string>,
  out: Tensor.Tensor<"u32", string>,
  at: number,
): Effect.Effect<unknown, ShapeMismatch, Recording.Recording> =>
  Recording.launch(place, { reads: { x, out }, writes: {}, params: { at }, overrides: { WG: 64 } })

/** Captures the steps. Its memory and what the device makes of it belong to the scope. */
export const make = (
  { config, weights }: Llama,
  arena: Arena,
  options: ChainOptions,
): Effect.Effect<
  Chain,
  ShapeMismatch | InvalidArgument | DeviceError | StaleTensor,
  Gpu | Scope.Scope
> => {
  const { steps, keepLogits = false } = options
  const bad = samplingError(options) ?? between("steps", steps, 1, mostSteps)
  if (bad !== undefined) return Effect.fail(bad)
  const written = new Set<number>()
  const stepOf = (given: Program.Given<Program.Inputs>, step: number): Step => {
    // The inputs by the names that `inputsOf` gave them, with the axes it gave them.
    const input = <A extends string>(key: string) => given[key] as Tensor.Tensor<"u32", A>
    return {
      arena,
      rows: [],
      written,
      positions: input<"tokens">(name("positions", step)),
      last: Recording.fresh("u32", "batch", [1], Uint32Array.of(0)),
      groups: arena.layout.groups.map((_, group) => ({
        slotMapping: input<"tokens pair">(name("slotMapping", step, group)),
        blockTables: input<"batch maxBlocks">(name("blockTables", 0, group)),
        visible: input<"tokens three">(name("visible", step, group)),
      })),
    }
  }
  const program = Program.capture(inputsOf(arena, steps), (given) =>
    Effect.gen(function* () {
      const first = given.token as Tensor.Tensor<"u32", "tokens">
      const tokens = Recording.fresh("u32", "steps", [steps])
      const logits: Array<Tensor.Tensor<"f32", "batch vocab">> = []
      let ids = first
      for (let step = 0; step < steps; step++) {
        const hidden = yield* forward(config, weights, stepOf(given, step), ids)
        const scores = yield* Tensor.linear(Tensor.rename(hidden, "tokens", "batch"), weights.head)
        const noise = given[name("noise", step)] as Tensor.Tensor<"u32", "batch two">
        const token = yield* choose(scores, noise, options)
        yield* put(token, tokens, step)
        if (keepLogits) logits.push(scores)
        ids = Tensor.rename(token, "batch", "tokens")
      }
      yield* put(ids, first, 0) // what the next run begins with, unless the host says otherwise
      return { tokens, logits }
    }))
  return Effect.map(program, (made) => ({
    steps,
    arena,
    sampling: options,
    vocab: config.vocab,
    program: made,
    written,
  }))
}

/** What is wrong with a number of the caller's; others would name blocks and rows that are not the step's. */
const between = (name: string, value: number, least: number, most: number) =>
  Number.isSafeInteger(value) && value >= least && value <= most
    ? undefined
    : new InvalidArgument({ name, value, need: `a whole number from ${least} to ${most}` })

/** What is wrong with a run: the chain writes where the step says, into the pools it was captured with. */
const replayError = (
  { arena, steps, vocab }: Chain,
  step: Step,
  offset: number,
  count: number,
  token: number | undefined,
): InvalidArgument | undefined => {
  const [row, ...others] = step.rows
  if (row === undefined || others.length > 0) {
    const need = "1: a chain decodes one sequence"
    return new InvalidArgument({ name: "rows of the step", value: step.rows.length, need })
  }
  if (step.arena !== arena) {
    const need = "a cache of the arena that the chain is made for"
    return new InvalidArgument({ name: "a cache", value: "one of another arena", need })
  }
  return between("offset", offset, 0, row.queryLen) ??
    between("count", count, 0, Math.min(steps, row.queryLen - offset)) ??
    (token === undefined ? undefined : between("a token id", token, 0, vocab - 1))
}

/**
 * Records a run of the chain inside a step of one cache: it reads the step's tokens from `offset` on, of which
 * there are `count`; steps past them write to the dummy block and draw tokens nobody wants. `token` is the
 * first token read; without it, the last one that the run before drew.
 */
export const replay = (
  chain: Chain,
  step: Step,
  offset: number,
  count: number,
  token?: number,
): Effect.Effect<
  Drawn,
  ShapeMismatch | InvalidArgument,
  Recording.Recording | Recording.Transaction
> => {
  const { arena, steps, sampling } = chain
  const { blockSize } = arena.layout
  const bad = replayError(chain, step, offset, count, token)
  if (bad !== undefined) return Effect.fail(bad)
  const row = step.rows[0]!
  const values: Record<string, Uint32Array> = {}
  if (token !== undefined) values.token = Uint32Array.of(token)
  for (const [group, table] of row.tables.entries()) {
    const dummy = arena.ledgers[group]!.numBlocks
    const start = row.starts[group]!
    if (offset === 0) { // the step's blocks do not change while it lasts
      const ids = new Uint32Array(widthOf(arena)).fill(dummy)
      Table.copyIds(table, ids, 0)
      ids.fill(dummy, 0, Math.floor(start / blockSize))
      values[name("blockTables", 0, group)] = ids
    }
    for (let i = 0; i < steps; i++) {
      const position = row.cachedLen + offset + i
      const inside = i < count
      const block = inside ? Table.at(table, Math.floor(position / blockSize))!.id : dummy
      const slot = block * blockSize + position % blockSize
      values[name("slotMapping", i, group)] = Uint32Array.of(0, slot)
      values[name("visible", i, group)] = inside
        ? Uint32Array.of(0, start, position)
        : Uint32Array.of(0, position + 1, position)
    }
  }
  for (let i = 0; i < steps; i++) {
    const position = row.cachedLen + offset + i
    values[name("positions", i)] = Uint32Array.of(position)
    values[name("noise", i)] = noiseOf(sampling, [position + 1])
  }
  for (const layer of chain.written) step.written.add(layer)
  return Program.replay(chain.program, values)
}
