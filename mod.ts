/**
 * Immutable KV caches and paged attention on WebGPU, as Effects, for Deno and Bun.
 *
 * A noun is a namespace and a type of the same name: `KvCache.append`, `KvCache`; `Tensor.add`,
 * `Tensor<"f32", "tokens model">`. What is pure returns a `Result`, what needs the device is an `Effect`.
 *
 * ```text
 * values (pure, immutable)                          effects (scoped)
 * KvCache.append, truncate, … ─▶ KvCache            KvCache.realize ─▶ Ledger transition ─▶ Dispatch[] ─▶ Gpu.submit ─▶ Arena's buffers
 * ```
 *
 * @example A model speaks
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Gpu, Llama } from "@kvasir/kvasir"
 *
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const llama = yield* Llama.load() // the tiny model that comes with the package
 *   const events = Llama.generate(llama, "In the beginning", { maxTokens: 12, temperature: 0 })
 *   return yield* Stream.runFold(events, () => "", (text, event) =>
 *     event._tag === "Token" ? text + event.text : text)
 * }))
 * console.log(await Effect.runPromise(Effect.provide(program, Gpu.layerCpu())))
 * ```
 *
 * @module
 */
import type { DType, Spec } from "./kernels/kernel.ts"
import * as kernel from "./kernels/kernel.ts"
import * as attentionState from "./lib/attention/AttentionState.ts"
import * as window from "./lib/attention/Window.ts"
import * as arena from "./lib/cache/Arena.ts"
import * as batch from "./lib/cache/Batch.ts"
import * as kvCache from "./lib/cache/KvCache.ts"
import * as layout from "./lib/cache/Layout.ts"
import * as lease from "./lib/cache/Lease.ts"
import * as pages from "./lib/cache/Pages.ts"
import * as gpu from "./lib/device/Gpu.ts"
import * as llama from "./lib/model/Llama.ts"
import * as tokenizer from "./lib/model/Tokenizer.ts"
import * as snapshot from "./lib/snapshot/Snapshot.ts"
import * as recording from "./lib/tensor/Recording.ts"
import * as tensor from "./lib/tensor/Tensor.ts"
import * as continuousBatchingKvCache from "./lib/views/ContinuousBatchingKvCache.ts"
import * as continuousBatchingKvCacheCollection from "./lib/views/ContinuousBatchingKvCacheCollection.ts"
import * as pagedKvCache from "./lib/views/PagedKvCache.ts"
import * as transformerCache from "./lib/views/TransformerCache.ts"
import * as transformerCacheMetaData from "./lib/views/TransformerCacheMetaData.ts"
import * as transformerCacheView from "./lib/views/TransformerCacheView.ts"
import * as attnMaskDetail from "./lib/views/transformer/AttnMaskDetail.ts"
import * as attnMaskType from "./lib/views/transformer/AttnMaskType.ts"
import * as axis from "./lib/views/transformer/Axis.ts"
import * as quantizer from "./lib/views/transformer/Quantizer.ts"
import * as runtimeMode from "./lib/views/transformer/RuntimeMode.ts"
import * as transformerMetadata from "./lib/views/transformer/TransformerMetadata.ts"

/** How elements are stored. */
export * as DType from "./lib/tensor/DType.ts"
export * as Shape from "./lib/tensor/Shape.ts"
export { tensor as Tensor }
/** An immutable array on the device; its axis names are in its type. */
export type Tensor<D extends DType, A extends string> = tensor.Tensor<D, A>
export { recording as Recording }
/** What operations need; `Program.run` provides it. */
export type Recording = recording.Recording
export { kernel as Kernel }
/** A kernel, typed by its record. */
export type Kernel<S extends Spec> = kernel.Kernel<S>
export { gpu as Gpu }
/** The device; a layer provides it. */
export type Gpu = gpu.Gpu
export * as Program from "./lib/device/Program.ts"
export { layout as Layout }
/** Sizes of a cache. */
export type Layout = layout.Layout
export { arena as Arena }
/** Device memory for caches. */
export type Arena = arena.Arena
export { lease as Lease }
/** The ambient owner of blocks. */
export type Lease = lease.Lease
export { kvCache as KvCache }
/** One token history, as a value. */
export type KvCache = kvCache.KvCache
export { pages as Pages }
/** A pool of pages that its caller numbers. */
export type Pages = pages.Pages
export { snapshot as Snapshot }
/** A cache as bytes. */
export type Snapshot = snapshot.Snapshot
export { batch as Batch }
/** Host arrays of one step. */
export type Batch = batch.Batch
export * as Attention from "./lib/attention/Attention.ts"
export { attentionState as AttentionState }
/** Partial attention of one row. */
export type AttentionState = attentionState.AttentionState
export * as PageAttention from "./lib/views/pageAttention.ts"
export { continuousBatchingKvCache as ContinuousBatchingKvCache }
/** One layer's keys or values of a batch. */
export type ContinuousBatchingKvCache = continuousBatchingKvCache.ContinuousBatchingKvCache
export { continuousBatchingKvCacheCollection as ContinuousBatchingKvCacheCollection }
/** A batch of sequences in one fused buffer. */
export type ContinuousBatchingKvCacheCollection =
  continuousBatchingKvCacheCollection.ContinuousBatchingKvCacheCollection
export * as Interchange from "./lib/views/interchange.ts"
export { window as Window }
/** Which positions a query may see. */
export type Window = window.Window
export { transformerCache as TransformerCache }
/** Keys and values of all layers for a batch. */
export type TransformerCache = transformerCache.TransformerCache
export { transformerCacheView as TransformerCacheView }
/** The same of one layer. */
export type TransformerCacheView = transformerCacheView.TransformerCacheView
export { transformerCacheMetaData as TransformerCacheMetaData }
/** Sizes of a transformer's cache. */
export type TransformerCacheMetaData = transformerCacheMetaData.TransformerCacheMetaData
export { transformerMetadata as TransformerMetadata }
/** What one call of a transformer's cache is told about its rows. */
export type TransformerMetadata = transformerMetadata.TransformerMetadata
export { attnMaskType as AttnMaskType }
/** How a layer hides positions. */
export type AttnMaskType = attnMaskType.AttnMaskType
export { attnMaskDetail as AttnMaskDetail }
/** The same, with its numbers. */
export type AttnMaskDetail = attnMaskDetail.AttnMaskDetail
export { runtimeMode as RuntimeMode }
/** What a model does now. */
export type RuntimeMode = runtimeMode.RuntimeMode
export { axis as Axis }
/** A logical axis. */
export type Axis = axis.Axis
export { quantizer as Quantizer }
/** How a cache stores its rows. */
export type Quantizer = quantizer.Quantizer
export * as Partition from "./lib/views/transformer/partition.ts"
export * as Chat from "./lib/model/Chat.ts"
export * as Gguf from "./lib/model/Gguf.ts"
export * as Source from "./lib/model/gguf/Source.ts"
export { tokenizer as Tokenizer }
/** A vocabulary, ready for use. */
export type Tokenizer = tokenizer.Tokenizer
export { llama as Llama }
/** A model, ready to read and to speak. */
export type Llama = llama.Llama
export * as PageUtilities from "./lib/views/PageUtilities.ts"
export { pagedKvCache as PagedKvCache }
/** Sequences over a pool of numbered blocks. */
export type PagedKvCache = pagedKvCache.PagedKvCache
export * from "./lib/errors.ts"
