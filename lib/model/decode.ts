/** Running a chain over a cache: submits on their way while older tokens are listened to. @module */
import { Effect, type Scope } from "effect"
import type { Needs } from "../cache/Flight.ts"
import * as KvCache from "../cache/KvCache.ts"
import * as Program from "../device/Program.ts"
import type { Gpu } from "../device/service.ts"
import type { DeviceError, StaleTensor } from "../errors.ts"
import * as Chain from "./chain.ts"
import { whole } from "./events.ts"

/** A token that a step drew. */
export interface DrawnToken {
  readonly id: number
  /** The run it comes from, and its place in it. */
  readonly drawn: Chain.Drawn
  readonly index: number
}

/** How a decode run is driven. */
export interface DecodeOptions<E, R> {
  /** Most tokens to draw: slots are claimed for all of them. */
  readonly count: number
  /** Submits sent before the tokens of an older one are awaited. */
  readonly ahead: number
  /** Hears every token in order; false ends the run with it. */
  readonly hear: (token: DrawnToken) => Effect.Effect<boolean, E, R>
}

/** A submit on its way. */
interface Sent {
  readonly count: number
  readonly drawn: Chain.Drawn
  readonly tokens: Effect.Effect<Uint32Array, DeviceError | StaleTensor>
}

/** What a decode run may fail with besides what its listener fails with. */
export type DecodeError = KvCache.StepError | DeviceError | StaleTensor

/**
 * Reads `token` after the cache, then each token drawn, up to `count` or until the listener has enough. One
 * claim, many submits: the next cache holds exactly the tokens whose successors were heard.
 */
export const decode = <E, R>(
  chain: Chain.Chain,
  cache: KvCache.KvCache,
  token: number,
  { count, ahead, hear }: DecodeOptions<E, R>,
): Effect.Effect<
  KvCache.Stepped<undefined>,
  E | DecodeError,
  R | Needs | Gpu | Scope.Scope
> =>
  KvCache.step([cache], [count], (step) =>
    Effect.gen(function* () {
      const bad = whole("ahead", ahead, 0)
      if (bad !== undefined) return yield* bad
      const sent: Array<Sent> = []
      let [offset, kept, more] = [0, 0, true]
      while (more && kept < count) {
        if (offset < count && sent.length <= ahead) {
          const now = Math.min(chain.steps, count - offset)
          const first = offset === 0 ? token : undefined
          const drawn = yield* Chain.replay(chain, step, offset, now, first)
          sent.push({ count: now, drawn, tokens: yield* Program.begin(drawn.tokens) })
          offset += now
          continue
        }
        const { count: these, drawn, tokens } = sent.shift()!
        const ids = yield* tokens
        for (let index = 0; index < these && more; index++, kept++) {
          more = yield* hear({ id: ids[index]!, drawn, index })
        }
      }
      return { value: undefined, kept: [kept] }
    }))
