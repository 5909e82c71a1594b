/**
 * Caches as bytes: a versioned container in which every byte is under a SHA-256, and blocks are named by theirs.
 * Meets no device and no files; `lib/snapshot` brings rows from the one to the others, and back.
 *
 * ```text
 * header   "KvSnapsh" · u32 version · u32 length · JSON · SHA-256 of these
 * block    rows of `blockTokens` positions in the layers of one group, in the bits of the arena's storage:
 *          keys [layers, tokens, heads, row], then values; its SHA-256 stands in the header
 * ```
 *
 * @module
 */
export { type Block, type Header, version } from "./snapshot/header.ts"
export { decode, encode, type Snapshot } from "./snapshot/container.ts"
export type { Shape } from "./snapshot/shape.ts"
