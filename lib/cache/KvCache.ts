/**
 * One token history as a persistent value: pure writes return new caches, effects place and read them.
 * `const fork = cache` is a fork.
 *
 * @module
 */
export type { AnyRows, Combined, KvCache, Latent, Rows } from "./value.ts"
export { empty } from "./value.ts"
export { append, capacity, dropBefore, truncate, write, type WriteError } from "./write.ts"
export { gather, type Gathered } from "./gather.ts"
export { realize, type RealizeError } from "./Realize.ts"
export { type Outcome, type Step, step, type StepError, type Stepped } from "./Step.ts"
