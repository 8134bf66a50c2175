/** Rank of a merge by its line in merges.txt, "left right". */
export interface MergeRanks {
  get(merge: string): number | undefined;
}

// A queue entry is rank * POSITIONS + position, one exact double (ranks below 2^24, no string has 2^29 characters):
// the lowest rank comes first, then the leftmost place.
const POSITIONS = 2 ** 29;

/**
 * Byte-pair encoding of one pre-token: repeatedly joins the adjacent pair of lowest rank, the leftmost of equals
 * (Sennrich et al. 2016, as `tokenizers` does it). O(n log n), because a pre-token of a user's text has any length.
 */
export function mergeByRank(characters: readonly string[], ranks: MergeRanks): string[] {
  const parts: (string | null)[] = [...characters]; // null: joined into an earlier part
  const next = Array.from(parts, (_, i) => i + 1);
  const previous = Array.from(parts, (_, i) => i - 1);
  const queue: number[] = [];

  const rankAt = (left: number): number | undefined => {
    const right = next[left]!;
    return right < parts.length ? ranks.get(`${parts[left]!} ${parts[right]!}`) : undefined;
  };
  const offer = (left: number): void => {
    const rank = rankAt(left);
    if (rank !== undefined) push(queue, rank * POSITIONS + left);
  };

  for (let i = 0; i + 1 < parts.length; i++) offer(i);
  while (queue.length > 0) {
    const entry = pop(queue);
    const left = entry % POSITIONS;
    // An entry is stale when its part was joined since, or has another neighbour: then the pair's rank is another.
    if (parts[left] === null || rankAt(left) !== (entry - left) / POSITIONS) continue;
    const right = next[left]!;
    parts[left] = parts[left]! + parts[right]!;
    parts[right] = null;
    next[left] = next[right]!;
    if (next[left]! < parts.length) previous[next[left]!] = left;
    offer(left);
    if (previous[left]! >= 0) offer(previous[left]!);
  }
  return parts.filter((part) => part !== null);
}

/** Binary min-heap. */
function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = value;
}

function pop(heap: number[]): number {
  const top = heap[0]!;
  const last = heap.pop()!;
  const size = heap.length;
  if (size === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= last) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
  return top;
}
