/**
 * The interpreter of chat templates, which come out of a file and may be hostile, on a budget.
 *
 * The interpreter of `@huggingface/jinja` looks names up in maps of its own, so a template reaches nothing
 * of JavaScript's. What it lacks is an end: each evaluation is counted here, and what an operation may cost
 * is taken off the budget once its operands are known, before it runs.
 *
 * @module
 */
import { type Environment, Interpreter } from "@huggingface/jinja"
import { limits } from "./limits.ts"
import { isComposite, shallow, sizes } from "./size.ts"
import { argumentsOf, calleeOf, child, filterOf, kind, type Node, word } from "./syntax.ts"

type Value = ReturnType<Interpreter["evaluate"]>

/** The template asks for more than a limit. */
export class OverLimit extends Error {
  /** Which. */
  readonly limit: keyof typeof limits
  /** Derives the message. */
  constructor(limit: keyof typeof limits) {
    super(`more than limits.${limit}, ${limits[limit]}`)
    this.limit = limit
  }
}

/** The template does what no honest one does. */
export class Hostile extends Error {}

/** The template called `raise_exception`. */
export class Raised extends Error {}

/** An evaluation that is going on. */
interface Frame {
  readonly node: Node
  /** Values of its parts so far, in the order they were evaluated. */
  readonly parts: Array<Value>
}

const hidden: ReadonlySet<unknown> = new Set(["constructor", "__proto__", "prototype"])

// Filters whose work does not grow with what an array holds, only with its length.
const flat: ReadonlySet<string> = new Set([
  "default",
  "first",
  "items",
  "last",
  "length",
  "list",
  "rejectattr",
  "reverse",
  "selectattr",
])

/** The interpreter of one rendering. */
export class Sandbox extends Interpreter {
  readonly #left: { steps: number; work: number }
  readonly #frames: Array<Frame> = []
  readonly #sizes = sizes(() => new OverLimit("output"))
  /** How much text a method is of. */
  readonly #owners = new WeakMap<Value, number>()
  readonly #length: number

  /** `length` is that of the template, in characters; `steps` what the conversation is worth. */
  constructor(
    environment: Environment,
    { length, steps }: { readonly length: number; readonly steps: number },
  ) {
    super(environment)
    this.#left = { steps, work: limits.work }
    this.#length = length
  }

  #take(budget: "steps" | "work", amount: number): void {
    this.#left[budget] -= amount
    if (this.#left[budget] < 0) throw new OverLimit(budget)
  }

  /** Takes the cost of an operation on `amount`, by operands of these sizes. */
  #operate(amount: number, operands: ReadonlyArray<Value>): void {
    // A whole number may be a width or a count.
    const by = operands.map((one) =>
      this.#sizes(one) + (one.type === "IntegerValue" ? Math.abs(Number(one.value)) : 0)
    ).reduce((sum, size) => sum + size, 0)
    if (amount * by > limits.product) throw new OverLimit("product")
    this.#take("work", amount * (1 + by / 64))
  }

  /** Evaluates a part of the template, if the budget is enough. */
  override evaluate(node: Node | undefined, environment: Environment): Value {
    if (node === undefined) return super.evaluate(node, environment)
    const parent = this.#frames.at(-1)
    const frame: Frame = { node, parts: [] }
    if (this.#frames.push(frame) > limits.depth) throw new OverLimit("depth")
    try {
      this.#begin(node)
      // `[] | first` gives JavaScript's own undefined, whatever its type says.
      const value = super.evaluate(node, environment) ?? super.evaluate(undefined, environment)
      this.#end(frame, value)
      if (parent !== undefined) this.#give(parent, value)
      return value
    } finally {
      this.#frames.pop()
    }
  }

  #begin(node: Node): void {
    this.#take("steps", 1)
    switch (node.type) {
      case "Break":
      case "Continue": // each is an exception, with a trace of the stack
        return this.#take("steps", 16)
      case "Macro":
      case "CallStatement": // each walks through its body
        return this.#take("steps", this.#length / 8)
      case "FilterStatement":
        throw new Error("Unknown statement type: filter")
      case "MemberExpression":
        return this.#see(word(child(node, "property")))
    }
  }

  #see(property: unknown): void {
    if (hidden.has(property)) throw new Hostile(`reads the property "${property}"`)
  }

  #end({ node, parts: [owner] }: Frame, value: Value): void {
    if (node.type === "Identifier" && value.type === "UndefinedValue") this.#take("steps", 16)
    if (value.type === "FunctionValue" && node.type === "MemberExpression" && owner) {
      this.#owners.set(value, this.#sizes(owner))
    }
    if (isComposite(value) && !this.#sizes.known(value)) {
      this.#take("steps", shallow(value))
      if (this.#sizes(value) > limits.output) throw new OverLimit("output")
    }
    if (typeof value.value === "string" && value.value.length > limits.output) {
      throw new OverLimit("output")
    }
  }

  /** Tells an evaluation the value of one more part. */
  #give({ node, parts }: Frame, value: Value): void {
    const operands = argumentsOf(node)
    const isCallee = operands === parts.length
    if (value.type === "FunctionValue" && !isCallee && node.type !== "TestExpression") {
      throw new Hostile("uses a function as a value")
    }
    parts.push(value)
    if (typeof value.value === "string") this.#take("work", value.value.length / 16)
    const [first, second] = parts
    if (isCallee) {
      const owner = this.#owners.get(value)
      if (owner === undefined) return
      // Each of its parts is a value, made before anybody could count them.
      if (calleeOf(node) === "split") this.#take("steps", owner / 16)
      this.#operate(owner, parts.slice(0, -1))
      return
    }
    switch (node.type) {
      case "FilterExpression": {
        const { name, args } = filterOf(node)
        if (parts.length !== 1 + args) return
        const isFlat = typeof name === "string" && flat.has(name)
        const amount = isFlat ? shallow(first!) : this.#sizes(first!)
        return this.#operate(amount, name === "default" ? [] : parts.slice(1))
      }
      case "BinaryExpression": {
        if (second === undefined) return
        const operator = word(child(node, "operator"))
        if (operator === "in" || operator === "not in") {
          return this.#operate(this.#sizes(second), [first!])
        }
        return [first!, second].forEach((one) => {
          // An array is written out to be compared or joined to a text; texts are only copied.
          this.#take("work", this.#sizes(one) / (isComposite(one) ? 1 : 16))
        })
      }
      case "MemberExpression":
        if (parts.length === 2) this.#see(value.value)
        else if (kind(child(node, "property")) === "SliceExpression") {
          this.#take("work", (isComposite(value) ? 1 : 4) * shallow(value))
        }
        return
      case "For": // an environment for each item is made before the first is seen
        if (parts.length === 1) this.#take("steps", 2 * shallow(value))
        return
      case "Set": // what holds itself has no size
        if (value.type === "NamespaceValue" && kind(child(node, "assignee")) !== "Identifier") {
          if (parts.length === 1) throw new Hostile("puts a namespace into a namespace")
        }
        return
    }
  }
}
