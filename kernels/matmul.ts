/** The product of two matrices. @module */
import { fold } from "./grid.ts"
import * as Kernel from "./kernel.ts"
import { source } from "./matmul.wgsl.ts"

const spec = {
  name: "matmul",
  bindings: { a: "read f32[m k]", b: "read f32[k n]", out: "write f32[m n]" },
  overrides: { WG: "u32" },
  params: { m: "u32", k: "u32", n: "u32" },
} as const

/** The kernel. */
export const matmul: Kernel.Kernel<typeof spec> = Kernel.make(spec, {
  source,
  grid: ({ m, n }, { WG }) => fold(m * n, WG),
  twin: ({ a, b, out }, _, { m, k, n }) => {
    const row = new Float64Array(n)
    for (let i = 0; i < m; i++) {
      row.fill(0)
      for (let j = 0; j < k; j++) {
        const x = a[i * k + j]!
        for (let c = 0; c < n; c++) row[c] = row[c]! + x * b[j * n + c]!
      }
      out.set(row, i * n)
    }
  },
})
