/** Opening and loading the model a command names, with progress. @module */
import { Clock, Effect, type Scope } from "effect"
import type * as Gpu from "../device/Gpu.ts"
import * as Llama from "../model/Llama.ts"
import * as Output from "./output.ts"
import { loadingLine } from "./progress.ts"

/** The vocabulary and sizes of a model, without its weights. */
export const inspect = (
  path: string | undefined,
): Effect.Effect<Llama.Checkpoint, Llama.OpenError> => Effect.scoped(Llama.open(path))

/** A model on the device; a terminal shows how far loading is, and how long it will take. */
export const load = (
  path: string | undefined,
): Effect.Effect<Llama.Llama, Llama.LoadError, Gpu.Gpu | Scope.Scope> =>
  Effect.suspend(() => {
    const name = path ?? "the embedded model"
    let began: { readonly phase: Llama.Progress["phase"]; readonly at: number } | undefined
    const progress = (state: Llama.Progress) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (began?.phase !== state.phase) began = { phase: state.phase, at: now }
        return Output.status(loadingLine(name, state, now - began.at))
      })
    return Effect.ensuring(Llama.load(path, { progress }), Output.status(""))
  })
