/**
 * The errors. Each is tagged, has its numbers as fields and a message derived from them:
 * `Cannot <verb> <thing> as <need>: <state>`. A caller's mistake is one of these; a broken invariant of
 * the library is a defect that names the law.
 *
 * @module
 */
import { type Cause, Data } from "effect"

type Tagged<Tag extends string, A extends Record<string, unknown>> = new (
  args: A,
) => Cause.YieldableError & { readonly _tag: Tag } & Readonly<A>

const InvalidArgumentBase: Tagged<
  "InvalidArgument",
  { readonly name: string; readonly value: number | string; readonly need: string }
> = Data.TaggedError("InvalidArgument")
/** A value outside what an argument accepts. */
export class InvalidArgument extends InvalidArgumentBase {
  /** Derived. */
  override readonly message: string =
    `Cannot take ${this.value} as ${this.name}: it must be ${this.need}`
}

const ShapeMismatchBase: Tagged<
  "ShapeMismatch",
  {
    readonly tensor: string
    readonly axis: string
    readonly expected: number
    readonly actual: number
  }
> = Data.TaggedError("ShapeMismatch")
/** An axis has one size here and another there. */
export class ShapeMismatch extends ShapeMismatchBase {
  /** Derived. */
  override readonly message: string =
    `Cannot bind axis "${this.axis}" of ${this.tensor} to ${this.expected}: it is ${this.actual}`
}

const DTypeMismatchBase: Tagged<
  "DTypeMismatch",
  {
    readonly tensor: string
    readonly expected: string
    readonly actual: string
    /** Default: casting. */
    readonly remedy?: string
  }
> = Data.TaggedError("DTypeMismatch")
/** A tensor is stored in another dtype than its use needs. */
export class DTypeMismatch extends DTypeMismatchBase {
  /** Derived. */
  override readonly message: string =
    `Cannot use ${this.tensor} as ${this.expected}: it is ${this.actual}; ` +
    (this.remedy ?? "Tensor.cast converts it")
}

const CapacityExceededBase: Tagged<
  "CapacityExceeded",
  { readonly needed: number; readonly capacity: number; readonly remedy?: string }
> = Data.TaggedError("CapacityExceeded")
/** More tokens than one cache of this arena may hold. */
export class CapacityExceeded extends CapacityExceededBase {
  /** Derived. */
  override readonly message: string =
    `Cannot grow the cache as it needs ${this.needed} tokens: its capacity is ${this.capacity}` +
    (this.remedy === undefined ? "" : `; ${this.remedy}`)
}

const OutOfBlocksBase: Tagged<
  "OutOfBlocks",
  {
    readonly group: number
    readonly needed: number
    readonly free: number
    readonly total: number
    /** Default: what frees blocks of an arena. */
    readonly remedy?: string
  }
> = Data.TaggedError("OutOfBlocks")
/** The arena has fewer free blocks than the transition needs; nothing was changed. */
export class OutOfBlocks extends OutOfBlocksBase {
  /** Derived. */
  override readonly message: string =
    `Cannot place rows as they need ${this.needed} more blocks of layer group ${this.group}: ` +
    `${this.free} free of ${this.total}; ` +
    (this.remedy ?? "close a lease, keep fewer values or make a larger arena")
}

const BlockTableFullBase: Tagged<
  "BlockTableFull",
  { readonly sequence: number; readonly needed: number; readonly maxBlocks: number }
> = Data.TaggedError("BlockTableFull")
/** A sequence needs more blocks than its row of the block table has cells. */
export class BlockTableFull extends BlockTableFullBase {
  /** Derived. */
  override readonly message: string =
    `Cannot give sequence ${this.sequence} ${this.needed} blocks: its row of the block table has ` +
    `${this.maxBlocks} cells; make the table wider or end the sequence`
}

const DuplicateBlockBase: Tagged<
  "DuplicateBlock",
  { readonly block: number; readonly owner: string }
> = Data.TaggedError("DuplicateBlock")
/** A block that was given by its number belongs to somebody already. */
export class DuplicateBlock extends DuplicateBlockBase {
  /** Derived. */
  override readonly message: string =
    `Cannot take block ${this.block}: it belongs to ${this.owner}; give a free block`
}

const UnknownSequenceBase: Tagged<
  "UnknownSequence",
  { readonly sequence: number; readonly sequences: number }
> = Data.TaggedError("UnknownSequence")
/** A row of a batch that is not there. */
export class UnknownSequence extends UnknownSequenceBase {
  /** Derived. */
  override readonly message: string =
    `Cannot find sequence ${this.sequence}: there are ${this.sequences}, from 0 on`
}

const StaleCacheBase: Tagged<
  "StaleCache",
  {
    readonly group: number
    readonly block: number
    readonly generation: number
    readonly now: number
  }
> = Data.TaggedError("StaleCache")
/** No lease held this value any more, and a block of it was recycled (or its step never landed). */
export class StaleCache extends StaleCacheBase {
  /** Derived. */
  override readonly message: string = this.block < 0
    ? "Cannot read the cache: the step that made it did not succeed"
    : `Cannot read the cache as it needs generation ${this.generation} of block ${this.block} ` +
      `(layer group ${this.group}): the block is at generation ${this.now}; hold values by a lease`
}

const LeaseClosedBase: Tagged<"LeaseClosed", { readonly doing: string }> = Data.TaggedError(
  "LeaseClosed",
)
/** The lease an effect runs under was closed before the effect ended. */
export class LeaseClosed extends LeaseClosedBase {
  /** Derived. */
  override readonly message: string =
    `Cannot ${this.doing} as it needs an open lease: the lease is closed`
}

