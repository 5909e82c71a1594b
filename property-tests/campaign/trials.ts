/** Everything that a campaign tries, on the devices of this machine. @module */
import { files } from "./files.ts"
import type { Trial } from "./trial.ts"

/** The trials, in the order of the report. */
export const trials: ReadonlyArray<Trial> = [...files]

/** A trial with its adapter, as the ledger and the report name it. */
export const named = ({ name, adapter }: Pick<Trial, "name" | "adapter">): string =>
  `${name} [${adapter}]`
