/** Shaders say what they do, and agree with the host. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { type AnyKernel, drift } from "../../kernels/kernel.ts"
import { sources, text } from "./tree.ts"

/** Header fields of an entry file; one that declares workgroup memory also says how much it shares. */
const fields = ["grid", "workgroup", "reads", "(writes|updates)", "moves", "empty", "source"]

test("kernels' entry files open with the whole header", () => {
  const entries = sources.filter((file) =>
    /^kernels\/.*\.wgsl\.ts$/.test(file) && text(file).includes("@compute")
  )
  assert.ok(entries.length > 0)
  const lacking = entries.flatMap((file) => {
    const source = text(file)
    const wanted = source.includes("var<workgroup>") ? [...fields, "shared"] : fields
    return wanted.filter((field) => !new RegExp(`^// (?:.*  )?${field} `, "m").test(source)).map(
      (field) => `${file}: ${field}`,
    )
  })
  assert.deepEqual(lacking, [])
})

const isKernel = (value: unknown): value is AnyKernel =>
  typeof value === "object" && value !== null && "spec" in value && "twin" in value

const kernelsIn = (value: unknown): ReadonlyArray<AnyKernel> => {
  if (isKernel(value)) return [value]
  return typeof value === "object" && value !== null
    ? Object.values(value).flatMap((inner) => isKernel(inner) ? [inner] : [])
    : []
}

test("kernels declare what the host's record says", async () => {
  const modules = sources.filter((file) => /^kernels\/.*(?<!\.wgsl)\.ts$/.test(file))
  const all = await Promise.all(
    modules.map(async (file): Promise<ReadonlyArray<AnyKernel>> => {
      const exported: Record<string, unknown> = await import(`../../${file}`)
      return Object.values(exported).flatMap(kernelsIn)
    }),
  )
  assert.ok(all.flat().length > 0)
  assert.deepEqual(all.flat().flatMap(drift), [])
})
