/**
 * One kernel for each dtype of a binding, from one record that says `D` where the dtype stands.
 *
 * @module
 */
import * as Kernel from "./kernel.ts"

/** A record with holes: `read D[n k]`. */
export interface Template {
  readonly name: string
  readonly bindings: {
    readonly [name: string]: Kernel.Binding | `${Kernel.Access} D[${string}]`
  }
  readonly overrides: Kernel.Spec["overrides"]
  readonly params: Kernel.Spec["params"]
}

type Fill<B, D extends Kernel.DType> = B extends `${infer A extends Kernel.Access} D[${infer X}]`
  ? `${A} ${D}[${X}]`
  : B extends Kernel.Binding ? B
  : never

/** The record of one member. */
export interface Of<S extends Template, D extends Kernel.DType> {
  readonly name: string
  readonly bindings: { readonly [K in keyof S["bindings"]]: Fill<S["bindings"][K], D> }
  readonly overrides: S["overrides"]
  readonly params: S["params"]
}

/**
 * The members by dtype. Each is typed with the union of the dtypes, since a dtype known only at run time
 * chooses among them: `linear[weight.dtype]`.
 */
export type Family<S extends Template, D extends Kernel.DType> = {
  readonly [X in D]: Kernel.Kernel<Of<S, D>>
}

/** What the members differ in: the text of the shader, and the twin. */
export interface Body<S extends Template, D extends Kernel.DType> {
  readonly source: (dtype: D) => string
  readonly grid: Kernel.Body<Of<S, D>>["grid"]
  readonly twin: (dtype: D) => Kernel.Body<Of<S, D>>["twin"]
}

/** Makes one member. */
export const member = <const S extends Template, D extends Kernel.DType>(
  template: S,
  dtype: D,
  body: Kernel.Body<Of<S, D>>,
): Kernel.Kernel<Of<S, D>> => {
  const bindings = Object.fromEntries(
    Object.entries(template.bindings).map(([name, text]) => [
      name,
      text.replace(" D[", ` ${dtype}[`),
    ]),
  )
  const spec: unknown = { ...template, name: `${template.name}_${dtype}`, bindings }
  return Kernel.make(spec as Of<S, D>, body)
}

/** Makes the members. */
export const family = <const S extends Template, D extends Kernel.DType>(
  template: S,
  dtypes: ReadonlyArray<D>,
  { source, grid, twin }: Body<S, D>,
): Family<S, D> =>
  // The seam of this file, here and above: entries by name become the mapped types.
  Object.fromEntries(
    dtypes.map((dtype) => [
      dtype,
      member(template, dtype, { source: source(dtype), grid, twin: twin(dtype) }),
    ]),
  ) as Family<S, D>
