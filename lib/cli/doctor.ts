/** `doctor`: what this machine has, and what a model needs. @module */
import { Effect } from "effect"
import process from "node:process"
import * as Arena from "../cache/Arena.ts"
import * as Layout from "../cache/Layout.ts"
import * as Gpu from "../device/Gpu.ts"
import * as Llama from "../model/Llama.ts"
import { inspect } from "./model.ts"
import type { Command, Failure } from "./command.ts"
import { parse, type Table, Usage } from "./options.ts"
import * as Output from "./output.ts"
import { megabytes } from "./output.ts"

const table = {
  model: {
    takes: "text",
    help: "a GGUF file or a folder of safetensors; the embedded model without it",
  },
  json: { takes: "nothing", help: "one JSON object" },
} as const satisfies Table

const runtime = (): string => {
  const { bun, deno } = process.versions as Record<string, string | undefined>
  return bun !== undefined
    ? `Bun ${bun}`
    : deno !== undefined
    ? `Deno ${deno}`
    : `Node ${process.versions.node}`
}

const run = (args: ReadonlyArray<string>): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { values, texts } = yield* Effect.fromResult(parse(args, table))
    if (texts.length > 0) return yield* new Usage({ problem: "doctor takes no text" })
    const { device, considered } = yield* Gpu.choose({ thorough: true })
    const { name, tensors, config } = yield* inspect(values.model)
    const sizes = [...tensors.values()].map(({ bytes }) => bytes)
    const layout = yield* Effect.fromResult(Llama.layoutOf(config))
    const tokenBytes = Layout.blockBytes(layout, 0) / layout.blockSize
    const plan = yield* Effect.fromResult(
      Arena.plan(layout, (config.context + 2 * layout.blockSize) * tokenBytes),
    )
    const largest = Math.max(...sizes, plan.largestBuffer)
    const report = {
      runtime: runtime(),
      platform: `${process.platform} ${process.arch}`,
      auto: device,
      devices: considered.map((seen) => ({ ...seen, fits: seen.maxBufferBytes >= largest })),
      model: {
        name: config.name,
        file: name,
        context: config.context,
        weightsBytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
        cacheBytesPer1000Tokens: 1000 * tokenBytes,
        cacheBytesAtFullContext: plan.bytes,
        largestBufferBytes: largest,
      },
    }
    if (values.json === true) return yield* Output.print(JSON.stringify(report) + "\n")
    const { model } = report
    const lines = report.devices.map((
      { device, adapter, features, maxBufferBytes, fits, why, taken },
    ) =>
      [
        `${device.padEnd(9)} ${adapter ?? "none"}: ${taken ? "taken by auto, " : ""}${why}`,
        ...(adapter === undefined ? [] : [
          `          buffers to ${megabytes(maxBufferBytes)}, needed ${megabytes(largest)}: ${
            fits ? "fits" : "does not fit"
          }${features.length > 0 ? `; features ${features.join(", ")}` : ""}`,
        ]),
      ].join("\n")
    )
    yield* Output.print([
      `runtime   ${report.runtime} on ${report.platform}`,
      ...lines,
      `model     ${model.name}, context ${model.context} tokens`,
      `memory    weights ${megabytes(model.weightsBytes)}, cache ${
        megabytes(model.cacheBytesPer1000Tokens)
      } per 1,000 tokens, ${megabytes(model.cacheBytesAtFullContext)} at full context`,
      "",
    ].join("\n"))
  })

/** Prints the report. */
export const doctor: Command = {
  takes: "",
  does: "shows what this machine has and what a model needs",
  table,
  run,
}
