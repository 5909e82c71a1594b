/**
 * Slices of new tokens into pages whose keys and values interleave: EasyDeL's page utilities.
 *
 * `slotMappingToSlices` says where the new tokens of a batch go, `kvCacheUpdate` puts them there with one dispatch,
 * and gives new pages; `kvCacheUpdateReference` is the same by the definition, on the host.
 *
 * @module
 */
export {
  cdiv,
  type SliceIndices,
  type Slices,
  type SlotMapping,
  slotMappingToSlices,
} from "./utilities/slices.ts"
export {
  type CombinedRows,
  type DensePool,
  fromDense,
  kvCacheUpdate,
  toDense,
  type UpdateOptions,
} from "./utilities/update.ts"
export {
  type HostRows,
  kvCacheUpdateReference,
  type ReferenceError,
} from "./utilities/reference.ts"
