/**
 * JSON of files that may be damaged or hostile: depth and values are bounded, a key stands once in its
 * object, and an object is a `Map`, in which `__proto__` is a key like any other.
 *
 * Source: RFC 8259.
 *
 * @module
 */
import { Result } from "effect"
import { Buffer } from "node:buffer"
import { BadModelFile } from "../../errors.ts"
import { quote } from "../gguf/bytes.ts"
import { limits } from "./limits.ts"

/** A value. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | JsonObject

/** An object, in the order of the file. */
export type JsonObject = ReadonlyMap<string, Json>

/** The object of a file, or one inside it. */
export interface Document {
  /** The file's name, for errors. */
  readonly file: string
  /** What stands before the keys in errors: empty, or `rope_scaling.`. */
  readonly prefix: string
  /** The members. */
  readonly keys: JsonObject
  /** The byte of the file where the member of this name begins. */
  readonly offset: (key: string) => number
}

interface Problem {
  /** A position in the text. */
  readonly at: number
  readonly reason: string
}

const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const numberLength = 64
const words: ReadonlyMap<string, Json> = new Map([["true", true], ["false", false], ["null", null]])

const isSpace = (code: number): boolean =>
  code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
/** What numbers, words and mistakes are made of. */
const isPlain = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x7a) ||
  (code >= 0x41 && code <= 0x5a) || code === 0x2b || code === 0x2d || code === 0x2e

/** What is empty is one for all: a file may have nothing else, a million times. */
const noElements: ReadonlyArray<Json> = []
const noMembers: JsonObject = new Map()

type Starts = ReadonlyMap<string, number>

/** The value of a text, and where each member of the outermost object begins; or what is wrong. */
const read = (text: string): Problem | { readonly value: Json; readonly starts: Starts } => {
  const starts = new Map<string, number>()
  /** Elements of the arrays that have not ended: an array that grows by itself has room to spare. */
  const open: Array<Json> = []
  let at = 0
  const left = {
    values: limits.values,
    arrays: limits.arrays,
    objects: limits.objects,
    members: limits.members,
  }
  let problem: Problem | undefined

  const fail = (reason: string, where = at): undefined => {
    problem ??= { at: where, reason }
  }
  const take = (what: keyof typeof left): boolean =>
    left[what]-- > 0 || (fail(`more ${what} than limits.${what}, ${limits[what]}`), false)
  const next = (): string => {
    for (let code = text.charCodeAt(at); isSpace(code); code = text.charCodeAt(at)) at++
    return text.charAt(at)
  }
  const unexpected = (need: string): undefined =>
    fail(`it ${at < text.length ? `has ${quote(text[at]!)}` : "ends"}: ${need} is needed`)

  const readString = (need: string): string | undefined => {
    const start = at
    if (text[at] !== '"') return unexpected(need)
    let escapes = false
    for (let code = text.charCodeAt(++at); code !== 0x22; code = text.charCodeAt(++at)) {
      if (!(code >= 0x20)) return fail("a string does not end in its line", start) // NaN is the end
      if (code !== 0x5c) continue
      escapes = true
      at++
    }
    at++
    if (!escapes) return text.slice(start + 1, at - 1)
    const value = Result.try(() => String(JSON.parse(text.slice(start, at))))
    if (Result.isFailure(value)) return fail("a string has an unknown escape", start)
    if (value.success.isWellFormed()) return value.success
    return fail("a string has half a surrogate pair", start)
  }

  const readPlain = (): Json | undefined => {
    const start = at
    while (isPlain(text.charCodeAt(at)) && at - start <= numberLength) at++
    const plain = text.slice(start, at)
    if (number.test(plain) && plain.length <= numberLength) return Number(plain)
    const known = words.get(plain)
    if (known !== undefined) return known
    at = start
    return unexpected("a value")
  }

  const readObject = (depth: number): JsonObject | undefined => {
    at++
    if (next() === "}") return at++, noMembers
    if (!take("objects")) return
    const out = new Map<string, Json>()
    while (problem === undefined) {
      next()
      const start = at
      const key = readString("a key")
      if (key === undefined) return
      if (next() !== ":") return unexpected('":"')
      at++
      const value = readValue(depth)
      if (value === undefined) return
      const size = out.size
      out.set(key, value)
      if (out.size === size) return fail(`the key ${quote(key)} is there twice`, start)
      if (depth === 1) {
        if (!take("members")) return
        starts.set(key, start)
      }
      const end = next()
      if (end !== "," && end !== "}") return unexpected('"," or "}"')
      at++
      if (end === "}") return out
    }
  }

  const readArray = (depth: number): ReadonlyArray<Json> | undefined => {
    at++
    if (next() === "]") return at++, noElements
    if (!take("arrays")) return
    const begin = open.length
    while (problem === undefined) {
      const value = readValue(depth)
      if (value === undefined) return
      open.push(value)
      const end = next()
      if (end !== "," && end !== "]") return unexpected('"," or "]"')
      at++
      if (end === "]") return open.splice(begin)
    }
  }

  /** `undefined` once there is a problem. */
  const readValue = (depth: number): Json | undefined => {
    if (!take("values")) return
    const first = next()
    if (first === "{" || first === "[") {
      if (depth === limits.depth) return fail(`nested deeper than limits.depth, ${limits.depth}`)
      return first === "{" ? readObject(depth + 1) : readArray(depth + 1)
    }
    return first === '"' ? readString("a value") : readPlain()
  }

  const value = readValue(0)
  if (problem === undefined && next() !== "") unexpected("the end")
  return problem ?? { value: value!, starts } // no problem, so there is a value
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Reads the object that `bytes` are; they begin at `offset` of the file. Linear in the bytes. */
export const parse = (
  file: string,
  bytes: Uint8Array,
  offset: number = 0,
): Result.Result<Document, BadModelFile> => {
  const bad = (reason: string, at = 0) =>
    Result.fail(new BadModelFile({ file, offset: offset + at, reason }))
  const text = Result.try(() => utf8.decode(bytes))
  if (Result.isFailure(text)) return bad("it is not UTF-8")
  const byteOf = (at: number) => Buffer.byteLength(text.success.slice(0, at))
  const got = read(text.success)
  if ("reason" in got) return bad(got.reason, byteOf(got.at))
  if (!(got.value instanceof Map)) return bad("it is not an object")
  return Result.succeed({
    file,
    prefix: "",
    keys: got.value,
    offset: (key) => offset + byteOf(got.starts.get(key) ?? 0),
  })
}
