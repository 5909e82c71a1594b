/**
 * Why a test was skipped. Neither runtime reports the text of `{ skip: "reason" }`, so it is read from
 * the test's source.
 *
 * @module
 */

const literals = (text: string): string =>
  [...text.matchAll(/"((?:\\.|[^"\\\n])+)"|`([^`]+)`/g)].map((m) => m[1] ?? m[2]).join(" / ")

/** The reason as written at the test or where its name is declared; `undefined` if there is none. */
export const reason = (source: string, name: string, line: number): string | undefined => {
  const from = source.split("\n").slice(0, line - 1).join("\n").length
  const title = source.indexOf(JSON.stringify(name.split(" > ").at(-1)), from)
  const test = source.slice(title < 0 ? from : title).split("=>", 1)[0]!
  const skip = /\bskip\b\s*(?::\s*([^{}]+))?/.exec(test)
  if (skip === null) return undefined
  const value = skip[1]?.trim() ?? "skip"
  const declared = new RegExp(`\\b(?:const|let) ${value.match(/^\w*/)}\\b([^;]*?)\n(?=\\S|\n)`)
  return literals(value) || literals(declared.exec(source)?.[1] ?? "") || value
}
