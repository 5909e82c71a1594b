/**
 * The peer of `attention.ts`: decode attention by `@jax-js/jax` on WebGPU, query heads of a group packed as
 * rows of one product, which is its fastest form. It is no dependency: npm brings it into a folder of its own.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Effect, type Scope } from "effect"

const version = "0.1.25"

/** What it is called in a report. */
export const peer: string = `@jax-js/jax ${version}`

/** The part of its API that is used. A call consumes its arguments, but for a `ref` of them. */
interface Value {
  readonly ref: Value
  readonly mul: (by: number) => Value
  readonly data: () => Promise<Float32Array>
  readonly blockUntilReady: () => Promise<unknown>
  readonly dispose: () => void
}
interface Jax {
  readonly init: (device: "webgpu") => Promise<unknown>
  readonly defaultDevice: (device: "webgpu") => unknown
  readonly jit: (
    f: (...given: ReadonlyArray<Value>) => ReadonlyArray<Value>,
  ) => (...given: ReadonlyArray<Value>) => ReadonlyArray<Value>
  readonly numpy: {
    readonly float32: unknown
    readonly array: (
      data: Float32Array | ReadonlyArray<number>,
      options?: { readonly shape: ReadonlyArray<number>; readonly dtype: unknown },
    ) => Value
    readonly einsum: (axes: string, a: Value, b: Value) => Value
  }
  readonly nn: { readonly softmax: (x: Value, axis: number) => Value }
}

/** Brings the package; its folder goes with the scope. */
export const open: Effect.Effect<Jax, unknown, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kvasir-bench-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true })),
  )
  const args = ["install", "--silent", "--prefix", folder, `@jax-js/jax@${version}`]
  yield* Effect.try(() => execFileSync("npm", args, { stdio: "pipe" }))
  const entry = join(folder, "node_modules", "@jax-js", "jax", "dist", "index.js")
  const jax = yield* Effect.tryPromise((): Promise<Jax> => import(pathToFileURL(entry).href))
  yield* Effect.tryPromise(() => jax.init("webgpu"))
  jax.defaultDevice("webgpu")
  return jax
})

/** One attention, made ready. */
export interface Ready {
  /** Runs it `times` over; the promise comes when all have run. */
  readonly run: (times: number) => Promise<unknown>
  readonly result: () => Promise<Float32Array>
  readonly dispose: () => void
}

/** Sizes of a decode step. */
export interface Sizes {
  readonly batch: number
  readonly numQHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly contextLen: number
}

/** `q` is `[batch, numQHeads, headDim]`, `k` and `v` are `[batch, numKvHeads, contextLen, headDim]`. */
export const decode = (
  { jit, nn, numpy: np }: Jax,
  { batch, numQHeads, numKvHeads, headDim, contextLen }: Sizes,
  [q, k, v]: readonly [q: Float32Array, k: Float32Array, v: Float32Array],
): Ready => {
  const array = (data: Float32Array, ...shape: ReadonlyArray<number>) =>
    np.array(data, { shape: [batch, numKvHeads, ...shape], dtype: np.float32 })
  const given = [
    array(q, numQHeads / numKvHeads, headDim),
    array(k, contextLen, headDim),
    array(v, contextLen, headDim),
  ]
  // What waits for a call also waits for every call before it, because the token goes through all of them.
  const attend = jit((token, q, k, v) => {
    const scores = np.einsum("bkgh,bksh->bkgs", q!, k!).mul(1 / Math.sqrt(headDim))
    return [np.einsum("bkgs,bksh->bkgh", nn.softmax(scores, -1), v!), token!]
  })
  const call = (token: Value) => attend(token, ...given.map(({ ref }) => ref))
  return {
    run: async (times) => {
      let token = np.array([1])
      for (let i = 0; i < times; i++) {
        const [out, next] = call(token)
        out!.dispose()
        token = next!
      }
      await token.blockUntilReady()
      token.dispose()
    },
    result: () => {
      const [out, token] = call(np.array([1]))
      token!.dispose()
      return out!.data()
    },
    dispose: () => given.forEach((value) => value.dispose()),
  }
}
