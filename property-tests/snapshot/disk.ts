/**
 * A file system in memory that keeps apart what was done and what is on the disk: what nobody synced may be lost,
 * cut off, or come in another order, when the machine stops.
 *
 * @module
 */
import { Effect } from "effect"
import { dirname } from "node:path"
import type { Snapshot } from "../../mod.ts"

/** The bytes of a file: as written, and as last synced. */
interface Inode {
  data: Uint8Array
  durable: Uint8Array
}

/** A file system, and its handles for a test. */
export interface Disk {
  readonly files: Snapshot.Files.Files
  /** What was done so far, an entry an operation that changes or syncs something. */
  readonly log: Array<string>
  /** Number of the operation that fails, and all after it. */
  stopAt: number
  /** What a machine finds that was stopped now; `pick(n)` draws a number below n. */
  readonly crash: (pick: (n: number) => number) => Disk
  /** Changes a file behind everybody's back. */
  readonly set: (path: string, bytes: Uint8Array) => void
  /** A file's bytes. */
  readonly get: (path: string) => Uint8Array | undefined
  /** Every path. */
  readonly paths: () => ReadonlyArray<string>
}

/** What may be found of bytes that nobody synced. */
const torn = (bytes: Uint8Array, durable: Uint8Array, pick: (n: number) => number): Uint8Array => {
  switch (pick(4)) {
    case 0:
      return durable
    case 1:
      return bytes.slice(0, pick(bytes.length + 1))
    case 2:
      return new Uint8Array(bytes.length) // its length is there, and its bytes are not
    default:
      return bytes
  }
}

/** A file system of these files. */
export const make = (given: ReadonlyMap<string, Uint8Array> = new Map()): Disk => {
  const names = new Map<string, Inode>()
  /** What a name stood for since its folder was synced, the synced one first. */
  const since = new Map<string, Array<Inode | undefined>>()
  for (const [path, data] of given) names.set(path, { data, durable: data })
  for (const [path, inode] of names) since.set(path, [inode])
  const point = (path: string, inode: Inode | undefined): void => {
    since.set(path, [...since.get(path) ?? [undefined], inode])
    if (inode === undefined) names.delete(path)
    else names.set(path, inode)
  }
  const doing = (what: string, path: string, run: () => void, half = run) =>
    Effect.suspend(() => {
      const refusal = Effect.fail({ path, reason: "its file system is full" })
      const now = disk.log.push(`${what} ${path}`) - 1
      if (now > disk.stopAt) return refusal
      if (now === disk.stopAt) {
        half()
        return refusal
      }
      return Effect.sync(run)
    })
  const nothing = (): void => {}
  const write = (path: string, bytes: Uint8Array): void => {
    const inode = names.get(path)
    if (inode !== undefined) inode.data = bytes
    else point(path, { data: bytes, durable: new Uint8Array() })
  }
  const disk: Disk = {
    log: [],
    stopAt: Infinity,
    files: {
      read: (path, most) => Effect.sync(() => names.get(path)?.data.slice(0, most)),
      write: (path, bytes) => {
        const copy = bytes.slice()
        const half = () => write(path, copy.slice(0, copy.length / 2))
        return doing("write", path, () => write(path, copy), half)
      },
      sync: (path) =>
        doing("sync", path, () => {
          const inode = names.get(path)
          if (inode !== undefined) return void (inode.durable = inode.data)
          for (const name of since.keys()) {
            if (dirname(name) === path) since.set(name, [names.get(name)])
          }
        }, nothing),
      rename: (from, to) =>
        doing("rename", to, () => {
          const inode = names.get(from)!
          point(to, inode)
          point(from, undefined)
        }, nothing),
      folder: (path) => doing("folder", path, nothing),
      list: (path) =>
        Effect.sync(() =>
          [...names.keys()].filter((name) => dirname(name) === path)
            .map((name) => name.slice(path.length + 1))
        ),
      remove: (path) => doing("remove", path, () => point(path, undefined), nothing),
    },
    crash: (pick) => {
      const found = new Map<string, Uint8Array>()
      for (const [path, all] of since) {
        const inode = all[pick(all.length)]
        if (inode === undefined) continue
        found.set(
          path,
          inode.data === inode.durable ? inode.data : torn(inode.data, inode.durable, pick),
        )
      }
      return make(found)
    },
    set: (path, bytes) => names.get(path)!.data = bytes,
    get: (path) => names.get(path)?.data,
    paths: () => [...names.keys()].sort(),
  }
  return disk
}

/** Numbers below n, in an order that a seed decides. */
export const picker = (seed: number): (n: number) => number => {
  let state = Math.imul(seed + 1, 0x9e3779b1)
  return (n) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x297a2d39 | 0
    return (state >>> 8) % n
  }
}
