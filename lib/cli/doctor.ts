/** `doctor`: what this machine has, and what a model needs. @module */
import { Effect, Result } from "effect"
import process from "node:process"
import * as Layout from "../cache/Layout.ts"
import { automatic } from "./device.ts"
import { inspect } from "./model.ts"
import type { Command, Failure } from "./command.ts"
import { parse, type Table, Usage } from "./options.ts"
import * as Output from "./output.ts"

const table = {
  model: { takes: "text", help: "a GGUF file; the embedded model without it" },
  json: { takes: "nothing", help: "one JSON object" },
} as const satisfies Table

interface Adapter {
  readonly name: string
  readonly fallback: boolean
  readonly features: ReadonlyArray<string>
  readonly limits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number }
}

/** The adapter `navigator.gpu` offers, if any. Nothing is opened on it. */
const adapterOf = Effect.tryPromise(async (): Promise<Adapter | undefined> => {
  // Types of WebGPU are not everywhere; this is the part of them that is read here.
  const { navigator } = globalThis as {
    navigator?: {
      gpu?: {
        requestAdapter: () => Promise<
          {
            readonly info: { readonly description: string; readonly isFallbackAdapter?: boolean }
            readonly features: Iterable<string>
            readonly limits: Adapter["limits"]
          } | null
        >
      }
    }
  }
  const adapter = await navigator?.gpu?.requestAdapter()
  if (!adapter) return undefined
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits
  return {
    name: adapter.info.description,
    fallback: adapter.info.isFallbackAdapter === true,
    features: [...adapter.features].sort(),
    limits: { maxBufferSize, maxStorageBufferBindingSize },
  }
}).pipe(Effect.orElseSucceed(() => undefined))

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
    const adapter = yield* adapterOf
    const { gguf, config } = yield* inspect(values.model)
    const weightsBytes = [...gguf.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    const layout = Result.getOrThrow(Layout.make({
      layers: config.layers,
      keyHeads: config.numKvHeads,
      keyDim: config.headDim,
      blockSize: 1,
    }))
    const report = {
      runtime: runtime(),
      platform: `${process.platform} ${process.arch}`,
      devices: {
        cpu: "the kernel twins: everywhere",
        webgpu: adapter ?? null,
        auto: automatic,
      },
      model: {
        name: config.name,
        file: gguf.file,
        context: config.context,
        weightsBytes,
        cacheBytesPer1000Tokens: 1000 * Layout.blockBytes(layout, 0),
        cacheBytesAtFullContext: config.context * Layout.blockBytes(layout, 0),
      },
    }
    if (values.json === true) return yield* Output.print(JSON.stringify(report) + "\n")
    const { model } = report
    const seen = adapter === undefined
      ? "none offered by this runtime"
      : `${adapter.name}${adapter.fallback ? " (software)" : ""}, seen but not used by this version`
    yield* Output.print([
      `runtime   ${report.runtime} on ${report.platform}`,
      `cpu       ${report.devices.cpu}`,
      `webgpu    ${seen}`,
      ...(adapter === undefined ? [] : [
        `          features ${adapter.features.join(", ") || "none"}`,
        `          buffers up to ${
          Output.megabytes(adapter.limits.maxBufferSize)
        }, bindings up to ${Output.megabytes(adapter.limits.maxStorageBufferBindingSize)}`,
      ]),
      `auto      ${automatic.name}: ${automatic.why}`,
      `model     ${model.name}, context ${model.context} tokens`,
      `memory    weights ${Output.megabytes(model.weightsBytes)}, cache ${
        Output.megabytes(model.cacheBytesPer1000Tokens)
      } per 1,000 tokens, ${Output.megabytes(model.cacheBytesAtFullContext)} at full context`,
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
