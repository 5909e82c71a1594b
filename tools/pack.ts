/**
 * Packs the package for npm: JavaScript and declarations made from the same sources, and the model.
 *
 * `tools/pack.ts [FOLDER]` leaves a folder ready for `npm install` (default `.cache/npm`), and prints it.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, resolve } from "node:path"
import process from "node:process"

const root = resolve(dirname(new URL(import.meta.url).pathname), "..")
const out = resolve(process.argv[2] ?? join(root, ".cache/npm"))

const compile = (): void => {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc")
  const runtime = process.versions["bun"] === undefined ? ["run", "-A"] : ["run"]
  const { status, stdout } = spawnSync(
    process.execPath,
    [...runtime, tsc, "-p", root, "--outDir", out],
    { encoding: "utf8" },
  )
  if (status !== 0) throw new Error(`Cannot pack the sources as they do not compile:\n${stdout}`)
}

/** The compiler leaves `.ts` in the imports of declarations, where nobody would find it. */
const renameImports = (): void => {
  for (const file of readdirSync(out, { encoding: "utf8", recursive: true })) {
    if (!file.endsWith(".d.ts")) continue
    const path = join(out, file)
    const text = readFileSync(path, "utf8")
    writeFileSync(path, text.replace(/(from |import\()"(\.[^"]+)\.ts"/g, '$1"$2.js"'))
  }
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly description: string
  readonly license: string
  readonly dependencies: unknown
  readonly peerDependencies: unknown
  readonly peerDependenciesMeta: unknown
}

/** Without its first line a shell would take the program for a script of its own. */
const bin = "lib/cli/kvasir.js"
const makeProgram = (): void => {
  const path = join(out, bin)
  writeFileSync(path, `#!/usr/bin/env node\n${readFileSync(path, "utf8")}`)
  chmodSync(path, 0o755)
}

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
compile()
renameImports()
makeProgram()
mkdirSync(join(out, "models"))
for (const file of ["README.md", "LICENSE", "CHANGELOG.md", "models/README.md"]) {
  copyFileSync(join(root, file), join(out, file))
}
copyFileSync(join(root, "models/kjv-3m-q8_0.gguf"), join(out, "models/kjv-3m-q8_0.gguf"))

const { name, version, description, license, ...rest }: Manifest = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
)
const { dependencies, peerDependencies, peerDependenciesMeta } = rest
const manifest = {
  name,
  version,
  description,
  license,
  type: "module",
  sideEffects: false,
  engines: { node: ">=20" },
  exports: {
    ".": { types: "./mod.d.ts", default: "./mod.js" },
    "./testing": { types: "./testing/mod.d.ts", default: "./testing/mod.js" },
  },
  bin: { kvasir: `./${bin}` },
  dependencies,
  peerDependencies,
  peerDependenciesMeta,
}
writeFileSync(join(out, "package.json"), JSON.stringify(manifest, null, 2) + "\n")
console.log(out)
