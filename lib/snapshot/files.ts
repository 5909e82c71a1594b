/** The few things that snapshots ask of a file system, so that a test can be one that fails or crashes. @module */
import { Context, Effect } from "effect"
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { dirname, resolve } from "node:path"

/** Why the file system did not do it. */
export interface Refusal {
  readonly path: string
  readonly reason: string
}

/**
 * Files and folders. What is not synced may be lost, or happen in another order, when the machine stops. An operation
 * that was begun has ended when its effect has, also when the fiber is interrupted.
 */
export interface Files {
  /** The first `most` bytes of a file; undefined where there is none. */
  readonly read: (path: string, most: number) => Effect.Effect<Uint8Array | undefined, Refusal>
  /** A file with these bytes, in place of whatever was there. */
  readonly write: (path: string, bytes: Uint8Array) => Effect.Effect<void, Refusal>
  /** Waits until the bytes of a file, or the names in a folder, are on the disk. */
  readonly sync: (path: string) => Effect.Effect<void, Refusal>
  /** Gives a file another name, in place of the file that had it: at once, or not at all. */
  readonly rename: (from: string, to: string) => Effect.Effect<void, Refusal>
  /** A folder, with those it lies in: on the disk when it succeeds. Nothing where it is there. */
  readonly folder: (path: string) => Effect.Effect<void, Refusal>
  /** Names in a folder. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>, Refusal>
  /** Takes a file away. */
  readonly remove: (path: string) => Effect.Effect<void, Refusal>
}

const reasons: { readonly [code: string]: string } = {
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a folder of its path is a file",
  EEXIST: "it is a file, and a folder is needed",
  EISDIR: "it is a folder, and a file is needed",
  EACCES: "it is not permitted",
  EPERM: "it is not permitted",
  EROFS: "its file system is read-only",
  ENOSPC: "its file system is full",
  EDQUOT: "its file system is full",
}

/** An operation goes on when nobody waits for it, and would meet the next one of its file: so it is waited for. */
const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, Refusal> =>
  Effect.uninterruptible(Effect.tryPromise({
    try: run,
    catch: (cause) => {
      const { code = "", message = String(cause) } = cause as { code?: string; message?: string } // whatever node:fs rejects with
      return { path, reason: reasons[code] ?? message }
    },
  }))

const opened = async <A>(
  path: string,
  flags: string,
  use: (handle: FileHandle) => Promise<A>,
): Promise<A> => {
  const handle = await open(path, flags)
  try {
    return await use(handle)
  } finally {
    await handle.close()
  }
}

const readAll = async (handle: FileHandle, most: number): Promise<Uint8Array> => {
  const { size } = await handle.stat()
  const data = new Uint8Array(Math.min(size, most))
  let at = 0
  while (at < data.length) {
    const { bytesRead } = await handle.read(data, at, data.length - at, at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return data.subarray(0, at)
}

const synced = (path: string): Promise<void> => opened(path, "r", (handle) => handle.sync())

const made = async (path: string): Promise<void> => {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  // A name is in the folder above; the topmost that was missing is the last one to be synced.
  const top = dirname(resolve(first))
  for (let at = dirname(resolve(path)); at.length >= top.length; at = dirname(at)) {
    await synced(at)
    if (at === top) break
  }
}

const missing = (cause: unknown): undefined => {
  if ((cause as { code?: string }).code !== "ENOENT") throw cause // whatever node:fs rejects with
  return undefined
}

/** Those of the machine, through `node:fs`. */
export const node: Files = {
  read: (path, most) =>
    attempt(path, () => opened(path, "r", (handle) => readAll(handle, most)).catch(missing)),
  write: (path, bytes) => attempt(path, () => opened(path, "w", (to) => to.writeFile(bytes))),
  sync: (path) => attempt(path, () => synced(path)),
  rename: (from, to) => attempt(to, () => rename(from, to)),
  folder: (path) => attempt(path, () => made(path)),
  list: (path) => attempt(path, () => readdir(path)),
  remove: (path) => attempt(path, () => rm(path, { force: true })),
}

/** The files that snapshots use: the machine's, unless another is provided. */
export const Service: Context.Reference<Files> = Context.Reference<Files>("kvasir/Files", {
  defaultValue: () => node,
})
