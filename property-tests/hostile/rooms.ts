/** All rooms. @module */
import type { Plan } from "./door.ts"
import { room as attention } from "./doors/attention.ts"
import { room as batched } from "./doors/batches.ts"
import { room as cache } from "./doors/cache.ts"
import { room as device } from "./doors/device.ts"
import { room as model } from "./doors/model.ts"
import { room as tensors } from "./doors/tensors.ts"
import { room as transformer } from "./doors/transformer.ts"
import { interleaved, room as paged } from "./doors/views.ts"

/** By name. */
export const rooms: { readonly [name: string]: Plan } = {
  cache,
  attention,
  tensors,
  device,
  paged,
  interleaved,
  batched,
  transformer,
  model,
}
