/**
 * Tensors and their operations. An operation records; nothing runs before the recording is submitted.
 *
 * @module
 */
export type * from "./value.ts"
export * from "./views.ts"
export * from "./elementwise.ts"
export * from "./linear.ts"
export * from "./fused.ts"
export * from "./norm.ts"
export * from "./rope.ts"
export * from "./embed.ts"
export * from "./choose.ts"
export * from "./cast.ts"
export * from "./arrange.ts"
