/**
 * The laws of a KV cache, to be tried on this package's caches or on your own. Needs `fast-check`.
 *
 * A **law** (`Laws`) is what must hold whatever a program does. A **program** is a list of commands (`append(0, 3)`,
 * `run(0, [realize(0)])`, `close(0)`, …) that counts values and leases back from the newest. A **stage** is what
 * programs are played on: `kvasir`, `kvasirOn` another device, or a `subject` of your own, which is a record of a
 * few functions on caches of whole numbers. `check` draws programs, plays them, and compares after each command
 * with a naive model. One run of a program checks every law it is asked for.
 *
 * What breaks is shrunk to a small program, whose text is a call of `replay` to be pasted into a test. What was not
 * checked is reported with the reason, and never counts as a pass.
 *
 * @example A law of this package's caches, and a program written out
 * ```ts
 * import { append, check, kvasir, Laws, realize, replay, run, truncate } from "@kvasir/kvasir/testing"
 *
 * await check(kvasir, { laws: [Laws.writeOnce], runs: 10 })
 * await replay(kvasir, { layout: { layers: 1, keyHeads: 1, keyDim: 2, blockSize: 3 }, numBlocks: [4] }, [
 *   append(0, 3),
 *   truncate(0, 1),
 *   run(0, [realize(0, 1)]),
 * ])
 * ```
 *
 * @module
 */
export {
  type Act,
  attempt,
  type Effect,
  gather,
  make,
  read,
  realize,
  row,
  step,
  type StepHow,
  type StepRow,
} from "./acts.ts"
export {
  check,
  type CheckOptions,
  type Finding,
  type Options,
  type Property,
  property,
} from "./check.ts"
export type { Command, Model } from "./command.ts"
export { append } from "./commands/append.ts"
export { attend } from "./commands/attend.ts"
export { begin } from "./commands/begin.ts"
export { close } from "./commands/close.ts"
export { drop } from "./commands/drop.ts"
export { fail } from "./commands/fail.ts"
export { fork } from "./commands/fork.ts"
export { interrupt } from "./commands/interrupt.ts"
export { keep } from "./commands/keep.ts"
export { merge } from "./commands/merge.ts"
export { open } from "./commands/open.ts"
export { run } from "./commands/run.ts"
export { snapshot } from "./commands/snapshot.ts"
export { tick } from "./commands/tick.ts"
export { truncate } from "./commands/truncate.ts"
export { write } from "./commands/write.ts"
export { kvasir, kvasirOn } from "./kvasir.ts"
export { type Law, LawBroken, Laws, laws, type Name, type Tally, tally } from "./laws.ts"
export type { Fault, Player, Question, Stage, Verb, Verbs } from "./player.ts"
export { type Found, print, ProgramFailed, programs, replay } from "./programs.ts"
export { type Account, type Answer, type Holder, Refused, type Subject } from "./subject.ts"
export { subject } from "./subjects.ts"
export type { Poison } from "./world/storage.ts"
export type { Config, Sizes } from "./world/state.ts"
