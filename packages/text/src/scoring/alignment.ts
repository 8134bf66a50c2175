/** One step of an alignment: equal, substitution, deletion (in the reference alone), insertion (in the hypothesis alone). */
export type EditOp = "=" | "S" | "D" | "I";

export interface Alignment {
  /** Steps from the beginning to the end. */
  readonly ops: readonly EditOp[];
  readonly substitutions: number;
  readonly deletions: number;
  readonly insertions: number;
}

/**
 * Levenshtein alignment with unit costs. Of equally cheap alignments it takes the one that a walk back from the end finds
 * when it prefers match or substitution, then deletion, then insertion; the sum of errors does not depend on that.
 *
 * Time O(n·m), memory O((n + m)·√n): every √n-th row of costs is kept and the rows between are computed again on the way
 * back, so that hours of speech align exactly.
 */
export function align<T>(reference: readonly T[], hypothesis: readonly T[]): Alignment {
  const [ref, hyp] = asIntegers(reference, hypothesis);
  const stride = Math.max(1, Math.ceil(Math.sqrt(ref.length)));
  const checkpoints: Int32Array[] = [];
  let row = Int32Array.from({ length: hyp.length + 1 }, (_, j) => j);
  for (let i = 0; i <= ref.length; i++) {
    if (i % stride === 0) checkpoints.push(row);
    if (i < ref.length) row = nextRow(row, ref[i]!, hyp);
  }

  const ops: EditOp[] = [];
  let j = hyp.length;
  for (let block = checkpoints.length - 1; block >= 0; block--) {
    const first = block * stride;
    const rows = [checkpoints[block]!];
    const last = Math.min(first + stride, ref.length);
    for (let i = first; i < last; i++) rows.push(nextRow(rows.at(-1)!, ref[i]!, hyp));
    for (let i = last; i > first || (block === 0 && j > 0);) {
      const cost = rows[i - first]![j]!;
      const above = i > 0 ? rows[i - first - 1]! : null;
      const same = i > 0 && j > 0 && ref[i - 1] === hyp[j - 1];
      if (above !== null && j > 0 && above[j - 1]! + (same ? 0 : 1) === cost) {
        ops.push(same ? "=" : "S");
        i--;
        j--;
      } else if (above !== null && above[j]! + 1 === cost) {
        ops.push("D");
        i--;
      } else {
        ops.push("I");
        j--;
      }
    }
  }
  ops.reverse();
  const count = (kind: EditOp): number => ops.reduce((sum, op) => sum + (op === kind ? 1 : 0), 0);
  return { ops, substitutions: count("S"), deletions: count("D"), insertions: count("I") };
}

/** Costs of aligning one more reference token with every prefix of the hypothesis. */
function nextRow(row: Int32Array, token: number, hyp: Int32Array): Int32Array<ArrayBuffer> {
  const next = new Int32Array(row.length);
  let left = (next[0] = row[0]! + 1);
  let diagonal = row[0]!;
  for (let j = 0; j < hyp.length; j++) {
    const up = row[j + 1]!;
    let cost = diagonal + (token === hyp[j] ? 0 : 1);
    if (up + 1 < cost) cost = up + 1;
    if (left + 1 < cost) cost = left + 1;
    next[j + 1] = left = cost;
    diagonal = up;
  }
  return next;
}

/**
 * Levenshtein distance alone, 32 reference tokens at a time (Myers 1999, in the block form of Hyyrö 2003): for long
 * texts compared by character.
 */
export function editDistance<T>(reference: readonly T[], hypothesis: readonly T[]): number {
  const [ref, hyp] = asIntegers(reference, hypothesis);
  if (ref.length === 0) return hyp.length;
  const words = Math.ceil(ref.length / 32);
  // Bit b of word w of a token's mask: reference[32w + b] is the token.
  const masks = new Map<number, Int32Array>();
  ref.forEach((token, i) => {
    let mask = masks.get(token);
    if (mask === undefined) masks.set(token, (mask = new Int32Array(words)));
    mask[i >> 5]! |= 1 << (i & 31);
  });
  const absent = new Int32Array(words);
  const positive = new Int32Array(words).fill(-1); // vertical differences +1 and -1 of the current column
  const negative = new Int32Array(words);
  const lastBit = 1 << ((ref.length - 1) & 31);
  let distance = ref.length;
  for (const token of hyp) {
    const mask = masks.get(token) ?? absent;
    let carryPlus = 1; // horizontal difference that enters a block from above: the first row grows by one per column
    let carryMinus = 0;
    for (let w = 0; w < words; w++) {
      const pv = positive[w]!;
      const mv = negative[w]!;
      const equal = mask[w]! | carryMinus;
      const vertical = mask[w]! | mv;
      const diagonal = ((((equal & pv) + pv) | 0) ^ pv) | equal;
      let plus = mv | ~(diagonal | pv);
      let minus = pv & diagonal;
      if (w === words - 1) {
        if ((plus & lastBit) !== 0) distance++;
        if ((minus & lastBit) !== 0) distance--;
      }
      const outPlus = plus >>> 31;
      const outMinus = minus >>> 31;
      plus = (plus << 1) | carryPlus;
      minus = (minus << 1) | carryMinus;
      positive[w] = minus | ~(vertical | plus);
      negative[w] = plus & vertical;
      carryPlus = outPlus;
      carryMinus = outMinus;
    }
  }
  return distance;
}

/** Equal tokens as equal integers. */
function asIntegers<T>(reference: readonly T[], hypothesis: readonly T[]): [Int32Array, Int32Array] {
  const numbers = new Map<T, number>();
  const number = (token: T): number => {
    const known = numbers.get(token) ?? numbers.size;
    numbers.set(token, known);
    return known;
  };
  return [Int32Array.from(reference, number), Int32Array.from(hypothesis, number)];
}
