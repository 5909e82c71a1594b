/** Everything that a campaign tries, on the devices of this machine. @module */
import { snapshots } from "../snapshot/trial.ts"
import { faultPrograms, interruptions } from "./faults.ts"
import { files } from "./files.ts"
import { hostileCalls, hostileTables, hostileValues } from "./hostile.ts"
import { indices } from "./indices.ts"
import { lawPrograms } from "./laws.ts"
import type { Trial } from "./trial.ts"

/** The trials, in the order of the report. */
export const trials: ReadonlyArray<Trial> = [
  ...lawPrograms,
  ...faultPrograms,
  ...interruptions,
  ...indices,
  hostileCalls,
  hostileTables,
  ...hostileValues,
  snapshots,
  ...files,
]

/** A trial with its adapter, as the ledger and the report name it. */
export const named = ({ name, adapter }: Pick<Trial, "name" | "adapter">): string =>
  `${name} [${adapter}]`
