/** The devices of this machine, for everything that is checked on each of them. @module */
import type { Layer } from "effect"
import { Gpu } from "../mod.ts"

/** A device by name. Each use of the layer opens a device of its own. */
export interface Adapter {
  readonly name: string
  readonly layer: Layer.Layer<Gpu>
}

/** What this machine has; the CPU is always there, and first. */
export const adapters: ReadonlyArray<Adapter> = [
  { name: "cpu", layer: Gpu.layerCpu() },
]
