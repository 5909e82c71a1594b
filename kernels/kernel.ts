/**
 * What a kernel is: WGSL text, the host's record of what that text declares, a grid rule and a CPU twin.
 *
 * The record (`Spec`) holds strings only, so a kernel file writes it once `as const` and exports
 * `Kernel<typeof spec>`: every array, parameter and axis of the twin is typed from the record, and the
 * record prints, compares and goes into golden files.
 *
 * @module
 */

/** Types of numbers a cache, an activation or an index is stored in. */
export type Scalar = "f32" | "f16" | "bf16" | "i32" | "u32"

/** Block-quantised weights, laid out byte for byte as GGUF stores them: 32 weights a block, 256 in the K forms. */
export type Quantised = "q8_0" | "q4_0" | "q4_1" | "q5_0" | "q4_K" | "q6_K"

/** Weights in tiles of 32 rows, in the order in which register kernels read them (`tile.ts`). */
export type Tiled = `${"f16" | "bf16" | Quantised}_tiled`

/** Rows of a cache: signed bytes, each row under a scale of its own (`int8.ts`). An element is a byte. */
export type Scaled = "int8"

/** How an element is stored. */
export type DType = Scalar | Quantised | Tiled | Scaled

/** The typed array a twin sees: f16 and bf16 are raw bits, quantised blocks and int8 rows are raw bytes, tiles are words. */
export interface ArrayOf {
  readonly f32: Float32Array
  readonly f16: Uint16Array
  readonly bf16: Uint16Array
  readonly i32: Int32Array
  readonly u32: Uint32Array
  readonly q8_0: Uint8Array
  readonly q4_0: Uint8Array
  readonly q4_1: Uint8Array
  readonly q5_0: Uint8Array
  readonly q4_K: Uint8Array
  readonly q6_K: Uint8Array
  readonly int8: Uint8Array
  readonly f16_tiled: Uint32Array
  readonly bf16_tiled: Uint32Array
  readonly q8_0_tiled: Uint32Array
  readonly q4_0_tiled: Uint32Array
  readonly q4_1_tiled: Uint32Array
  readonly q5_0_tiled: Uint32Array
  readonly q4_K_tiled: Uint32Array
  readonly q6_K_tiled: Uint32Array
}

/** Every word of an axis string: `"rows d"` is `"rows" | "d"`. */
export type AxisOf<A extends string> = string extends A ? string
  : A extends `${infer H} ${infer T}` ? H | AxisOf<T>
  : A

/** One number for each axis of an axis string. */
export type Sizes<A extends string> = { readonly [K in AxisOf<A>]: number }

/**
 * How a launch uses a binding: `read` a tensor, `write` every element of a fresh one,
 * or `update` some elements of one that already exists (only the arena's pools are updated).
 */
export type Access = "read" | "write" | "update"

/** `read f32[rows d]`: access, dtype and axes of one storage binding, in the order of `@binding`. */
export type Binding = `${Access} ${DType}[${string}]`

/** Types a uniform field or an override can have. */
export type ScalarType = "f32" | "u32" | "i32"

/** The host's record of what the shader declares. */
export interface Spec {
  readonly name: string
  /** Storage bindings in order; the uniform `params` follows the last. */
  readonly bindings: { readonly [name: string]: Binding }
  /** WGSL `override` constants: what changes per model. */
  readonly overrides: { readonly [name: string]: ScalarType }
  /** Fields of WGSL `struct Params`, in order: what changes per call. */
  readonly params: { readonly [name: string]: ScalarType }
}

type Parse<B> = B extends `${infer A extends Access} ${infer D extends DType}[${infer X}]`
  ? { access: A; dtype: D; axes: X }
  : never

/** Dtype of a binding. */
export type BindingDType<B> = Parse<B>["dtype"]
/** Axes of a binding. */
export type BindingAxes<B> = Parse<B>["axes"]

type Using<S extends Spec, A extends Access> = {
  [K in keyof S["bindings"]]: S["bindings"][K] extends `${A} ${string}` ? K : never
}[keyof S["bindings"]]

/** Names of the bindings a caller gives: read or updated. */
export type Given<S extends Spec> = Using<S, "read" | "update">
/** Names of the bindings a launch makes. */
export type Writes<S extends Spec> = Using<S, "write">
/** Every axis any binding of the kernel names. */
export type KernelAxes<S extends Spec> = {
  [K in keyof S["bindings"]]: AxisOf<BindingAxes<S["bindings"][K]>>
}[keyof S["bindings"]]

