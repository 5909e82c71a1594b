/** Which tests should notice a change, the quickest and likeliest first. @module */

const laws = [
  "named",
  "runs",
  "errors",
  "cache",
  "costs",
  "refusals",
  "pages",
  "int8",
  "merge",
  "reading",
].map((name) => `property-tests/laws/${name}.test.ts`)
const attention = [
  ...["refusals", "reading", "merge", "cache"].map((name) => `property-tests/laws/${name}.test.ts`),
  "property-tests/attention",
  "property-tests/kernels/split_attention.test.ts",
]
const kernels = (...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => `property-tests/kernels/${name}.test.ts`)

/** Rows of (pattern of a path, tests): the first that matches says what is run, in this order. */
const rows: ReadonlyArray<readonly [file: RegExp, tests: ReadonlyArray<string>]> = [
  [/^lib\/cache\/adopt/, ["property-tests/views/interchange.test.ts", ...laws]],
  [/^lib\/cache\/Pages/, ["property-tests/laws/pages.test.ts", "property-tests/views"]],
  [/^lib\/cache\//, [...laws, "property-tests/views"]],
  [
    /^lib\/attention\/(Mask|Window)/,
    [
      "property-tests/attention/mask.test.ts",
      "property-tests/laws/reading.test.ts",
      "property-tests/laws/refusals.test.ts",
      "property-tests/views",
    ],
  ],
  [
    /^lib\/attention\/AttentionState/,
    ["property-tests/laws/merge.test.ts", "property-tests/laws/reading.test.ts"],
  ],
  [/^lib\/attention\/plan/, ["property-tests/attention/plan.test.ts", ...attention]],
  [/^lib\/attention\/pages/, ["property-tests/laws/pages.test.ts", "property-tests/views"]],
  [
    /^lib\/attention\/tensors/,
    [
      "property-tests/views/page_attention.test.ts",
      "property-tests/views/page_attention.refusals.test.ts",
      "property-tests/views",
    ],
  ],
  [/^lib\/attention\//, [...attention, "property-tests/views"]],
  [/^lib\/views\//, ["property-tests/views", "property-tests/laws"]],
  [/^lib\/tensor\//, ["property-tests/tensor", ...laws, "property-tests/device"]],
  [/^lib\/device\//, ["property-tests/device", ...laws]],
  [/^lib\/model\//, ["property-tests/model", "property-tests/cli"]],
  [/^lib\/cli\//, ["property-tests/cli"]],
  [/^kernels\/(append|gather|pool)/, kernels("pool", "int8")],
  [/^kernels\/int8/, kernels("int8", "pool")],
  [/^kernels\/half/, kernels("half", "moves", "pool")],
  [/^kernels\/(paged_attention|attend|merge_states)/, kernels("attention", "split_attention")],
  [/^kernels\/split_attention/, kernels("split_attention", "compile")],
  [/^kernels\/(cast|concat|strided)/, kernels("moves")],
  [/^kernels\/(decode|dot|dot_blocks|linear|matmul|embed|load)\./, kernels("products", "moves")],
  [
    /^kernels\/(tile|regroup|scales|load_tiled|gated|gemm|gemv|gemv_add|linear_f32)\b/,
    kernels("tiles", "products"),
  ],
  [/^kernels\/(sample|noise|best|argmax)/, kernels("sample", "rows")],
  [/^kernels\/place/, ["property-tests/device", "property-tests/model/llama.test.ts"]],
  [/^kernels\//, kernels("rows", "moves", "products", "attention", "pool", "tiles", "sample")],
]

/** Tests of a mutant's file, in order; a file that no row knows is tried with everything. */
export const testsOf = (file: string): ReadonlyArray<string> =>
  rows.find(([pattern]) => pattern.test(file))?.[1] ?? ["property-tests"]
