/** Every shader, as text: read by a person, accepted by the compiler of this runtime. @module */
import assert from "node:assert/strict"
import { readdirSync, readFileSync } from "node:fs"
import { test } from "node:test"
import type { AnyKernel } from "../../kernels/kernel.ts"
import { splitAttention } from "../../kernels/split_attention.ts"
import { compile, webgpu } from "./harness.ts"

const isKernel = (value: unknown): value is AnyKernel =>
  typeof value === "object" && value !== null && "spec" in value && "twin" in value

const folder = new URL("../../kernels/", import.meta.url)
const modules = readdirSync(folder).filter((file) => /^[a-z0-9_]+\.ts$/.test(file))
const exported = await Promise.all(
  modules.map((file): Promise<Record<string, unknown>> => import(new URL(file, folder).href)),
)
const values = exported.flatMap((module) => Object.values(module))
const members = values.flatMap((value) =>
  typeof value === "object" && value !== null ? Object.values(value) : []
)
// Kernels that are made for a shape: some of them.
const shaped = [
  splitAttention({ dtype: "f32", keyDim: 8, valueDim: 4, heads: 2, rows: 1, softCap: false }),
  splitAttention({ dtype: "int8", keyDim: 4, valueDim: 8, heads: 1, rows: 1, softCap: false }),
  splitAttention({ dtype: "f16", keyDim: 8, valueDim: 16, heads: 2, rows: 2, softCap: true }),
]
const kernels = [...values, ...members, ...shaped].filter(isKernel)

test("kernels have different names, and need no more than the limits of every WebGPU device", () => {
  assert.ok(kernels.length > 40)
  assert.equal(new Set(kernels.map((kernel) => kernel.spec.name)).size, kernels.length)
  assert.deepEqual(kernels.filter(({ bindings }) => bindings.length > 8), [])
  assert.deepEqual(kernels.filter(({ source }) => /enable |requires /.test(source)), [])
})

test("kernels emit text that a person can read: some of it is kept", () => {
  const golden = new URL("../golden/kernels/", import.meta.url)
  for (const file of readdirSync(golden)) {
    const kernel = kernels.find(({ spec }) => `${spec.name}.wgsl` === file)
    assert.equal(kernel?.source.trimStart(), readFileSync(new URL(file, golden), "utf8"), file)
  }
})

const skip = typeof webgpu === "string" ? webgpu : false

test("kernels compile on WebGPU", { skip, timeout: 60_000 }, async () => {
  for (const kernel of kernels) await compile(webgpu as GPUDevice, kernel)
})
