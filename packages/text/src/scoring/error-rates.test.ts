import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { align, editDistance } from "./alignment.js";
import { scoreCorpus, scoreTranscript } from "./error-rates.js";

interface WerGolden {
  corpus: {
    word_errors: number;
    ref_words: number;
    wer: number;
    char_errors: number;
    ref_chars: number;
    cer: number;
  };
  rows: {
    ref: string;
    hyp: string;
    ref_words: number;
    word_errors: number;
    word_ops: string;
    S: number;
    D: number;
    I: number;
    wer: number | null;
    ref_chars: number;
    char_errors: number;
    cer: number | null;
    runaway: boolean;
  }[];
}

const path = goldensFolder("pipeline", "wer", "wer.json");

(path === null ? test.skip : test)("goldens", () => {
  const { rows, corpus } = readGoldenJson<WerGolden>(path!);
  const close = (value: number | null): unknown => (value === null ? null : expect.closeTo(value, 6));
  const scores = rows.map((row) => {
    const score = scoreTranscript(row.ref, row.hyp);
    expect({ row: row.ref, ...score, words: { ...score.words, ops: score.words.ops.join("") } }).toEqual({
      row: row.ref,
      refWords: row.ref_words,
      words: { ops: row.word_ops, substitutions: row.S, deletions: row.D, insertions: row.I },
      wordErrors: row.word_errors,
      wer: close(row.wer),
      refChars: row.ref_chars,
      charErrors: row.char_errors,
      cer: close(row.cer),
      runaway: row.runaway,
    });
    return score;
  });
  expect(scoreCorpus(scores)).toMatchObject({
    refWords: corpus.ref_words,
    wordErrors: corpus.word_errors,
    wer: close(corpus.wer),
    refChars: corpus.ref_chars,
    charErrors: corpus.char_errors,
    cer: close(corpus.cer),
  });
});

/** A small deterministic generator (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The textbook recursion with its full table, and the walk back by the stated preference. */
function tableOps(ref: readonly number[], hyp: readonly number[]): string {
  const cost = Array.from({ length: ref.length + 1 }, (_, i) =>
    Array.from({ length: hyp.length + 1 }, (_, j) => i || j),
  );
  for (let i = 1; i <= ref.length; i++) {
    for (let j = 1; j <= hyp.length; j++) {
      const diagonal = cost[i - 1]![j - 1]! + (ref[i - 1] === hyp[j - 1] ? 0 : 1);
      cost[i]![j] = Math.min(diagonal, cost[i - 1]![j]! + 1, cost[i]![j - 1]! + 1);
    }
  }
  let [i, j, ops] = [ref.length, hyp.length, ""];
  while (i > 0 || j > 0) {
    const here = cost[i]![j]!;
    if (i > 0 && j > 0 && cost[i - 1]![j - 1]! + (ref[i - 1] === hyp[j - 1] ? 0 : 1) === here) {
      ops = (ref[--i] === hyp[--j] ? "=" : "S") + ops;
    } else if (i > 0 && cost[i - 1]![j]! + 1 === here) {
      ops = "D" + ops;
      i--;
    } else {
      ops = "I" + ops;
      j--;
    }
  }
  return ops;
}

test("alignment with few kept rows and bit-parallel distance equal the full table", () => {
  const next = random(7);
  for (let round = 0; round < 150; round++) {
    const tokens = (): number[] =>
      Array.from({ length: Math.floor(next() * 140) }, () => Math.floor(next() * 5));
    const ref = tokens();
    const hyp = tokens();
    const ops = tableOps(ref, hyp);
    expect(align(ref, hyp).ops.join("")).toBe(ops);
    expect(editDistance(ref, hyp)).toBe(ops.replaceAll("=", "").length);
  }
});

test("characters without spaces, empty texts, hours of speech", () => {
  expect(scoreTranscript("今天 天气", "今天 天 气", { wordSeparator: "" })).toMatchObject({
    refChars: 4,
    charErrors: 0,
    cer: 0,
  });
  expect(scoreCorpus([])).toMatchObject({ wer: 0, cer: 0 });
  expect(scoreCorpus([scoreTranscript("", "a")])).toMatchObject({ wer: null, cer: null, insertions: 1 });
  const words = Array.from({ length: 4000 }, (_, i) => `w${(i * 7919) % 997}`);
  const heard = words.filter((_, i) => i % 100 !== 50);
  expect(scoreTranscript(words.join(" "), heard.join(" "))).toMatchObject({
    wordErrors: 40,
    words: { deletions: 40 },
  });
});
