/** What the queries of a chunk see, from positions alone. @module */
import { Result } from "effect"
import * as Mask from "../../attention/Mask.ts"
import * as Window from "../../attention/Window.ts"
import { InvalidArgument } from "../../errors.ts"
import { maskOf } from "./AttnMaskDetail.ts"
import { whole } from "./check.ts"
import { error as metadataError, type TransformerMetadata } from "./TransformerMetadata.ts"
import type { TransformerCacheView } from "./value.ts"

/** Both windows hold. */
const narrower = (
  given: Window.Window | undefined,
  own: Window.Window | undefined,
): Result.Result<Window.Window, InvalidArgument> => {
  if (given?.last === undefined || own?.last === undefined) {
    return Result.succeed((given?.last === undefined ? own : given) ?? Window.all)
  }
  if (given.sinks > 0) {
    const need = `0 in a layer that sees its last ${own.last} tokens only`
    return Result.fail(
      new InvalidArgument({ name: "window.sinks", value: given.sinks, need }),
    )
  }
  return Result.succeed(Window.last(Math.min(given.last, own.last)))
}

type Chunks = Pick<Mask.Mask, "chunk" | "chunkOffset">

/** Both chunks hold: only equal ones make one chunk again. */
const sameChunk = (given: Chunks, own: Chunks): Result.Result<Chunks, InvalidArgument> => {
  const pick = ({ chunk, chunkOffset = 0 }: Chunks): Chunks =>
    chunk === undefined ? {} : { chunk, chunkOffset }
  if (given.chunk === undefined || own.chunk === undefined) {
    return Result.succeed(pick(given.chunk === undefined ? own : given))
  }
  const offset = ({ chunk, chunkOffset = 0 }: Chunks) => chunkOffset % chunk!
  if (given.chunk === own.chunk && offset(given) === offset(own)) return Result.succeed(pick(own))
  const need = `the layer's own, ${own.chunk} tokens from ${own.chunkOffset ?? 0} on`
  return Result.fail(new InvalidArgument({ name: "chunk", value: given.chunk, need }))
}

/** Where `tokens` queries of each row stand: the last ones are padding where only some are real. */
const padded = (
  { rows }: TransformerCacheView,
  tokens: number,
  { queryLengths }: TransformerMetadata,
): Pick<Mask.Mask, "positions"> => {
  if (queryLengths === undefined) return {}
  const positions = rows.map(({ length }, i) => {
    const real = queryLengths[i]!
    return Array.from({ length: tokens }, (_, t) => t < real ? length - real + t : -1)
  })
  return { positions }
}

/** Far more than are ever asked at once: positions are listed for each. */
const mostTokens = 2 ** 20

const tokensError = (tokens: number): InvalidArgument | undefined => {
  const bad = whole("tokens", tokens, 0)
  if (bad !== undefined || tokens <= mostTokens) return bad
  return new InvalidArgument({ name: "tokens", value: tokens, need: `at most ${mostTokens}` })
}

/**
 * The mask of `tokens` queries a row over a view that holds their keys already: what the call says, what the layer
 * says and what the rows' `starts` say, all of it at once.
 */
export const maskFor = (
  self: TransformerCacheView,
  tokens: number,
  given: Mask.Mask = {},
  metadata: TransformerMetadata = {},
): Result.Result<Mask.Mask, InvalidArgument> =>
  Result.gen(function* () {
    const bad = tokensError(tokens) ?? metadataError(metadata, self.rows.length, tokens)
    if (bad !== undefined) return yield* Result.fail(bad)
    const rows = self.rows.map(({ length }) => ({ contextLen: length, queryLen: tokens }))
    const stand = { ...padded(self, tokens, metadata), ...given }
    const wrong = Mask.error(stand, rows)
    if (wrong !== undefined) return yield* Result.fail(wrong)
    const own = maskOf(self.maskingDetails)
    const { causal = self.metadata.updateCausalMask, starts } = given
    const mask: Mask.Mask = {
      ...stand,
      causal,
      window: yield* narrower(given.window, own.window),
      ...(yield* sameChunk(given, own)),
      starts: self.starts.map((start, i) => Math.max(start, starts?.[i] ?? 0)),
    }
    const both = Mask.error(mask, rows)
    return both === undefined ? mask : yield* Result.fail(both)
  })

/** Absolute positions, ascending, that each query sees: `shape` is `[batch, tokens, most]`, −1 is none. */
export interface Visible {
  readonly shape: readonly [batch: number, tokens: number, most: number]
  readonly positions: Int32Array
}

/** The positions behind a mask, for people and for kernels of one's own. O(batch · tokens · positions seen). */
export const visible = (
  self: TransformerCacheView,
  tokens: number,
  mask: Mask.Mask = {},
  metadata: TransformerMetadata = {},
): Result.Result<Visible, InvalidArgument> =>
  Result.map(maskFor(self, tokens, mask, metadata), (whole) => {
    const { window = Window.all, positions } = whole
    const { last: most = Infinity, sinks } = window
    const open = { ...whole, window: Window.all }
    const lists = self.rows.flatMap(({ length }, row) =>
      Array.from({ length: tokens }, (_, i) => {
        const said = positions?.[row]?.[i]
        if (said === -1) return []
        const position = said ?? length - tokens + i
        const { first, last } = Mask.range(open, row, position, length)
        return Array.from({ length: Math.max(0, last - first + 1) }, (_, j) => first + j)
          .filter((j) => j > position - most || j < sinks)
      })
    )
    const width = lists.reduce((widest, { length }) => Math.max(widest, length), 0)
    const flat = new Int32Array(lists.length * width).fill(-1)
    for (const [i, list] of lists.entries()) flat.set(list, i * width)
    return { shape: [self.rows.length, tokens, width], positions: flat }
  })
