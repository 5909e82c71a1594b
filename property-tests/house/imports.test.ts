/** Who may import whom. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { arrows, type Import, reached, sources, text } from "./tree.ts"

const leaves = ["kernels/", "lib/errors.ts"]
const cache = [...leaves, "lib/tensor/", "lib/cache/"]
const model = [...cache, "lib/attention/", "lib/model/"]
const inside = ["mod.ts", "lib/", "kernels/", "testing/", "property-tests/"]

/** The model's files that meet the device. */
const loaders = [
  "load",
  "Weights",
  "ask",
  "chain",
  "decode",
  "conversation",
  "generate",
  "rebuild",
  "score",
].map((name) => `lib/model/${name}.ts`)

/** The first row whose `from` begins a path says what that file may import. */
const rooms: ReadonlyArray<
  { readonly from: ReadonlyArray<string>; readonly to: ReadonlyArray<string> }
> = [
  { from: ["kernels/"], to: ["kernels/"] },
  { from: ["lib/errors.ts"], to: [] },
  { from: ["lib/tensor/"], to: [...leaves, "lib/tensor/"] },
  { from: ["lib/device/"], to: [...leaves, "lib/tensor/", "lib/device/"] },
  { from: ["lib/cache/Arena.ts"], to: [...cache, "lib/device/"] },
  { from: ["lib/cache/"], to: cache },
  { from: ["lib/attention/"], to: [...cache, "lib/attention/"] },
  {
    from: ["lib/views/"],
    to: [...cache, "lib/attention/", "lib/views/", "lib/device/"],
  },
  // Reads caches from a device and writes them to files: neither is the cache's business, nor the model's.
  { from: ["lib/snapshot/"], to: [...cache, "lib/device/", "lib/snapshot/"] },
  { from: ["lib/model/saved.ts"], to: [...model, "lib/device/", "lib/snapshot/"] },
  { from: loaders, to: [...model, "lib/device/"] },
  { from: ["lib/model/"], to: model },
  { from: ["lib/cli/"], to: ["lib/", "kernels/"] },
  { from: ["mod.ts"], to: ["lib/", "kernels/"] },
  { from: ["testing/"], to: ["mod.ts", "testing/"] },
  { from: ["examples/"], to: ["mod.ts", "testing/mod.ts", "examples/"] },
  { from: ["bench/"], to: ["mod.ts", "bench/", "property-tests/"] },
  { from: ["property-tests/laws/"], to: ["mod.ts", "testing/", "property-tests/"] },
  { from: ["property-tests/house/"], to: [...inside, "tools/"] },
  { from: ["property-tests/"], to: inside },
  { from: ["tools/"], to: [...inside, "tools/", "deno.json"] },
]

/** What a user of the package gets: sources, and the packages they may name. */
const published = (file: string): boolean => /^(mod\.ts|lib\/|kernels\/|testing\/)/.test(file)
const manifest: { readonly [field: string]: { readonly [name: string]: string } } = JSON.parse(
  text("package.json"),
)
const promised = Object.keys({ ...manifest["dependencies"], ...manifest["peerDependencies"] })

const begins = (file: string) => (start: string): boolean => file.startsWith(start)
const isPackage = (to: string): boolean => !/^[./]|\.(ts|json)$/.test(to) || to.startsWith("node:")

const allowed = ({ from, to }: Import): boolean => {
  if (!isPackage(to)) {
    return rooms.find((room) => room.from.some(begins(from)))?.to.some(begins(to)) ?? false
  }
  if (from.startsWith("kernels/")) return false
  return !published(from) || to.startsWith("node:") ||
    promised.some((name) => to === name || to.startsWith(`${name}/`))
}

const show = (path: ReadonlyArray<string>): string => path.join(" ▶ ")

test("imports are found in every form", () => {
  const tree = arrows.filter(({ from }) => from === "property-tests/house/imports.test.ts")
  assert.deepEqual(tree.map(({ to, kind }) => `${kind} ${to}`), [
    "value node:assert/strict",
    "value node:test",
    "value property-tests/house/tree.ts",
  ])
  assert.ok(arrows.some(({ kind }) => kind === "type"))
})

test("imports follow the arrows of the house", () => {
  assert.deepEqual(
    arrows.filter((one) => !allowed(one)).map(({ from, to }) => show([from, to])),
    [],
  )
})

test("imports that run make no cycle", () => {
  const cycles = sources.map((file) => reached(file).get(file)).filter((path) => path !== undefined)
  assert.deepEqual(cycles.map(show), [])
})

test("imports of the cache's pure files never lead to the device", () => {
  const pure = [
    "Ledger",
    "Layout",
    "KvCache",
    "Batch",
    "Table",
    "Plan",
    "Snapshot",
    "snapshot/place",
  ]
  const paths = pure.flatMap((name) => [...reached(`lib/cache/${name}.ts`).values()])
  assert.deepEqual(paths.filter((path) => path.at(-1)!.startsWith("lib/device/")).map(show), [])
})
