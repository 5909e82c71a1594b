/** Mistakes in what kernels share: their records, grids, numbers and the text of element-by-element shaders. @module */
import { inside, type Mutant } from "./mutant.ts"

const kernels = (...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => `property-tests/kernels/${name}.test.ts`)

/** Those of files that no kernel has to itself. */
export const sharing: ReadonlyArray<Mutant> = [
  ...inside("kernels/constants.ts", [
    ["= -3.4028234663852886e38", "= -1e30", "the host's identity of the merge is another number"],
    [
      "-0x1.fffffep+127f",
      "-0x1.fffffep+99f",
      "the shader's identity of the merge is another number",
    ],
    ["-15.0, 15.0)", "-2.0, 2.0)", "tanh ends too early"],
    ["0.33333334", "0.3", "a coefficient of the series of tanh"],
    ["y < 0.0625", "y < 9.0", "the series of tanh far from zero"],
    ["score - score * rest", "score + score * rest", "the sign of the series of tanh"],
  ], kernels("attention", "split_attention")),
  ...inside("kernels/constants.ts", [
    ["= 0.7978845608028654", "= 0.79", "the root of GELU is rounded"],
  ], kernels("rows")),
  ...inside("kernels/elementwise.wgsl.ts", [
    [
      `@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i >= params.n) { return; }`,
      `@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);
  if (i + 1u >= params.n) { return; }`,
      "the last element of two is not written",
    ],
    [
      `@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);`,
      `@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups) % WG;`,
      "only the first workgroup of one works",
    ],
    [
      `@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups);`,
      `@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = thread_of(id, groups) + 1u;`,
      "the first element of two is not written",
    ],
  ], kernels("rows")),
  ...inside("kernels/family.ts", [
    ["`${template.name}_${dtype}`", "template.name", "members of a family share a name"],
    [
      "source: source(dtype)",
      "source: source(dtypes[0]!)",
      "every member has the first one's shader",
    ],
    ["twin: twin(dtype)", "twin: twin(dtypes[0]!)", "every member has the first one's twin"],
    [
      'text.replace(" D[", ` ${dtype}[`)',
      'text.replace(" D[", ` ${"f32"}[`)',
      "every member is f32",
    ],
  ], [...kernels("compile"), "property-tests/house/kernels.test.ts", ...kernels("moves", "pool")]),
  ...inside("kernels/grid.ts", [
    ["Math.ceil(count / per)", "Math.floor(count / per)", "the last workgroup is left out"],
    ["Math.max(1, ", "Math.max(0, ", "a grid of no workgroups"],
    ["MAX_GROUPS = 65_535", "MAX_GROUPS = 65_536", "one workgroup more than a dimension takes"],
    ["[Math.ceil(groups / y), y, 1]", "[Math.floor(groups / y), y, 1]", "the last row is left out"],
    ["id.y * groups.x * WG", "id.y * WG", "rows of workgroups lie over each other"],
  ], kernels("rows", "compile")),
  ...inside("kernels/kernel.ts", [
    ['axes: axes!.split(" ")', "axes: [axes!]", "several axes are one"],
    [
      "want.filter((line) => !text.includes(line))",
      "want.filter(() => false)",
      "a shader may differ from its record",
    ],
    ['"_" + c.toLowerCase()', "c.toLowerCase()", "names of two words are looked for as one"],
    [
      "Object.entries(spec.params).map",
      "Object.entries(spec.params).slice(1).map",
      "a field is forgotten",
    ],
    [
      'dtype === "f32" || dtype === "i32" ? dtype',
      'dtype === "f32" ? dtype',
      "whole numbers with a sign are words",
    ],
  ], [
    "property-tests/house/kernels.test.ts",
    "property-tests/device/program.test.ts",
    ...kernels("rows"),
  ]),
]
