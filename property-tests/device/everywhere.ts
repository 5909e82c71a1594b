/** Tests that run on each device there is. @module */
import { test } from "node:test"
import { Effect } from "effect"
import type { Gpu } from "../../mod.ts"
import { absent, adapters } from "../adapters.ts"

/** Longest a test may take on a software adapter under load. */
export const timeout = 120_000

/** A test on each device there is; the others are skipped, with the reason. */
export const everywhere = (
  name: string,
  body: (device: string) => Effect.Effect<unknown, unknown, Gpu.Gpu>,
): void => {
  for (const { name: device, layer } of adapters) {
    test(
      `${name} [${device}]`,
      { timeout },
      () => Effect.runPromise(Effect.provide(body(device), layer)).then(() => {}),
    )
  }
  for (const { name: device } of absent) {
    test(`${name} [${device}]`, { skip: "no adapter of this kind here" }, () => {})
  }
}
