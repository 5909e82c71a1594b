/** Layers of a cache by their number. @module */
import { Result } from "effect"
import { InvalidArgument } from "../../errors.ts"
import { layerError } from "./init.ts"
import { cacheOf, type TransformerCache, type TransformerCacheView } from "./value.ts"

/** The view of a layer; one that is not there is an error. */
export const at = (
  { views }: TransformerCache,
  layer: number,
): Result.Result<TransformerCacheView, InvalidArgument> => {
  const bad = layerError(layer, views.length)
  if (bad !== undefined) return Result.fail(bad)
  const one = views[layer]
  const need = "there: TransformerCache.with puts it in place"
  return one === undefined
    ? Result.fail(
      new InvalidArgument({ name: `the view of layer ${layer}`, value: "nothing", need }),
    )
    : Result.succeed(one)
}

const withView = (
  self: TransformerCache,
  layer: number,
  view: TransformerCacheView,
): Result.Result<TransformerCache, InvalidArgument> => {
  const bad = layerError(layer, self.views.length)
  if (bad !== undefined) return Result.fail(bad)
  const { layerIndex = layer } = view
  if (layerIndex !== layer) {
    const need = `${layer}, where it is put`
    return Result.fail(
      new InvalidArgument({ name: "the view's layerIndex", value: layerIndex, need }),
    )
  }
  return Result.succeed(cacheOf(self.views.with(layer, view)))
}

export {
  /** The cache with the view of a layer replaced; `self` stays as it is. O(layers). */
  withView as with,
}