/** Uniform fields as numbers. */
export type Params<S extends Spec> = { readonly [K in keyof S["params"]]: number }
/** Override constants as numbers. */
export type Overrides<S extends Spec> = { readonly [K in keyof S["overrides"]]: number }
/** Axis sizes bound from the arguments. */
export type Axes<S extends Spec> = { readonly [K in KernelAxes<S>]: number }
/** Typed arrays by binding name. */
export type Arrays<S extends Spec> = {
  readonly [K in keyof S["bindings"]]: ArrayOf[BindingDType<S["bindings"][K]>]
}

/** Number of workgroups. */
export type Grid = readonly [x: number, y: number, z: number]

/** Everything but the record. `axes` are sizes by the record's own axis names. */
export interface Body<S extends Spec> {
  readonly source: string
  readonly grid: (axes: Axes<S>, overrides: Overrides<S>, params: Params<S>) => Grid
  readonly twin: (
    arrays: Arrays<S>,
    params: Params<S>,
    axes: Axes<S>,
    overrides: Overrides<S>,
  ) => void
}

/** One binding, read from its string. */
export interface ParsedBinding {
  readonly name: string
  readonly access: Access
  readonly dtype: DType
  readonly axes: ReadonlyArray<string>
}

/** A kernel. Methods, not properties, so that `Kernel<S>` is assignable to `AnyKernel`. */
export interface Kernel<S extends Spec> {
  readonly spec: S
  readonly bindings: ReadonlyArray<ParsedBinding>
  readonly source: string
  grid(axes: Axes<S>, overrides: Overrides<S>, params: Params<S>): Grid
  twin(arrays: Arrays<S>, params: Params<S>, axes: Axes<S>, overrides: Overrides<S>): void
}

/** A kernel whose record is forgotten: what a launch holds. */
export interface AnyKernel {
  readonly spec: Spec
  readonly bindings: ReadonlyArray<ParsedBinding>
  readonly source: string
  grid(
    axes: Record<string, number>,
    overrides: Record<string, number>,
    params: Record<string, number>,
  ): Grid
  twin(
    arrays: Record<string, ArrayOf[DType]>,
    params: Record<string, number>,
    axes: Record<string, number>,
    overrides: Record<string, number>,
  ): void
}

const parse = ([name, text]: [string, Binding]): ParsedBinding => {
  const [access, dtype, axes] = text.slice(0, -1).split(/ (?=\w+\[)|\[/)
  return { name, access: access as Access, dtype: dtype as DType, axes: axes!.split(" ") }
}

/** Joins a record with its shader, grid rule and twin. */
export const make = <const S extends Spec>(spec: S, body: Body<S>): Kernel<S> => ({
  spec,
  bindings: Object.entries(spec.bindings).map(parse),
  ...body,
})

/** How WGSL declares the storage of a dtype: everything narrower than a word is read from words. */
export const wgslType = (dtype: DType): "f32" | "i32" | "u32" =>
  dtype === "f32" || dtype === "i32" ? dtype : "u32"

const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => "_" + c.toLowerCase())

/**
 * Where the shader's declarations and the host's record differ; empty when they agree. A shader may read
 * and write four words at once (`array<vec4f>`), where sizes allow it.
 */
export const drift = (kernel: AnyKernel): ReadonlyArray<string> => {
  const { spec, bindings, source } = kernel
  const fields = Object.entries(spec.params).map(([name, type]) => `${snake(name)}: ${type}`)
  const want = [
    ...Object.entries(spec.overrides).map(([name, type]) => `override ${name}: ${type}`),
    ...bindings.map(({ name, access, dtype }, i) =>
      `@group(0) @binding(${i}) var<storage, ${access === "read" ? "read" : "read_write"}> ${
        snake(name)
      }: array<${wgslType(dtype)}>;`
    ),
    `struct Params { ${fields.join(", ")} }`,
    `@group(0) @binding(${bindings.length}) var<uniform> params: Params;`,
  ]
  const text = source.replace(/\/\/.*$/gm, "").replace(/\s+/g, " ").replace(/, }/g, " }")
    .replace(/array<vec4([fiu])>/g, (_, type) => `array<${type}32>`)
  return want.filter((line) => !text.includes(line)).map((line) =>
    `${spec.name}: its shader lacks \`${line}\``
  )
}
