/** The last line of a test run counts what the runtimes report. @module */
import assert from "node:assert/strict"
import { test } from "node:test"
import { type Case, parse } from "../../tools/junit.ts"
import { reason } from "../../tools/skips.ts"

const outcomes = (cases: ReadonlyArray<Case>): ReadonlyArray<string> =>
  cases.map(({ name, file, line, outcome }) => `${file}:${line} ${name} ${outcome}`)

const deno = `<testsuites>
  <testcase name="a &lt; b" classname="./x.test.ts" time="0.022" line="4" col="1">
  </testcase>
  <testcase name="block" classname="./x.test.ts" time="0.003" line="9" col="1">
    <failure message="1 test step failed">1 test step failed.</failure>
  </testcase>
  <testcase name="after" classname="./x.test.ts" time="0.003" line="20" col="1">
    <failure message="its own">with the steps all passed</failure>
  </testcase>
  <testcase name="after &gt; step" classname="./x.test.ts" time="0.003" line="21" col="1">
  </testcase>
  <testcase name="gone" classname="./x.test.ts" time="0.000" line="30" col="1">
    <error message="Cancelled"/>
  </testcase>
  <testcase name="block &gt; fails" classname="ext:deno_node/testing.ts" time="0.1" line="1" col="2">
    <failure message="x">x</failure>
  </testcase>
  <testcase name="block &gt; waits" classname="ext:deno_node/testing.ts" time="0.0" line="1" col="2">
    <skipped/>
  </testcase>
</testsuites>`

test("parse() counts the tests of Deno's blocks, and a block only for a failure of its own", () => {
  assert.deepEqual(outcomes(parse(deno)), [
    "./x.test.ts:4 a < b passed",
    "./x.test.ts:20 after failed",
    "./x.test.ts:21 after > step passed",
    "./x.test.ts:30 gone failed",
    "./x.test.ts:9 block > fails failed",
    "./x.test.ts:9 block > waits skipped",
  ])
})

const bun = `<testsuites><testsuite name="x.test.ts" file="x.test.ts">
  <testcase name="a&#10;b" classname="" time="0.00165" file="x.test.ts" line="4" assertions="0" />
  <testsuite name="block" file="x.test.ts" line="9">
    <testcase name="fails" classname="block" time="0" file="x.test.ts" line="10" assertions="0">
      <failure type="Error" message="x">x</failure>
    </testcase>
    <testcase name="waits" classname="block" time="0" file="x.test.ts" line="11" assertions="0">
      <skipped />
    </testcase>
  </testsuite>
</testsuite></testsuites>`

test("parse() reads Bun's report as it reads Deno's", () => {
  assert.deepEqual(outcomes(parse(bun)), [
    "x.test.ts:4 a\nb passed",
    "x.test.ts:10 block > fails failed",
    "x.test.ts:11 block > waits skipped",
  ])
})

const source = `const adapter = await gpu()
const skip = adapter === null ? "no adapter, here" : false

test("one", { timeout: 1, skip }, () => {})
test("two", { skip: adapter === null && "none at all" }, () => {})
test(\`three \${1}\`, { skip: why(adapter) }, () => {})
test("four", () => {})
`

test("reason() finds what a test says of its skip", () => {
  assert.equal(reason(source, "one", 4), "no adapter, here")
  assert.equal(reason(source, "block > two", 1), "none at all")
  assert.equal(reason(source, "three 1", 6), "why(adapter)")
  assert.equal(reason(source, "four", 7), undefined)
})
