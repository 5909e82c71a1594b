/** Mistakes in the transformer cache: what its rows hold, and what their queries see. @module */
import { inside, type Mutant } from "./mutant.ts"

/** Those of lib/views/transformer, but for shards and bytes. */
export const transformers: ReadonlyArray<Mutant> = [
  ...inside("lib/views/TransformerCacheMetaData.ts", [
    [
      "keyHeads = numHeads, valueHeads = numHeads",
      "keyHeads = numHeads, valueHeads = keyHeads",
      "values have the heads of keys",
    ],
    ["numHeads % heads === 0", "true", "heads that make no groups are taken"],
    [
      "options.batchSize * options.numHiddenLayers",
      "options.batchSize",
      "rows of one layer are all",
    ],
    [
      "options.updateCausalMask ?? true",
      "options.updateCausalMask ?? false",
      "later tokens are seen unasked",
    ],
    [
      "maskType: SLIDING, size: slidingWindow }",
      "maskType: SLIDING, size: slidingWindow + 1 }",
      "window off by one",
    ],
  ]),
  ...inside("lib/views/transformer/AttnMaskDetail.ts", [
    ["maskType !== CHUNK && offset !== 0", "false", "an offset where nothing is chunked"],
    ["Window.last(detail.size) }", "Window.last(detail.size + 1) }", "window off by one"],
    ["chunkOffset: detail.offset ?? 0", "chunkOffset: 0", "the offset of chunks dropped"],
    [
      "maskType === SLIDING || (maskType === CHUNK && size !== undefined)",
      "maskType === SLIDING",
      "a chunk may have any window",
    ],
    [
      "detail?.maskType === SLIDING ? detail.size",
      "detail?.maskType !== FULL ? detail?.size",
      "chunks let go as windows do",
    ],
  ]),
  ...inside("lib/views/transformer/AttnMaskType.ts", [
    [
      "Object.hasOwn(named, short) ? named[short] : undefined",
      "named[short]",
      "`constructor` is a layer type",
    ],
    ["/_attention$/", "/_attention/", "`_attention` in the middle of a name"],
    ["sliding: SLIDING", "sliding: FULL", "sliding layers see all"],
    ["chunked: CHUNK,", "chunked: FULL,", "chunked layers see all"],
  ]),
  ...inside("lib/views/transformer/Axis.ts", [
    ['KV_LENGTH = "kvLength"', 'KV_LENGTH = "queryLength"', "positions are divided as queries are"],
    ["  BATCH,\n  QUERY_LENGTH", "  QUERY_LENGTH", "the batch cannot be divided"],
    ['KV_HEAD = "kvHead"', 'KV_HEAD = "head"', "heads of keys are divided as those of queries"],
  ]),
  ...inside("lib/views/transformer/Quantizer.ts", [
    ['storage: "int8" }', "storage: undefined }", "a quantiser that does not"],
    ["storage: undefined }\n", 'storage: "f32" }\n', "no quantiser stores f32"],
    ["= [none, int8]", "= [none]", "a quantiser is not found again"],
  ]),
  ...inside("lib/views/transformer/RuntimeMode.ts", [
    ["all.includes(mode)", "true", "any mode is one"],
    ["  MODE_DECODE,\n  MODE_INSERT,\n]", "  MODE_INSERT,\n]", "decode is no mode"],
    ['MODE_DECODE = "decode"', 'MODE_DECODE = "prefill"', "decode is prefill"],
  ]),
  ...inside("lib/views/transformer/TransformerMetadata.ts", [
    ["row.findLastIndex(real) + 1", "row.findLastIndex(real)", "the last token is padding"],
    [
      "return first < 0 ? row.length : first",
      "return Math.max(0, first)",
      "a row of padding has tokens",
    ],
    ["postpadded !== (queryLengths !== undefined)", "false", "padding that nobody counted"],
    ["(n) => n > tokens", "(n) => n > tokens + 1", "more real tokens than there are"],
  ]),
  ...inside("lib/views/transformer/append.ts", [
    ["needed - needed % blockSize", "needed + blockSize", "what the window needs is let go"],
    ["position - window + 1", "position - window + 1 + window", "a window needs nothing"],
    [": truncate(row, index)", ": Result.succeed(row)", "tokens behind an index stay"],
    ["metadata.queryLengths?.[i] ?? tokens", "tokens", "padding is written"],
    ["from: i * tokens, count", "from: 0, count", "every row gets the first row's tokens"],
    [
      "if (needed > capacity) yield*",
      "if (needed > capacity + 1) yield*",
      "one token more than a row holds",
    ],
    ["metadata.starts ?? self.starts", "self.starts", "starts that are given are dropped"],
  ]),
  ...inside("lib/views/transformer/attend.ts", [
    ["{ ...seen, ...look }", "{ ...look }", "what is hidden is seen"],
    [
      "maskFor(self, tokens, mask, cacheMetadata)",
      "maskFor(self, tokens, mask)",
      "padding has queries",
    ],
    [
      "maskFor(self, tokens, mask, cacheMetadata)",
      "maskFor(self, tokens, undefined, cacheMetadata)",
      "the mask of the call dropped",
    ],
    [
      "const counts = self.rows.map(() => tokens)",
      "const counts = self.rows.map(() => 1)",
      "one query a row",
    ],
  ]),
  ...inside("lib/views/transformer/check.ts", [
    ["list.length !== rows", "list.length > rows", "a list that is too short"],
    ["whole(`${name}[${i}]`, value, 0)", "undefined", "a list of anything"],
    ["slot + Math.max(1, count) - 1", "slot + Math.max(1, count) - 2", "one row too many"],
    ["row >= 0 && row < sequences", "row < sequences", "row −1"],
  ]),
  ...inside("lib/views/transformer/concatenate.ts", [
    [
      "if (x.dtype === expected) return Result.succeed(x)",
      "return Result.succeed(x as Tensor<Given, A>)",
      "rows are not rounded",
    ],
    ["append(self, chunk, cacheMetadata)", "append(self, chunk)", "metadata dropped"],
    ["if (actual % heads === 0) continue", "continue", "queries that make no groups"],
    [
      "self.metadata.createAttentionBias\n",
      "!self.metadata.createAttentionBias\n",
      "what is seen is not said",
    ],
    ["quantizer.name !== self.quantizer.name", "false", "another quantiser than the view's"],
    [
      "const dense = yield* materialize(view)",
      "const dense = yield* materialize(self)",
      "the cache before it grew",
    ],
  ]),
  ...inside("lib/views/transformer/convert.ts", [
    ["starts.with(slot, 0)", "starts", "a new row has the padding of the old"],
    ["length > capacity ?", "length > capacity + 1 ?", "one token more than a row holds"],
    ["rows.with(slot, value)", "rows.with(0, value)", "every row replaces the first"],
    [
      "const bad = one.arena === arena\n",
      "const bad = one.arena !== undefined\n",
      "rows of two arenas",
    ],
  ]),
  ...inside("lib/views/transformer/copy.ts", [
    ['holes === "zeros" ? from : 0', "0", "what was dropped leaves no hole"],
    ["at += skipped + cache.length - from", "at += cache.length", "rows with a gap between them"],
    ["    from += length\n    return Result", "    return Result", "every row is the first"],
    ["dropBefore(row, kept, 0)", "dropBefore(row, 0, 0)", "what was dropped comes back"],
  ]),
  ...inside("lib/views/transformer/init.ts", [
    ["quantizer.storage ?? dtype", "dtype", "the quantiser's storage dropped"],
    [
      "(batchSize + 1) * numHiddenLayers * row",
      "batchSize * numHiddenLayers * row - 1",
      "a block too few",
    ],
    ["if (actual !== expected) {", "if (actual < expected) {", "larger arenas are taken"],
    ["(start) => start > most", "(start) => start > most + 1", "padding beyond the row"],
    ["layer >= 0 && layer < layers", "layer >= 0 && layer <= layers", "a layer after the last"],
    [
      "maskTypeDetails[layerIndex] && { maskingDetails: maskTypeDetails[layerIndex] }",
      "maskTypeDetails[0] && { maskingDetails: maskTypeDetails[0] }",
      "every layer has the first one's mask",
    ],
    ["capacity: sequenceLength,", "capacity: sequenceLength + 1,", "a row of one token more"],
  ]),
  ...inside("lib/views/transformer/insert.ts", [
    [
      "replaced(mine.starts, slot, theirs.starts)",
      "mine.starts",
      "rows keep the padding of those they replace",
    ],
    [
      "replaced(mine.rows, slot, rows)",
      "replaced(mine.rows, 0, rows)",
      "rows go to the first slots",
    ],
    ["expected !== actual && !cast", "false", "rows are rounded unasked"],
    [
      "if (needed > capacity) return",
      "if (needed > capacity + 1) return",
      "one token more than a row holds",
    ],
    ["if (length > row.length) {", "if (length > row.length + 1) {", "an index beyond the tokens"],
    ["one.rows[slot + i]!", "one.rows[i]!", "other rows are cut"],
    [
      "list.toSpliced(at, by.length, ...by)",
      "list.toSpliced(at, 0, ...by)",
      "rows are put in between",
    ],
  ]),
  ...inside("lib/views/transformer/layers.ts", [
    ["self.views.with(layer, view)", "self.views.with(0, view)", "every view is the first layer's"],
    ["if (layerIndex !== layer) {", "if (layerIndex > layer) {", "a view of an earlier layer"],
    ["const one = views[layer]\n", "const one = views[0]\n", "every layer is the first"],
  ]),
  ...inside("lib/views/transformer/materialize.ts", [
    ["cache.length - window)", "cache.length - window + 1)", "window off by one"],
    ["row: i * tokens + at }", "row: i * tokens }", "positions are not their own places"],
    [
      "i * tokens + at + p - from] = p",
      "i * tokens + at + p - from] = p + 1",
      "positions off by one",
    ],
    ["({ values }) => values)", "({ keys }) => keys as never)", "values are keys"],
  ]),
  ...inside("lib/views/transformer/see.ts", [
    [
      "Math.min(given.last, own.last)",
      "Math.max(given.last, own.last)",
      "the wider of two windows",
    ],
    ["Math.max(start, starts?.[i] ?? 0)", "start", "starts of a mask dropped"],
    ["t < real ? length - real + t : -1", "length - real + t", "padding has positions"],
    [
      "given.chunk === own.chunk && offset(given) === offset(own)",
      "given.chunk === own.chunk",
      "chunks of another offset",
    ],
    ["j > position - most || j < sinks", "j > position - most", "sinks are not seen"],
    ["length - tokens + i\n", "length - tokens + i + 1\n", "queries stand one position late"],
    ["flat.set(list, i * width)", "flat.set(list, 0)", "every query sees the same"],
    ["if (given.sinks > 0) {", "if (given.sinks > 1) {", "one sink in a sliding layer"],
  ]),
  ...inside("lib/views/transformer/value.ts", [
    ["windowOf(maskingDetails) ?? Infinity", "Infinity", "a window has room for all"],
    [
      "self.indexs.every((n) => n === 0)",
      "self.indexs.some((n) => n === 0)",
      "one empty row makes a view empty",
    ],
    [
      "for (const row of rows) yield* row[Keep]()",
      "for (const row of rows.slice(1)) yield* row[Keep]()",
      "rows that the first owes are not kept",
    ],
    [
      "[rows.length, room(view), heads, dim]",
      "[room(view), rows.length, heads, dim]",
      "axes swapped as they are printed",
    ],
  ]),
]
