/** What `@huggingface/gguf` makes of the same bytes. @module */
import { gguf as read } from "@huggingface/gguf"
import { types } from "../../model/writer.ts"
import { forms } from "./describe.ts"

const names = new Map<number, string>(Object.entries(types).map(([name, type]) => [type, name]))
type Given = Awaited<ReturnType<typeof read>>
type Said = Given & {
  readonly typedMetadata: {
    readonly [key: string]: {
      readonly value: unknown
      readonly type: number
      readonly subType?: number
    }
  }
}

/** What the other reader said: a file, or why not. */
export type Theirs = { readonly taken: Said } | { readonly refused: string }

/** Bytes as a server gives them by ranges; it has none past the end. */
const served = (bytes: Uint8Array<ArrayBuffer>): typeof fetch => (_, options) => {
  const range = new Headers(options?.headers).get("range") ?? ""
  const [from = 0, to = 0] = range.slice("bytes=".length).split("-").map(Number)
  if (from >= bytes.length) return Promise.reject(new Error("no bytes in that range"))
  const headers = { "content-range": `bytes ${from}-${to}/${bytes.length}` }
  return Promise.resolve(new Response(bytes.slice(from, to + 1), { status: 206, headers }))
}

/** Reads a file with the other reader. */
export const theirs = async (bytes: Uint8Array<ArrayBuffer>): Promise<Theirs> => {
  try {
    const options = { fetch: served(bytes), typedMetadata: true } as const
    return { taken: await read("https://localhost/x.gguf", options) as Said }
  } catch (error) {
    return { refused: error instanceof Error ? error.message : String(error) }
  }
}

const narrow = (value: unknown): unknown =>
  typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value

/** What they said in the form of `said`; their own three entries are left out. */
export const saidByThem = ({ typedMetadata, tensorInfos, tensorDataOffset }: Said): unknown => ({
  entries: Object.entries(typedMetadata).slice(3).map(([key, { value, type, subType }]) => [
    key,
    subType === undefined ? names.get(type) : `${names.get(subType)}[]`,
    Array.isArray(value) ? value.map(narrow) : narrow(value),
  ]),
  tensors: tensorInfos.map(({ name, shape, dtype, offset }) => {
    const [form, elements, bytes] = forms.get(dtype) ?? []
    const all = shape.reduce((product, size) => product * size, 1n)
    return [
      name,
      form,
      shape.map(Number).reverse(),
      Number(tensorDataOffset + offset),
      Number(all / BigInt(elements ?? 1) * BigInt(bytes ?? 0)),
    ]
  }),
})
