/** `Map.groupBy`, which Node 20 does not have. @module */

/** Items by their key, in the order in which keys and items come. O(items). */
export const grouped = <A, K>(
  items: Iterable<A>,
  keyOf: (item: A) => K,
): ReadonlyMap<K, ReadonlyArray<A>> => {
  const found = new Map<K, Array<A>>()
  for (const item of items) {
    const key = keyOf(item)
    const known = found.get(key)
    if (known === undefined) found.set(key, [item])
    else known.push(item)
  }
  return found
}
