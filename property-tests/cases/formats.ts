/** Which code checks which file of recorded cases. @module */
import { Effect, Result, Schema } from "effect"
import type { Gpu, Llama } from "../../mod.ts"
import type { Checked } from "./checked.ts"
import { continuousBatchingProgram } from "./continuous_batching_program.ts"
import { denseAttentionPrefill } from "./dense_attention_prefill.ts"
import { casesOf, type KvCase } from "./kv.ts"
import { kvCacheUpdate } from "./kv_cache_update.ts"
import { mergeAttentionStates } from "./merge_attention_states.ts"
import { pageAttentionCases } from "./page_attention.ts"
import { model } from "./model.ts"
import { pagedCacheProgram } from "./paged_cache_program.ts"
import { recordedGreedy, recordedLogits, recordedNll } from "./recorded_model.ts"
import { recordedTokenizer } from "./recorded_tokenizer.ts"
import { slotMappingToSlices } from "./slot_mapping_to_slices.ts"
import { tokenizer } from "./tokenizer.ts"
import { transformerCacheProgram } from "./transformer_cache_program.ts"

/** Why a file could not be checked at all. */
export type FileError = Schema.SchemaError | Llama.LoadError

/** Checks all cases of a file, given as JSON and where it lies. */
export type Check = (
  json: unknown,
  path: string,
) => Effect.Effect<ReadonlyArray<Checked>, FileError, Gpu>

const kv = (
  op: (cases: ReadonlyArray<KvCase>) => ReturnType<Check>,
): Check =>
(json) => Effect.flatMap(casesOf(json), op)

/** By `kind`, or by `format` and `op`; a tokenizer's file that names a model is of a format of its own. */
const formats: { readonly [name: string]: Check } = {
  tokenizer,
  "logits+greedy": model,
  "kv-golden/1 dense_attention_prefill": kv(denseAttentionPrefill),
  "kv-golden/1 merge_attention_states": kv(mergeAttentionStates),
  "kv-golden/1 paged_cache_program": kv(pagedCacheProgram),
  "kv-golden/1 kv_cache_update": kv(kvCacheUpdate),
  "kv-golden/1 slot_mapping_to_slices": kv(slotMappingToSlices),
  "kv-golden/1 transformer_cache_program": kv(transformerCacheProgram),
  "kv-golden/1 page_attention": kv(pageAttentionCases),
  "kv-golden/1 continuous_batching_program": kv(continuousBatchingProgram),
  "tokenizer of model_file": recordedTokenizer,
  "greedy of model_file": recordedGreedy,
  "logits of model_file": recordedLogits,
  "nll of model_file": recordedNll,
}

const Head = Schema.Union([
  Schema.Struct({ format: Schema.String, op: Schema.String }),
  Schema.Struct({ kind: Schema.String, model_file: Schema.optionalKey(Schema.String) }),
])

/** What checks a file, or the name of its unknown format. */
export const formatOf = (json: unknown): Result.Result<Check, string> =>
  Result.match(Schema.decodeUnknownResult(Head)(json), {
    onFailure: () => Result.fail("nothing names it"),
    onSuccess: (head) => {
      const name = "op" in head
        ? `${head.format} ${head.op}`
        : `${head.kind}${head.model_file === undefined ? "" : " of model_file"}`
      const found = Object.hasOwn(formats, name) ? formats[name] : undefined
      return found === undefined ? Result.fail(name) : Result.succeed(found)
    },
  })
