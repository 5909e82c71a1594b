/**
 * A Llama-family model over an immutable paged cache.
 *
 * @module
 */
export {
  fromCheckpoint,
  fromSource,
  layout,
  layoutOf,
  type LayoutOptions,
  type Llama,
  load,
  type LoadError,
  type LoadOptions,
  open,
} from "./load.ts"
export { type ModelError, type Read, step, type StepOptions } from "./read.ts"
export { generate, type GenerateError, type History } from "./generate.ts"
export {
  fingerprint,
  type FingerprintOptions,
  restoreConversation,
  restoreHistory,
  saveConversation,
  saveHistory,
} from "./saved.ts"
export type { Event, GenerateOptions, GroupMemory, Memory, Stopped } from "./events.ts"
export { type Chain, type ChainOptions, type Drawn, make as chain, replay } from "./chain.ts"
export { decode, type DecodeError, type DecodeOptions, type DrawnToken } from "./decode.ts"
export { type Score, score } from "./score.ts"
export { choose, type Sampling } from "./Sampler.ts"
export type { Checkpoint, OpenError, Stored } from "./Checkpoint.ts"
export type { Config } from "./Config.ts"
export type { Progress } from "./Weights.ts"
export { rebuild } from "./rebuild.ts"
export { blocksOf, slide } from "./slide.ts"
export { chat, type ChatOptions } from "./ask.ts"
export {
  type Answer,
  type Answered,
  type Conversation,
  converse,
  type ConverseOptions,
  say,
  type SayError,
  type Usage,
} from "./conversation.ts"
