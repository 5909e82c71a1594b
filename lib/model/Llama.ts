/**
 * A Llama-family model over an immutable paged cache.
 *
 * @module
 */
export {
  fromSource,
  inspect,
  type Inspected,
  layout,
  layoutOf,
  type LayoutOptions,
  type Llama,
  load,
  type LoadError,
  type LoadOptions,
  open,
} from "./load.ts"
export { type ModelError, type Read, step } from "./read.ts"
export {
  type Event,
  generate,
  type GenerateError,
  type GenerateOptions,
  type Stopped,
} from "./generate.ts"
export { type Score, score } from "./score.ts"
export { choose, type Sampling } from "./Sampler.ts"
export type { Config } from "./Config.ts"
export type { Progress } from "./Weights.ts"
