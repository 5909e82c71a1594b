/** The published report: what the ledger comes to, as a part of a Markdown page. @module */
import { type Line, totals } from "./ledger.ts"

/** The page, from the root of the project. */
export const page = "property-tests/README.md"

const [from, to] = ["<!-- the ledger, by `deno task campaign --report` -->", "<!-- end -->"]

const thousands = (count: number): string => count.toLocaleString("en-US")

/** A table as the formatter leaves it: the first column to the left, numbers to the right. */
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  if (rows.length === 0) return ""
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((row) => row[i]!.length)))
  const line = (cells: ReadonlyArray<string>): string =>
    `| ${
      cells.map((cell, i) => i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(
        " | ",
      )
    } |`
  const rule = widths.map((width, i) => i < 2 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)
  return [head, rule, ...rows].map(line).join("\n")
}

const tried = (lines: ReadonlyArray<Line>): string =>
  table(
    ["trial", "adapter", "executions", "states", "hours", "found", "open"],
    totals(lines).map(({ trial, adapter, executions, states, seconds, found, open, exhausted }) => [
      exhausted ? `${trial} (all of them)` : trial,
      adapter,
      ...[executions, states].map(thousands),
      (seconds / 3600).toFixed(2),
      ...[found, open].map(thousands),
    ]),
  )

const soaked = (lines: ReadonlyArray<Line>): string =>
  table(
    ["soak", "device", "minutes", "operations", "MB an hour", "live buffers"],
    lines.flatMap((line) =>
      "soak" in line
        ? [[
          line.soak,
          line.device,
          line.minutes.toFixed(0),
          thousands(line.operations),
          `${line.slope.toFixed(1)} ± ${line.error.toFixed(1)}`,
          `${line.liveBuffers}`,
        ]]
        : []
    ),
  )

const mended = (lines: ReadonlyArray<Line>): string =>
  [...new Set(lines.flatMap((line) => "closed" in line ? [`- ${line.was}: \`${line.test}\``] : []))]
    .join("\n")

/** What stands between the page's marks. */
export const report = (lines: ReadonlyArray<Line>): string =>
  [tried(lines), soaked(lines), mended(lines)].filter((part) => part !== "").join("\n\n")

/** The page with what stands between its marks replaced. */
export const renewed = (text: string, lines: ReadonlyArray<Line>): string => {
  const [start, end] = [text.indexOf(from), text.indexOf(to)]
  if (start < 0 || end < start) throw new Error(`Cannot find the place of the ledger in ${page}`)
  const parts = [text.slice(0, start) + from, report(lines), text.slice(end)]
  return parts.filter((part) => part !== "").join("\n\n")
}
