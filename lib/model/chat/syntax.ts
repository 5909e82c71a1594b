/**
 * What of a template's syntax tree its costs depend on. The tree's own types are not exported, so its parts
 * are found by name.
 *
 * @module
 */
import type { Interpreter } from "@huggingface/jinja"

/** A node of the tree. */
export type Node = NonNullable<Parameters<Interpreter["evaluate"]>[0]>

/** A part of a node that is a node, or a list of them. */
export const child = (node: object, name: string): object | undefined => {
  const found: unknown = Reflect.get(node, name)
  return typeof found === "object" && found !== null ? found : undefined
}

/** The name that an identifier is, the text that a literal or an operator is. */
export const word = (node: object | undefined): unknown => node && Reflect.get(node, "value")

/** What a node is. */
export const kind = (node: object | undefined): unknown => node && Reflect.get(node, "type")

const count = (node: object | undefined): number => {
  const list = node && child(node, "args")
  return Array.isArray(list) ? list.length : 0
}

/** How many arguments a call has. They are evaluated before what is called. */
export const argumentsOf = (node: Node): number | undefined => {
  if (node.type === "CallExpression") return count(node)
  return node.type === "CallStatement" ? count(child(node, "call")) : undefined
}

/** The name of the method that is called, if one is. */
export const calleeOf = (node: Node): unknown => {
  const call: object | undefined = node.type === "CallStatement" ? child(node, "call") : node
  const callee = call && child(call, "callee")
  return word(callee && child(callee, "property"))
}

/** The name of a filter, and how many arguments it has. They are evaluated after what is filtered. */
export const filterOf = (node: Node): { readonly name: unknown; readonly args: number } => {
  const filter = child(node, "filter")
  const named = filter && kind(filter) === "CallExpression" ? child(filter, "callee") : filter
  return { name: word(named), args: count(filter) }
}
