/** The package, installed from its packed files into empty projects outside the repository. @module */
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import process from "node:process"
import { after, test } from "node:test"

const root = new URL("../", import.meta.url).pathname
const place = mkdtempSync(join(tmpdir(), "kvasir-package-"))
after(() => rmSync(place, { recursive: true }))

const skip = process.versions["bun"] === undefined ? false : "done once, under Deno"
const timeout = 300_000

const sh = (cwd: string, command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, [...args], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", npm_config_update_notifier: "false" },
    stdio: ["ignore", "pipe", "pipe"],
  })

/** The README's ten lines, as a person would copy them, with the package's name. */
const readme = readFileSync(join(root, "README.md"), "utf8")
const [, program = "", output = ""] = /## Ten lines\n\n```ts\n(.+?)```\n\n```text\n(.+?)```/s
  .exec(readme)!
const named = program.replace('"./mod.ts"', '"@kvasir/kvasir"')

const project = (name: string, files: Readonly<Record<string, string>>): string => {
  const folder = join(place, name)
  mkdirSync(folder)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text)
  return folder
}

const manifest = JSON.stringify({ name: "try", private: true, type: "module" })
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

/** The laws on the packed caches: they need fast-check beside the package. */
const lawful = `import { check, kvasir } from "@kvasir/kvasir/testing"
console.log((await check(kvasir, { runs: 10 })).length)
`
const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const fastCheck = `fast-check@${devDependencies["fast-check"]}`

/** The npm tarball; made once. */
const tarball = (): string => {
  const made = join(place, "made")
  sh(root, process.execPath, "run", "-A", "tools/pack.ts", made)
  return join(made, sh(made, "npm", "pack", "--silent").trim())
}
let packed: string | undefined

test("the npm tarball runs and type-checks in an empty Node project", { skip, timeout }, () => {
  packed ??= tarball()
  const files = { "main.mjs": named, "main.ts": named, "laws.mjs": lawful, "laws.ts": lawful }
  const folder = project("node", { "package.json": manifest, ...files })
  const install = ["install", "--no-audit", "--no-fund", "--silent", "--omit=peer"]
  sh(folder, "npm", ...install, packed, fastCheck, "typescript@6.0.3", "@types/node@24")
  assert.equal(sh(folder, "node", "main.mjs"), output)
  const strict = ["--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2023"]
  sh(folder, "npx", "tsc", "--noEmit", ...strict, "--types", "node", "main.ts", "laws.ts")
  assert.equal(sh(folder, "node", "laws.mjs"), "10\n")
  const said = sh(folder, "npx", "kvasir", "generate", "In the beginning", "--temperature", "0")
  assert.ok(said.startsWith(" of the world, and the Lord Jesus Christ."))
})

test("the npm tarball runs in an empty Bun project", { skip, timeout }, () => {
  packed ??= tarball()
  const files = { "main.ts": named, "laws.ts": lawful }
  const folder = project("bun", { "package.json": manifest, ...files })
  const bun = ["-y", "bun@1.4.5"]
  sh(folder, "npx", ...bun, "add", "--silent", "--omit=peer", packed, fastCheck)
  assert.equal(sh(folder, "npx", ...bun, "main.ts"), output)
  assert.equal(sh(folder, "npx", ...bun, "laws.ts"), "10\n")
})

test("the files that deno publish lists run and type-check in an empty Deno project", {
  skip,
  timeout,
}, () => {
  const folder = project("deno", {
    "main.ts": named,
    "laws.ts": lawful,
    "deno.json": JSON.stringify({
      imports: {
        "@kvasir/kvasir": "./kvasir/mod.ts",
        "@kvasir/kvasir/testing": "./kvasir/testing/mod.ts",
        "fast-check": `npm:${fastCheck}`,
        ...Object.fromEntries(
          Object.entries(dependencies).flatMap(([name, version]) => [
            [name, `npm:${name}@${version}`],
            [`${name}/`, `npm:/${name}@${version}/`],
          ]),
        ),
        "webgpu": "npm:webgpu@0.6.2",
      },
    }),
  })
  const dry = ["publish", "--dry-run", "--allow-dirty"]
  const listed = execFileSync("sh", ["-c", `"${process.execPath}" ${dry.join(" ")} 2>&1`], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  })
  const files = [...listed.matchAll(/file:\/\/(\S+) \(/g)].map(([, file]) => file!)
  assert.ok(files.some((file) => file.endsWith("/models/kjv-3m-q8_0.gguf")))
  for (const file of files) {
    const to = join(folder, "kvasir", file.slice(root.length))
    mkdirSync(dirname(to), { recursive: true })
    cpSync(file, to)
  }
  sh(folder, process.execPath, "check", "main.ts", "laws.ts")
  assert.equal(sh(folder, process.execPath, "run", "-A", "laws.ts"), "10\n")
  assert.equal(sh(folder, process.execPath, "run", "-A", "main.ts"), output)
})
