/**
 * The process of `llamacpp.ts`: it loads a model, then reads questions and answers them, a line of JSON each.
 * It is copied to where npm has brought `node-llama-cpp`, and so imports nothing else.
 *
 * @module
 */
import { availableParallelism } from "node:os"
import process from "node:process"
import { createInterface } from "node:readline"

const specifier: string = "node-llama-cpp"

/** The part of its API that is used. */
interface Api {
  readonly LlamaLogLevel: { readonly info: string }
  readonly getLlama: (options: {
    readonly gpu: "vulkan" | false
    readonly build: "never"
    readonly skipDownload: true
    readonly logLevel: string
    readonly logger: (level: string, message: string) => void
  }) => Promise<{
    readonly getGpuDeviceNames: () => Promise<ReadonlyArray<string>>
    readonly loadModel: (options: {
      readonly modelPath: string
      readonly gpuLayers: "max" | 0
    }) => Promise<Model>
  }>
}
interface Model {
  readonly createContext: (options: {
    readonly contextSize: number
    readonly batchSize: number
    readonly threads: number
  }) => Promise<{ readonly getSequence: () => Sequence }>
}
interface Sequence {
  readonly nextTokenIndex: number
  readonly saveStateToFile: (path: string) => Promise<{ readonly fileSize: number }>
  readonly loadStateFromFile: (
    path: string,
    options: { readonly acceptRisk: true },
  ) => Promise<unknown>
  readonly eraseContextTokenRanges: (
    ranges: ReadonlyArray<{ readonly start: number; readonly end: number }>,
  ) => Promise<unknown>
  readonly evaluate: (
    tokens: ReadonlyArray<number>,
    options: { readonly temperature: number; readonly yieldEogToken: boolean },
  ) => AsyncIterable<number>
}

/** Reads tokens after the first `from` of those it holds, and draws `count` tokens, the most probable ones. */
export interface Question {
  readonly from: number
  readonly ids: ReadonlyArray<number>
  readonly count: number
}

/** Writes what it holds to a file, and answers `[bytes]`; or reads it from there, and answers how many tokens it holds. */
export interface Keep {
  readonly save?: string
  readonly load?: string
}

/** Where it runs, in its own words. */
export interface Ready {
  readonly devices: ReadonlyArray<string>
  /** Layers on the device, of all. */
  readonly offloaded: string
}

/** The process. */
const answer = async (modelPath: string, backend: string, contextSize: number): Promise<void> => {
  const { getLlama, LlamaLogLevel }: Api = await import(specifier)
  let offloaded = "0"
  const llama = await getLlama({
    gpu: backend === "vulkan" ? "vulkan" : false,
    build: "never",
    skipDownload: true,
    logLevel: LlamaLogLevel.info,
    logger: (_, message) => {
      console.error(message)
      offloaded = /offloaded (\d+\/\d+) layers/.exec(message)?.[1] ?? offloaded
    },
  })
  const gpuLayers = backend === "vulkan" ? "max" : 0
  const model = await llama.loadModel({ modelPath, gpuLayers })
  // By itself it would take at least four threads, which wait for each other in loops.
  const threads = availableParallelism()
  const context = await model.createContext({ contextSize, batchSize: 512, threads })
  const sequence = context.getSequence()
  const say = (value: unknown): void => console.log(JSON.stringify(value))
  const ready: Ready = { devices: await llama.getGpuDeviceNames(), offloaded }
  say(ready)
  for await (const line of createInterface({ input: process.stdin })) {
    const { from, ids, count, save, load } = JSON.parse(line) as Question & Keep
    if (save !== undefined) {
      say([(await sequence.saveStateToFile(save)).fileSize])
      continue
    }
    if (load !== undefined) {
      await sequence.loadStateFromFile(load, { acceptRisk: true })
      say([sequence.nextTokenIndex])
      continue
    }
    const end = sequence.nextTokenIndex
    if (end > from) await sequence.eraseContextTokenRanges([{ start: from, end }])
    const drawn: Array<number> = []
    for await (const id of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
      if (drawn.push(id) === count) break
    }
    say(drawn)
  }
}

await answer(process.argv[2]!, process.argv[3]!, Number(process.argv[4]))
