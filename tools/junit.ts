/** What a JUnit report of Deno or Bun says about each test. @module */

/** One test that ran or was skipped; a test with subtests is its subtests. */
export interface Case {
  readonly name: string
  readonly file: string
  /** From 1; 1 too where the runtime does not know it. */
  readonly line: number
  readonly seconds: number
  readonly outcome: "passed" | "failed" | "skipped"
}

const entities: { readonly [name: string]: string } = {
  amp: "&",
  apos: "'",
  gt: ">",
  lt: "<",
  quot: '"',
}

const decode = (text: string): string =>
  text.replace(
    /&(#x?)?(\w+);/g,
    (_, code, name) =>
      code === undefined
        ? entities[name] ?? ""
        : String.fromCodePoint(parseInt(name, code === "#" ? 10 : 16)),
  )

const read = ([, head = "", body = ""]: RegExpMatchArray): Case => {
  const at = new Map<string, string>()
  for (const [, key = "", value = ""] of head.matchAll(/(\w+)="([^"]*)"/g)) {
    at.set(key, decode(value))
  }
  const name = at.get("name") ?? ""
  const file = at.get("file")
  // Deno writes the file as the class of a test and full names, Bun the describe blocks around it.
  const group = file === undefined ? "" : at.get("classname") ?? ""
  return {
    name: group === "" ? name : `${group} > ${name}`,
    file: file ?? at.get("classname") ?? "",
    line: Number(at.get("line") ?? 1),
    seconds: Number(at.get("time") ?? 0),
    outcome: /<(failure|error)\b/.test(body)
      ? "failed"
      : body.includes("<skipped")
      ? "skipped"
      : "passed",
  }
}

/** Every test of a report, in order. */
export const parse = (xml: string): ReadonlyArray<Case> => {
  const all = [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(read)
  // Deno files the tests of a describe block under its own source: they belong where the block is.
  const placed = all.map((one) => {
    const block = all.find((other) => one.name.startsWith(`${other.name} > `))
    return one.file.startsWith("ext:") && block
      ? { ...one, file: block.file, line: block.line }
      : one
  })
  return placed.filter((one) => {
    const inner = placed.filter((other) => other.name.startsWith(`${one.name} > `))
    return inner.length === 0 ||
      (one.outcome === "failed" && inner.every((other) => other.outcome !== "failed"))
  })
}