const StaleTensorBase: Tagged<"StaleTensor", { readonly name: string; readonly why: string }> = Data
  .TaggedError("StaleTensor")
/** The memory of this tensor was given back: its recording or its scope is over. */
export class StaleTensor extends StaleTensorBase {
  /** Derived. */
  override readonly message: string = `Cannot read ${this.name}: ${this.why}`
}

const LayoutMismatchBase: Tagged<
  "LayoutMismatch",
  { readonly field: string; readonly expected: string; readonly actual: string }
> = Data.TaggedError("LayoutMismatch")
/** Two caches, or a cache and a model, are laid out differently. */
export class LayoutMismatch extends LayoutMismatchBase {
  /** Derived. */
  override readonly message: string =
    `Cannot use a cache whose ${this.field} is ${this.actual}: ${this.expected} is needed`
}

const ArenaTooLargeBase: Tagged<
  "ArenaTooLarge",
  { readonly what: string; readonly bytes: number; readonly limit: number }
> = Data.TaggedError("ArenaTooLarge")
/** A pool needs a larger buffer than the device gives. */
export class ArenaTooLarge extends ArenaTooLargeBase {
  /** Derived. */
  override readonly message: string =
    `Cannot make the arena as ${this.what} needs ${this.bytes} bytes: ` +
    `the device gives at most ${this.limit} to one buffer; ask for fewer blocks or a narrower dtype`
}

const GpuUnavailableBase: Tagged<
  "GpuUnavailable",
  { readonly device: string; readonly reason: string; readonly remedy: string }
> = Data.TaggedError("GpuUnavailable")
/** No such device here. */
export class GpuUnavailable extends GpuUnavailableBase {
  /** Derived. */
  override readonly message: string =
    `Cannot open the ${this.device} device: ${this.reason}; ${this.remedy}`
}

const GpuFaultBase: Tagged<
  "GpuFault",
  {
    readonly kind: "validation" | "out-of-memory" | "internal" | "lost"
    readonly kernel: string
    readonly detail: string
  }
> = Data.TaggedError("GpuFault")
/** The device refused or lost the work; nothing of the submit is kept. */
export class GpuFault extends GpuFaultBase {
  /** Derived. */
  override readonly message: string =
    `Cannot run ${this.kernel} on the device (${this.kind}): ${this.detail}`
}

const GpuLostBase: Tagged<"GpuLost", { readonly reason: string; readonly detail: string }> = Data
  .TaggedError("GpuLost")
/** The device is gone, and with it every tensor and every placed cache on it. */
export class GpuLost extends GpuLostBase {
  /** Derived. */
  override readonly message: string =
    `Cannot go on with the device as it was lost (${this.reason}): ${
      this.detail || "no more is known"
    }; open a new one and rebuild its caches`
}

/** What any work on a device may fail with. */
export type DeviceError = GpuFault | GpuLost

const BadCacheDataBase: Tagged<
  "BadCacheData",
  { readonly what: string; readonly reason: string }
> = Data.TaggedError("BadCacheData")
/** A cache that was written down is damaged, or of another version. */
export class BadCacheData extends BadCacheDataBase {
  /** Derived. */
  override readonly message: string =
    `Cannot restore a cache from its data: ${this.what} ${this.reason}`
}

const BadSnapshotBase: Tagged<
  "BadSnapshot",
  { readonly file: string; readonly offset: number; readonly reason: string }
> = Data.TaggedError("BadSnapshot")
/** A snapshot of a cache that is missing, damaged or of another format. */
export class BadSnapshot extends BadSnapshotBase {
  /** Derived. */
  override readonly message: string =
    `Cannot restore the snapshot ${this.file} at byte ${this.offset}: ${this.reason}`
}

const SnapshotNotSavedBase: Tagged<
  "SnapshotNotSaved",
  { readonly file: string; readonly reason: string }
> = Data.TaggedError("SnapshotNotSaved")
/** The file system did not take a snapshot. One of the same name that was there before is whole, or the new one is. */
export class SnapshotNotSaved extends SnapshotNotSavedBase {
  /** Derived. */
  override readonly message: string =
    `Cannot save a snapshot as ${this.file}: ${this.reason}; the older one or this one is there, whole`
}

const BadModelFileBase: Tagged<
  "BadModelFile",
  { readonly file: string; readonly offset: number; readonly reason: string }
> = Data.TaggedError("BadModelFile")
/** A model file that is damaged, hostile or of another format. */
export class BadModelFile extends BadModelFileBase {
  /** Derived. */
  override readonly message: string =
    `Cannot read the model ${this.file} at byte ${this.offset}: ${this.reason}`
}

const UnsupportedModelBase: Tagged<
  "UnsupportedModel",
  { readonly what: string; readonly value: string; readonly supported: string }
> = Data.TaggedError("UnsupportedModel")
/** A sound model file that asks for something not built yet. */
export class UnsupportedModel extends UnsupportedModelBase {
  /** Derived. */
  override readonly message: string =
    `Cannot run a model whose ${this.what} is ${this.value}: ${this.supported} is supported`
}

const ContextTooLongBase: Tagged<
  "ContextTooLong",
  { readonly tokens: number; readonly context: number }
> = Data.TaggedError("ContextTooLong")
/** More tokens than the model was trained to see. */
export class ContextTooLong extends ContextTooLongBase {
  /** Derived. */
  override readonly message: string =
    `Cannot read a text of ${this.tokens} tokens: the model's context is ${this.context} tokens, ` +
    `and at least one must stay free for the answer; shorten the text`
}
