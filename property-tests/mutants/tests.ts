/** Which tests should notice a change, the quickest and likeliest first. @module */

const law = (...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => `property-tests/laws/${name}.test.ts`)
const laws = law(
  "named",
  "runs",
  "refusals",
  "cache",
  "costs",
  "errors",
  "reading",
  "int8",
  "pages",
  "merge",
)
const attention = [
  ...law("refusals", "runs", "merge", "reading", "cache"),
  "property-tests/attention",
  "property-tests/kernels/split_attention.test.ts",
]
const kernels = (...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => `property-tests/kernels/${name}.test.ts`)
const view = (...names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => `property-tests/views/${name}.test.ts`)
const views = (...names: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...view(...names),
  "property-tests/views",
  ...law("views", "transformer_cache"),
]
const snapshots = ["folder", "damage", "round"].map((name) =>
  `property-tests/snapshot/${name}.test.ts`
)
const transformer = [
  ...view("transformer_cache", "transformer_rows", "transformer_metadata"),
  ...view("transformer_refusals", "transformer_refusals_rows"),
  ...law("transformer_cache"),
  ...views("transformer_int8", "rude_named", "transformer_shards", "transformer_pure"),
]

/** Rows of (pattern of a path, tests): the first that matches says what is run, in this order. */
const rows: ReadonlyArray<readonly [file: RegExp, tests: ReadonlyArray<string>]> = [
  [/^lib\/snapshot\/files/, ["property-tests/snapshot/files.test.ts", "property-tests/snapshot"]],
  [/^lib\/(cache\/)?snapshot\//, [...snapshots, "property-tests/snapshot"]],
  [/^lib\/cache\/(Layout|address)/, [
    ...law("refusals", "reading", "int8"),
    "property-tests/views",
  ]],
  [/^lib\/cache\/(stored|gather)/, [
    ...law("named", "reading"),
    ...view("batching.steps", "batching.devices"),
    ...law("int8", "cache"),
    "property-tests/views",
  ]],
  [/^lib\/cache\/adopt/, views("interchange", "interchange.copies")],
  [/^lib\/cache\/Pages/, [
    ...law("pages"),
    ...views("rude_named", "paged_kv_cache", "interchange.copies", "page_utilities"),
  ]],
  [/^lib\/cache\//, [...laws, "property-tests/views"]],
  [
    /^lib\/attention\/(Mask|Window)/,
    [
      "property-tests/attention/mask.test.ts",
      ...law("refusals", "reading"),
      ...view("page_attention", "transformer_shards"),
      "property-tests/views",
    ],
  ],
  [
    /^lib\/attention\/AttentionState/,
    [...law("merge", "reading"), "property-tests/views/rude_named.test.ts"],
  ],
  [/^lib\/attention\/plan/, ["property-tests/attention/plan.test.ts", ...attention]],
  [/^lib\/attention\/pages/, [
    ...law("pages"),
    ...views("page_attention.refusals", "rude_named", "paged_kv_cache", "batching.refusals"),
  ]],
  [
    /^lib\/attention\/tensors/,
    [
      "property-tests/views/page_attention.test.ts",
      "property-tests/views/page_attention.refusals.test.ts",
      "property-tests/views",
    ],
  ],
  [/^lib\/attention\//, [...attention, "property-tests/views"]],
  [/^lib\/views\/(transformer\/(shard|unshard|attend_shards|partition))/, [
    "property-tests/views/transformer_shards.test.ts",
    ...transformer,
  ]],
  [/^lib\/views\/transformer\/pure/, [
    "property-tests/views/transformer_pure.test.ts",
    ...transformer,
  ]],
  [
    /^lib\/views\/(paged|transformer)\/convert/,
    views("interchange", "interchange.views", "interchange.copies", "transformer_rows"),
  ],
  [/^lib\/views\/(transformer|Transformer)/, transformer],
  [
    /^lib\/views\/paged/,
    views(
      "paged_kv_cache",
      "paged_kv_cache.blocks",
      "paged_kv_cache.rows",
      "paged_kv_cache.made",
      "interchange",
    ),
  ],
  [
    /^lib\/views\/(batching|Continuous)/,
    views(
      "batching",
      "batching.refusals",
      "interchange.copies",
      "batching.steps",
      "batching.devices",
      "interchange",
    ),
  ],
  [/^lib\/views\/pageAttention/, views("page_attention", "page_attention.refusals")],
  [
    /^lib\/views\/utilities/,
    views("page_slices", "page_utilities.misuse", "rude_named", "page_utilities"),
  ],
  [
    /^lib\/views\/whole/,
    views("page_slices", "rude_named", "rude", "rude_batches"),
  ],
  [
    /^lib\/views\//,
    views("interchange", "interchange.copies", "interchange.views", "paged_kv_cache"),
  ],
  [/^lib\/tensor\//, ["property-tests/tensor", ...laws, "property-tests/device"]],
  [/^lib\/device\//, [
    "property-tests/device/program.test.ts",
    ...law("runs"),
    "property-tests/device/adapters.test.ts",
    ...laws,
    "property-tests/device",
  ]],
  [/^lib\/model\//, ["property-tests/model", "property-tests/cli"]],
  [/^lib\/cli\//, ["property-tests/cli"]],
  [/^kernels\/(append|gather|pool)/, kernels("pool", "int8")],
  [/^kernels\/int8/, kernels("int8", "pool")],
  [/^kernels\/half/, kernels("half", "moves", "pool")],
  [/^kernels\/(paged_attention|attend|merge_states)/, kernels("attention", "split_attention")],
  [/^kernels\/split_attention/, kernels("split_attention", "compile")],
  [/^kernels\/(cast|concat)/, kernels("moves")],
  [/^kernels\/strided/, [...kernels("moves"), "property-tests/tensor/strided.test.ts"]],
  [/^kernels\/(decode|dot|dot_blocks|linear|matmul|embed|load)\./, kernels("products", "moves")],
  [
    /^kernels\/(tile|regroup|scales|load_tiled|gated|gemm|gemv|gemv_add|linear_f32)\b/,
    kernels("tiles", "products"),
  ],
  [/^kernels\/(sample|noise|best|argmax)/, kernels("sample", "rows")],
  [/^kernels\/place/, kernels("moves")],
  [/^kernels\//, kernels("rows", "moves", "products", "attention", "pool", "tiles", "sample")],
]

/** Tests of a mutant's file, in order; a file that no row knows is tried with everything. */
export const testsOf = (file: string): ReadonlyArray<string> =>
  rows.find(([pattern]) => pattern.test(file))?.[1] ?? ["property-tests"]
