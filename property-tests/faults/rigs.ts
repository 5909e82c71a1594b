/** The devices of this machine, each made to fail. @module */
import * as dawn from "../../lib/device/dawn.ts"
import type { Origin } from "../../lib/device/webgpu/layer.ts"
import * as webgpu from "../../lib/device/webgpu.ts"
import { adapters } from "../adapters.ts"
import * as cpu from "./cpu.ts"
import type { Rig } from "./faults.ts"
import { type Birth, rig } from "./webgpu.ts"

/** A kind of device, of which any number can be opened. */
export interface Kind {
  readonly name: string
  readonly open: () => Rig
  /** Undefined for the CPU, whose births never fail. */
  readonly born: ((birth: Birth) => Rig) | undefined
}

const origins: { readonly [name: string]: Origin } = { webgpu: webgpu.origin, dawn: dawn.origin }

/** What this machine has. */
export const kinds: ReadonlyArray<Kind> = adapters.map(({ name }) => {
  const origin = origins[name]
  if (origin === undefined) return { name, open: cpu.rig, born: undefined }
  return { name, open: () => rig(origin), born: (birth) => rig(origin, birth) }
})
