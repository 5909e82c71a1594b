/**
 * Which devices hold which part of an array, as data: logical axes, named meshes, and a table from one to the other.
 *
 * @module
 */
import { Result } from "effect"
import { InvalidArgument } from "../../errors.ts"
import * as Axis from "./Axis.ts"
import { whole } from "./check.ts"
import { error as modeError, type RuntimeMode } from "./RuntimeMode.ts"

/** Devices in a grid: how many along each named axis. */
export interface Mesh {
  /** Devices along this axis. */
  readonly [meshAxis: string]: number
}

/** Over which mesh axes each logical axis is divided; one that is not named is whole on every device. */
export type Rules = { readonly [A in Axis.Axis]?: ReadonlyArray<string> }

/** Rules, and those that a mode has instead. */
export interface PartitionTable {
  /** In every mode. */
  readonly rules: Rules
  /** What a mode says instead, axis by axis. */
  readonly modes?: { readonly [M in RuntimeMode]?: Rules }
}

/** A table and the mesh it speaks of. */
export interface Partitioning {
  /** The devices. */
  readonly mesh: Mesh
  /** What lies where. */
  readonly table: PartitionTable
}

/** The usual division, over the mesh axes `dp`, `fsdp`, `tp` and `sp`; the one query of a decode step is not divided. */
export const usual: PartitionTable = {
  rules: {
    batch: ["fsdp", "dp"],
    queryLength: ["sp"],
    kvLength: ["sp"],
    head: ["tp"],
    kvHead: ["tp"],
    biasHeadSeq: ["tp"],
    biasKvSeq: ["sp"],
  },
  modes: { decode: { queryLength: [] } },
}

/** One axis of an array, divided. */
export interface Divided {
  /** What the axis means. */
  readonly axis: Axis.Axis
  /** Over which it is divided, in order. */
  readonly meshAxes: ReadonlyArray<string>
  /** Into how many parts. */
  readonly parts: number
  /** Elements of a part. */
  readonly size: number
}

const tableError = ({ mesh, table }: Partitioning): InvalidArgument | undefined => {
  for (const [name, size] of Object.entries(mesh)) {
    const bad = whole(`the mesh axis ${name}`, size, 1)
    if (bad !== undefined) return bad
  }
  for (const rules of [table.rules, ...Object.values(table.modes ?? {})]) {
    for (const [axis, meshAxes] of Object.entries(rules)) {
      if (!Axis.all.includes(axis as Axis.Axis)) {
        const need = `one of ${Axis.all.join(", ")}`
        return new InvalidArgument({ name: "a logical axis", value: axis, need })
      }
      const unknown = meshAxes.find((name) => !Object.hasOwn(mesh, name))
      if (unknown === undefined) continue
      const need = `one of the mesh: ${Object.keys(mesh).join(", ")}`
      return new InvalidArgument({ name: `the mesh axis of ${axis}`, value: unknown, need })
    }
  }
}

/**
 * How an array with these axes and sizes is divided in a mode. A size that does not divide, a mesh axis that divides
 * two axes, and a name that nobody knows are refused.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict"
 * import { Result } from "effect"
 * import { Axis, Partition, RuntimeMode } from "@kvasir/kvasir"
 * const mesh = { dp: 1, fsdp: 1, tp: 2, sp: 1 }
 * const refused = Partition.resolve({ mesh, table: Partition.usual }, {
 *   axes: [Axis.BATCH, Axis.KV_HEAD], shape: [4, 3], mode: RuntimeMode.MODE_PREFILL,
 * })
 * assert.equal(Result.getOrThrow(Result.flip(refused)).message,
 *   "Cannot take 3 as the size of kvHead: it must be a multiple of 2, the parts of the mesh axes tp")
 * ```
 */
export const resolve = (
  partitioning: Partitioning,
  { axes, shape, mode }: {
    readonly axes: ReadonlyArray<Axis.Axis>
    readonly shape: ReadonlyArray<number>
    readonly mode: RuntimeMode
  },
): Result.Result<ReadonlyArray<Divided>, InvalidArgument> => {
  const bad = modeError(mode) ?? tableError(partitioning)
  if (bad !== undefined) return Result.fail(bad)
  const { mesh, table } = partitioning
  const rules: Rules = { ...table.rules, ...table.modes?.[mode] }
  const taken = new Map<string, Axis.Axis>()
  const out: Array<Divided> = []
  for (const [i, axis] of axes.entries()) {
    const meshAxes = rules[axis] ?? []
    for (const name of meshAxes) {
      const other = taken.get(name)
      if (other !== undefined) {
        const need = `in one rule of an array, and it divides ${other} already`
        return Result.fail(
          new InvalidArgument({ name: `the mesh axis of ${axis}`, value: name, need }),
        )
      }
      taken.set(name, axis)
    }
    const parts = meshAxes.reduce((product, name) => product * mesh[name]!, 1)
    const value = shape[i] ?? 0
    if (value % parts !== 0) {
      const need = `a multiple of ${parts}, the parts of the mesh axes ${meshAxes.join(", ")}`
      return Result.fail(new InvalidArgument({ name: `the size of ${axis}`, value, need }))
    }
    out.push({ axis, meshAxes, parts, size: value / parts })
  }
  return Result.succeed(out)
}
