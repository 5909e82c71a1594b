/** The device's memory, before a hostile caller. @module */
import { Effect } from "effect"
import { Gpu } from "../../../mod.ts"
import { door, type Plan } from "../door.ts"
import { bare, floats } from "./values.ts"

/** Buffers come and go with calls. */
export const room: Plan = Effect.gen(function* () {
  const x = yield* floats("rows columns", 2, 4)
  return {
    doors: [
      door("Gpu.allocate", Gpu.allocate, () => [16], {
        right: ([asked], answer) =>
          (answer as { readonly bytes: number }).bytes === asked ? undefined : "another size",
      }),
      door(
        "Gpu.upload",
        (sizes: { rows: number; columns: number }) =>
          Gpu.upload("f32", "rows columns", sizes, new Float32Array(8)),
        () => [{ rows: 2, columns: 4 }],
      ),
      door(
        "Gpu.uploadAll",
        (sizes: { rows: number; columns: number }) =>
          Gpu.uploadAll(
            "f32",
            { a: "rows columns", b: "columns" },
            sizes,
            (name) => new Float32Array(name === "a" ? 8 : 4),
          ),
        () => [{ rows: 2, columns: 4 }],
      ),
      door(
        "Gpu.uploadMatrix",
        (shape: readonly [number, number]) =>
          Gpu.uploadMatrix(
            "f32",
            "out in",
            { out: shape[0], in: shape[1] } as never,
            new Float32Array(8) as never,
          ),
        () => [[2, 4] as const],
      ),
    ],
    arenas: [yield* bare],
    read: Gpu.read(x),
  }
})
