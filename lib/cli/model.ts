/** Opening and loading the model a command names, with progress. @module */
import { Effect, type Scope } from "effect"
import type * as Gpu from "../device/Gpu.ts"
import * as Llama from "../model/Llama.ts"
import * as Output from "./output.ts"

/** The vocabulary and sizes of a model, without its weights. */
export const inspect = (
  path: string | undefined,
): Effect.Effect<Llama.Checkpoint, Llama.OpenError> => Effect.scoped(Llama.open(path))

/** A model on the device; a terminal shows how far loading is. */
export const load = (
  path: string | undefined,
): Effect.Effect<Llama.Llama, Llama.LoadError, Gpu.Gpu | Scope.Scope> =>
  Llama.load(path, {
    progress: ({ done, total }) =>
      Output.status(
        `loading ${path ?? "the embedded model"}: ${Output.megabytes(done)} of ${
          Output.megabytes(total)
        } (${total === 0 ? 100 : Math.floor(100 * done / total)} %)`,
      ),
  }).pipe(Effect.ensuring(Output.status("")))
