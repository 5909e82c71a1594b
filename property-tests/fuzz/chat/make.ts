/** Chat templates out of a grammar, and conversations to be told by them. @module */
import { greedy, rude, smollm2, strict, unknown } from "../../model/chat.templates.ts"
import type { Message } from "../../../lib/model/Chat.ts"
import { anyText } from "../hostile.ts"
import type { Random } from "../random.ts"

const names = ["messages", "m", "x", "loop", "ns", "bos_token", "range", "f", "nothing", "caller"]
const members = [
  "role",
  "content",
  "constructor",
  "__proto__",
  "prototype",
  "index0",
  "a",
  "length",
  "upper",
  "toString",
  "call",
]
const filters = [
  "length",
  "trim",
  "upper",
  "tojson",
  "join",
  "first",
  "last",
  "list",
  "sort",
  "reverse",
  "items",
  "safe",
  "string",
  "int",
  "attr('x')",
  "join(x)",
  "indent(10**9)",
  "tojson(indent=10**9)",
  "replace('', 'xx')",
  "default('y', true)",
  "selectattr('role')",
  "map(attribute='content')",
  "map('upper')",
  "batch(10**9)",
  "round(10**9)",
]
const methods = [
  "split('x')",
  "strip()",
  "upper()",
  "replace('', 'xx')",
  "get('role')",
  "items()",
  "rstrip('x')",
  "startswith('')",
  "title()",
  "constructor()",
]
const numbers = ["0", "1", "-1", "9", "10**9", "2**63", "9999", "0.5", "1e308", "9007199254740993"]
const operators = ["+", "~", "*", "**", "-", "/", "%", "==", "<", "in", "not in", "and", "or", "//"]

/** An expression, at most so deep. */
const expression = (random: Random, depth: number): string => {
  const inner = () => expression(random, depth - 1)
  if (depth <= 0 || random.oneIn(5)) {
    switch (random.below(4)) {
      case 0:
        return random.pick(names)
      case 1:
        return random.pick(numbers)
      case 2:
        return JSON.stringify(anyText(random))
      default:
        return random.pick(["true", "none", "[]", "{}", "''", "messages[0]"])
    }
  }
  switch (random.below(12)) {
    case 0:
      return `${inner()} ${random.pick(operators)} ${inner()}`
    case 1:
      return `(${inner()})`
    case 2:
      return `${inner()}.${random.pick(members)}`
    case 3:
      return `${inner()}[${inner()}]`
    case 4:
      return `${inner()}[${random.pick(numbers)}:${random.pick(["", "-1", "10**9"])}]`
    case 5:
      return `${inner()} | ${random.pick(filters)}`
    case 6:
      return `${inner()}.${random.pick(methods)}`
    case 7:
      return `range(${random.pick(numbers)}${random.oneIn(3) ? `, ${inner()}` : ""})`
    case 8:
      return `[${inner()}, ${inner()}]`
    case 9:
      return `{${JSON.stringify(random.pick(members))}: ${inner()}}`
    case 10:
      return `${inner()} if ${inner()} else ${inner()}`
    default:
      return random.pick([
        `not ${inner()}`,
        `-${inner()}`,
        `f(${inner()})`,
        `namespace(a=${inner()})`,
      ])
  }
}

/** Statements, at most so deep. */
const statements = (random: Random, depth: number): string => {
  const here = () => expression(random, 3)
  const inner = () => depth <= 0 ? "x" : statements(random, depth - 1)
  const one = (): string => {
    switch (random.below(10)) {
      case 0:
        return `{% for m in ${random.oneIn(2) ? "messages" : here()} %}${inner()}{% endfor %}`
      case 1:
        return `{% if ${here()} %}${inner()}{% elif ${here()} %}${inner()}{% else %}y{% endif %}`
      case 2:
        return `{% set x = ${here()} %}`
      case 3:
        return `{% set ns = namespace(a=${here()}) %}{% set ns.a = ${here()} %}`
      case 4:
        return `{% macro f(x) %}${inner()}{{ f(x) }}{% endmacro %}`
      case 5:
        return `{% call f(${here()}) %}${inner()}{% endcall %}`
      case 6:
        return anyText(random)
      case 7:
        return random.pick([
          "{% break %}",
          "{% continue %}",
          "{# x #}",
          "{{ raise_exception('x') }}",
        ])
      default:
        return `{{ ${here()} }}`
    }
  }
  return random.some(4, one).join("")
}

const nested = (random: Random): string => {
  const depth = random.pick([10, 100, 199, 201, 1000, 2500])
  const [open, inside, close] = random.pick([
    ["{% if 1 %}", "x", "{% endif %}"],
    ["{% for i in range(2) %}", "x", "{% endfor %}"],
    ["{{ (", "1", ") }}"],
    ["{% macro f() %}", "x", "{% endmacro %}"],
  ])
  if (open === "{{ (") return `{{ ${"(".repeat(depth)}1${")".repeat(depth)} }}`
  return open.repeat(depth) + inside + close.repeat(depth)
}

const known: ReadonlyArray<string> = [
  smollm2,
  strict,
  ...Object.values(greedy).flatMap((all) => Object.values(all)),
  ...Object.values(rude).flat(),
  ...Object.values(unknown),
].filter(({ length }) => length < 20_000)

/** A template with a piece of it cut out, doubled, or put elsewhere. */
const spliced = (random: Random, source: string): string => {
  const from = random.below(source.length + 1)
  const piece = source.slice(from, from + random.below(40))
  const at = random.below(source.length + 1)
  return random.pick([
    () => source.slice(0, from) + source.slice(from + piece.length),
    () => source.slice(0, at) + piece + source.slice(at),
    () => source.slice(0, at) + statements(random, 1) + source.slice(at),
    () => source.slice(0, at),
  ])()
}

/** A template, and a conversation. */
export interface Made {
  readonly source: string
  readonly messages: ReadonlyArray<Message>
  readonly bosToken: string
}

/** One of them: out of the grammar, mostly. */
export const make = (random: Random): Made => {
  const whose = random.below(8)
  const source = whose < 5
    ? statements(random, 3)
    : whose < 7
    ? spliced(random, random.pick(known))
    : random.oneIn(4)
    ? nested(random)
    : `${statements(random, 1).repeat(1 + random.below(40))}`
  const content = () =>
    random.oneIn(20)
      ? random.pick(["x", " ", "\n", "</think>", "{{", "🙂"]).repeat(random.pick([2000, 10_000]))
      : anyText(random)
  // A role is one of three to the compiler only.
  const role = () =>
    random.oneIn(4)
      ? anyText(random) as "user"
      : random.pick(["system", "user", "assistant"] as const)
  const messages = [...random.some(5, () => ({ role: role(), content: content() })), {
    role: role(),
    content: content(),
  }]
  return { source, messages, bosToken: anyText(random) }
}
