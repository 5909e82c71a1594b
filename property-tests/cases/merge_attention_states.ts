/** Recorded merges of attention states: on the host, and on the device. @module */
import { Effect } from "effect"
import { LSE_EMPTY } from "../../kernels/constants.ts"
import { AttentionState, Gpu, Program } from "../../mod.ts"
import { all, check, type Checked, type Distance, numbers, refused } from "./checked.ts"
import { type KvCase, tensor } from "./kv.ts"

interface States {
  readonly out: ArrayLike<number>
  readonly lse: ArrayLike<number>
}

const onHost = ({ inputs }: KvCase): States => {
  const { shape: [parts = 0, tokens = 0, heads = 0, dim = 0], data } = tensor(inputs, "outs")
  const lses = tensor(inputs, "lses").data
  const rows = Array.from({ length: tokens * heads }, (_, row) =>
    AttentionState.reducer.combineAll(
      Array.from({ length: parts }, (_, part) => {
        const at = part * tokens * heads + row
        return { lse: Math.fround(lses[at]!), out: data.slice(at * dim, (at + 1) * dim) }
      }),
    ))
  return {
    out: rows.flatMap(({ lse, out }) => lse === -Infinity ? new Array<number>(dim).fill(0) : out),
    lse: rows.map(({ lse }) => lse),
  }
}

const onDevice = ({ inputs }: KvCase) =>
  Effect.scoped(Effect.gen(function* () {
    const [outs, lses] = [tensor(inputs, "outs"), tensor(inputs, "lses")]
    const sizes = (shape: ReadonlyArray<number>) => {
      const [parts = 0, tokens = 0, numQHeads = 0, valueDim = 0] = shape
      return { parts, tokens, numQHeads, valueDim }
    }
    const states = yield* Program.run(AttentionState.mergeAll(
      yield* Gpu.upload(
        "f32",
        "parts tokens numQHeads valueDim",
        sizes(outs.shape),
        Float32Array.from(outs.data),
      ),
      yield* Gpu.upload(
        "f32",
        "parts tokens numQHeads",
        sizes(lses.shape),
        Float32Array.from(lses.data, (x) => Math.max(x, LSE_EMPTY)),
      ),
    ))
    const lse = yield* Gpu.read(states.lse)
    return {
      out: yield* Gpu.read(states.out),
      lse: Array.from(lse, (x) => x <= LSE_EMPTY ? -Infinity : x),
    }
  }))

const compare = (one: KvCase, where: string, states: States): Distance =>
  all(
    ...(["out", "lse", "whole_out", "whole_lse"] as const)
      .filter((name) => !name.startsWith("whole") || name in one.expected)
      .map((name) =>
        numbers(
          `${name} on the ${where}`,
          name.endsWith("out") ? states.out : states.lse,
          tensor(one.expected, name).data,
          one.tolerance,
        )
      ),
  )

const checkOne = (one: KvCase): Effect.Effect<Checked, never, Gpu> =>
  one.refusals.length > 0 ? refused(one.name, one.refusals, onDevice(one)) : check(
    one.name,
    Effect.map(
      onDevice(one),
      (states) => all(compare(one, "host", onHost(one)), compare(one, "device", states)),
    ),
  )

/** Checks every case of a file. */
export const mergeAttentionStates = (
  cases: ReadonlyArray<KvCase>,
): Effect.Effect<ReadonlyArray<Checked>, never, Gpu> => Effect.forEach(cases, checkOne)
