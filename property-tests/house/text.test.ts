/** Words that do not belong in the project, each in two pieces so that this file is free of them. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { code, files, sources, text } from "./tree.ts"

const written = files.filter((file) =>
  /\.(ts|js|md|json|toml|lock|yml|yaml|txt|wgsl)$|^\.ci\/|^[^.]+$/.test(file) &&
  !/^(models|property-tests\/golden)\//.test(file)
)

const word = (...pieces: ReadonlyArray<string>): RegExp => new RegExp(pieces.join(""))

const hits = (
  where: ReadonlyArray<string>,
  pattern: RegExp,
  read: (file: string) => string = text,
): ReadonlyArray<string> =>
  where.flatMap((file) =>
    read(file).split("\n").flatMap((line) =>
      pattern.test(line) ? [`${file}: ${line.trim().slice(0, 100)}`] : []
    )
  )

test("text leaves nothing for later", () => {
  assert.deepEqual(hits(written, word("\\b(TO", "DO|FIX", "ME|XX", "X)\\b")), [])
})

test("text names no host of a package registry", () => {
  assert.deepEqual(
    hits(written, word("://[\\w.-]*(regis", "try|npm", "js|py", "pi|deb\\.de", "bian)")),
    [],
  )
  assert.deepEqual(hits(written.filter((file) => file.endsWith(".lock")), /:\/\//), [])
})

test("text names no path of one machine", () => {
  assert.deepEqual(hits(written, word("(^|[^\\w.])/(wo", "rk|fa", "rm|ho", "me|ro", "ot)/")), [])
})

test("text of sources silences no type error", () => {
  assert.deepEqual(hits(sources, word("@ts-(ig", "nore|no", "check)")), [])
  assert.deepEqual(hits(sources, word("\\bas an", "y\\b"), code), [])
})

// The package promises to run on Node 20; Deno and Bun have more.
test("text of the package calls nothing that Node 20 lacks", () => {
  const published = sources.filter((file) => /^(mod\.ts|lib\/|kernels\/|testing\/)/.test(file))
  const newer = [
    ...[
      "\\b(Map|Object)\\.groupBy\\b",
      "\\bArray\\.fromAsync\\b",
      "\\bPromise\\.(withResolvers|try)\\b",
    ],
    ...["\\.(union|difference|intersection|isSubsetOf|isSupersetOf|isDisjointFrom)\\("],
    ...[
      "\\.(entries|keys|values)\\(\\)\\.(map|filter|some|every|find|flatMap|reduce|take|drop|toArray)\\(",
    ],
    ...["\\bRegExp\\.escape\\b", "\\bimport\\.meta\\.(dirname|filename)\\b", "\\bFloat16Array\\b"],
  ]
  assert.deepEqual(hits(published, new RegExp(newer.join("|")), code), [])
})

// `{ skip: reason }` is the one form both runtimes count as skipped: Deno counts a skip called inside a
// test as a pass, and what runs alone hides the rest.
test("text of tests skips only by option, with a reason", () => {
  const forms = ["\\.(sk", "ip|to", "do|on", "ly)\\(|\\b(sk", "ip|to", "do|on", "ly): true\\b"]
  assert.deepEqual(hits(sources.filter((file) => file.endsWith(".test.ts")), word(...forms)), [])
})
