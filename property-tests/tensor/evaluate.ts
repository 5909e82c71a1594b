/** Runs a recording's launches by their twins, without a device. @module */
import { Context, Effect, type Exit } from "effect"
import type { ArrayOf, DType } from "../../kernels/kernel.ts"
import * as DTypes from "../../lib/tensor/DType.ts"
import * as Recording from "../../lib/tensor/Recording.ts"
import * as Shape from "../../lib/tensor/Shape.ts"
import type * as Tensor from "../../lib/tensor/Tensor.ts"

/** Records. */
export const record = <A, E>(
  effect: Effect.Effect<A, E, Recording.Recording>,
): { readonly exit: Exit.Exit<A, E>; readonly open: Recording.Open } => {
  const open = Recording.open()
  const context = Context.make(Recording.Service, open)
  return { exit: Effect.runSyncExit(Effect.provideContext(effect, context)), open }
}

/** Records one operation and gives the tensor it makes with its elements; throws what it fails with. */
export const evaluate = <D extends DType, A extends string, E>(
  effect: Effect.Effect<Tensor.Tensor<D, A>, E, Recording.Recording>,
): { readonly tensor: Tensor.Tensor<D, A>; readonly values: ArrayOf[D] } => {
  const { exit, open } = record(effect)
  if (exit._tag === "Failure") throw exit.cause
  const memory = new Map<Recording.Slot, ArrayBuffer>()
  const view = <X extends DType>({ dtype, shape, slot }: Tensor.Tensor<X, string>): ArrayOf[X] => {
    const found = memory.get(slot) ?? new ArrayBuffer(slot.bytes)
    if (!memory.has(slot) && slot.data !== undefined) {
      const { buffer, byteOffset, byteLength } = slot.data
      new Uint8Array(found).set(new Uint8Array(buffer, byteOffset, byteLength))
    }
    memory.set(slot, found)
    return DTypes.view(dtype, found, Shape.size(shape))
  }
  for (const work of open.work) {
    if (work._tag === "Replay") throw new Error("an operation records launches only")
    const { kernel, bindings, params, axes, overrides } = work
    const arrays = Object.fromEntries(Object.entries(bindings).map(([name, x]) => [name, view(x)]))
    kernel.twin(arrays, params, axes, overrides)
  }
  return { tensor: exit.value, values: view(exit.value) }
}

/** The failure of an operation that must fail. */
export const failure = <E>(effect: Effect.Effect<unknown, E, Recording.Recording>): E => {
  const { exit, open } = record(Effect.flip(effect))
  if (exit._tag === "Failure") throw exit.cause
  if (open.work.length > 0) throw new Error("a failed operation has recorded a launch")
  return exit.value
}
