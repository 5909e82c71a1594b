/** Operations on tensors, before a hostile caller. @module */
import { Effect } from "effect"
import { DType, Program, Recording, Shape, Tensor } from "../../../mod.ts"
import { type Door, door, type Plan } from "../door.ts"
import { bare, tensor } from "./values.ts"

const ids = (list: ReadonlyArray<number>) => {
  const data = Uint32Array.from(list)
  return Recording.fresh("u32", "tokens", [data.length], data)
}

const ops: ReadonlyArray<Door> = [
  door(
    "Tensor.scale",
    (factor: number) => Tensor.scale(tensor("tokens model", 2, 4), factor),
    () => [0.5],
  ),
  door(
    "Tensor.rmsNorm",
    (options: { readonly eps: number }) =>
      Tensor.rmsNorm(tensor("tokens model", 2, 4), tensor("model", 4), options),
    () => [{ eps: 1e-5 }],
  ),
  door(
    "Tensor.slice",
    (from: number, to: number) => Tensor.slice(tensor("tokens model", 2, 4), "model", from, to),
    () => [1, 3],
  ),
  door(
    "Tensor.strided",
    (box: Parameters<typeof Tensor.strided>[2]) =>
      Tensor.strided(tensor("tokens model", 2, 4), "rows columns", box),
    () => [{ offset: 1, strides: [4, 1], shape: [2, 3] }],
  ),
  door(
    "Tensor.reshape",
    (sizes: { rows: number; columns: number }) =>
      Tensor.reshape(tensor("tokens model", 2, 4), "rows columns", sizes),
    () => [{ rows: 4, columns: 2 }],
  ),
  door(
    "Tensor.split",
    (sizes: { heads: number; dim: number }) =>
      Tensor.split(tensor("tokens model", 2, 4), "model", "heads dim", sizes),
    () => [{ heads: 2, dim: 2 }],
  ),
  door(
    "Tensor.as",
    (sizes: { rows: number; columns: number }) =>
      Tensor.as(tensor("tokens model", 2, 4), "rows columns", sizes),
    () => [{ rows: 2, columns: 4 }],
  ),
  door(
    "Tensor.constant",
    (sizes: { rows: number; columns: number }) =>
      Tensor.constant("f32", "rows columns", sizes, new Float32Array(8)),
    () => [{ rows: 2, columns: 4 }],
  ),
  door(
    "Recording.constant",
    (sizes: { rows: number; columns: number }) =>
      Recording.constant("f32", "rows columns", sizes, new Float32Array(8)),
    () => [{ rows: 2, columns: 4 }],
  ),
  door("Tensor.turns", Tensor.turns, () => [{ theta: 10000, rotary: 4, factors: [1, 2] }]),
  door("Tensor.turns without factors", Tensor.turns, () => [{ theta: 10000, rotary: 4 }]),
  door(
    "Tensor.embed",
    (list: Array<number>) => Tensor.embed(ids(list), tensor("vocab model", 3, 4)),
    () => [[0, 2]],
  ),
  door(
    "Tensor.sample",
    (options: Parameters<typeof Tensor.sample>[2], noise: Uint32Array<ArrayBuffer>) =>
      Tensor.sample(
        tensor("batch vocab", 1, 8),
        Recording.fresh(
          "u32",
          "batch two",
          [1, Uint32Array.from(noise).length],
          Uint32Array.from(noise),
        ),
        options,
      ),
    () => [{ temperature: 0.7, topK: 3, topP: 0.9, minP: 0.05 }, Uint32Array.of(1, 2)],
  ),
]

const shapes: ReadonlyArray<Door> = [
  door(
    "Shape.of",
    (sizes: { rows: number; columns: number }) => Shape.of("rows columns", sizes),
    () => [{ rows: 2, columns: 4 }],
    { arithmetic: true },
  ),
  door("Shape.size", Shape.size, () => [[2, 4]], { arithmetic: true }),
  door(
    "Shape.bind",
    (a: ReadonlyArray<number>) =>
      Shape.bind({ x: { axes: "rows columns", shape: a }, y: { axes: "columns", shape: [4] } }),
    () => [[2, 4]],
    { arithmetic: true },
  ),
  door("Shape.sizesError", Shape.sizesError, () => ["x", [2, 4], { rows: 2, columns: 4 }], {
    arithmetic: true,
  }),
  door("DType.bytes", DType.bytes, () => ["f16" as const, 4], { arithmetic: true }),
  door("DType.bufferBytes", DType.bufferBytes, () => ["f16" as const, 3], { arithmetic: true }),
  door(
    "Program.tensor",
    (sizes: { rows: number; columns: number }) => Program.tensor("f32", "rows columns", sizes),
    () => [{ rows: 2, columns: 4 }],
    { arithmetic: true },
  ),
]

const captured: ReadonlyArray<Door> = [
  door(
    "Program.capture",
    (sizes: { rows: number; columns: number }) =>
      Effect.flatMap(
        Program.capture({ x: Program.tensor("f32", "rows columns", sizes) }, ({ x }) =>
          Tensor.add(x, x)),
        (program) =>
          Program.run(Program.replay(program, { x: new Float32Array(8) })),
      ),
    () => [{ rows: 2, columns: 4 }],
    { alone: true },
  ),
]

/** Tensors of recordings: nothing older is there but the device. */
export const room: Plan = Effect.gen(function* () {
  return {
    doors: [...ops, ...shapes, ...captured],
    arenas: [yield* bare],
    read: Effect.succeed(undefined),
  }
})
