// Sorts in linear time and bounded memory: for arrays with an element for each line of a batch.

/**
 * `order` by the ranks of its elements, equals as they were: a counting sort, which needs no more
 * than two arrays of that length.
 * @param ranks of each element, below the number of elements, or few
 */
export function countingSort(order: Uint32Array, ranks: Uint32Array): Uint32Array<ArrayBuffer> {
  let highest = 0;
  for (const rank of ranks) highest = Math.max(highest, rank);
  /** Where the next element of each rank goes. */
  const next = new Uint32Array(highest + 2);
  for (const rank of ranks) next[rank + 1] = (next[rank + 1] as number) + 1;
  for (let rank = 1; rank < next.length; rank++) {
    next[rank] = (next[rank] as number) + (next[rank - 1] as number);
  }
  const result = new Uint32Array(order.length);
  for (const element of order) {
    const rank = ranks[element] as number;
    const place = next[rank] as number;
    result[place] = element;
    next[rank] = place + 1;
  }
  return result;
}
