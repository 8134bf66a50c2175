import { cutRepeats, RepetitionGuard } from "./repetition.js";

/** Tokens until the guard stops, or -1. */
function stoppedAfter(ids: readonly number[]): number {
  const guard = new RepetitionGuard();
  const at = ids.findIndex((id) => guard.push(id));
  return at < 0 ? -1 : at + 1;
}

/** The rule as written, without the guard's bookkeeping. */
function loops(ids: readonly number[]): boolean {
  if (ids.length < 128) return false;
  if (new Set(ids.slice(-96)).size <= 6) return true;
  for (let period = 1; period <= 16; period++) {
    const blocks = Array.from({ length: 6 }, (_, b) =>
      ids.slice(ids.length - (b + 1) * period, ids.length - b * period).join(),
    );
    if (new Set(blocks).size === 1) return true;
  }
  return false;
}

const distinct = (count: number, from = 1000): number[] => Array.from({ length: count }, (_, i) => from + i);
const repeat = (unit: readonly number[], times: number): number[] =>
  Array.from({ length: times }, () => unit).flat();

test("stops as the rule says", () => {
  expect(stoppedAfter(repeat([1, 2, 3], 100))).toBe(128);
  expect(stoppedAfter([...distinct(200), ...repeat([7], 50)])).toBe(206);
  expect(stoppedAfter([...distinct(200), ...repeat(distinct(16, 0), 20)])).toBe(296);
  expect(stoppedAfter([...distinct(200), ...repeat(distinct(17, 0), 20)])).toBe(-1);
  expect(stoppedAfter(distinct(5000))).toBe(-1);
  let seed = 1;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  for (let round = 0; round < 60; round++) {
    const unit = distinct(1 + random(18), 0);
    const noise = Array.from({ length: 40 }, () => random(5 + random(4)));
    const ids = [
      ...distinct(80 + random(80)),
      ...repeat(unit, 3 + random(6)),
      9,
      ...repeat(noise, 4),
      ...distinct(9),
    ];
    const expected = ids.findIndex((_, i) => loops(ids.slice(0, i + 1)));
    expect(stoppedAfter(ids)).toBe(expected < 0 ? -1 : expected + 1);
  }
});

test("cuts a loop back to its first occurrence", () => {
  const text = distinct(100);
  expect(cutRepeats([...text, ...repeat([1, 2, 3], 10)])).toEqual({ ids: [...text, 1, 2, 3], repeats: 9 });
  expect(cutRepeats([...text, ...repeat([1, 2, 3], 10), 1, 2])).toEqual({
    ids: [...text, 1, 2, 3],
    repeats: 10,
  });
  expect(cutRepeats([...text, ...repeat([5], 6)])).toEqual({ ids: [...text, 5], repeats: 5 });
  expect(cutRepeats(repeat([1, 2], 64))).toEqual({ ids: [1, 2], repeats: 63 });
});

test("cuts a loop without a period after the last token that is new in it", () => {
  const babble = Array.from({ length: 120 }, (_, i) => (i * i * 7 + (i >> 3)) % 5);
  const { ids, repeats } = cutRepeats([...distinct(60), ...babble]);
  expect(ids.slice(0, 60)).toEqual(distinct(60));
  expect(new Set(ids.slice(60))).toEqual(new Set(babble));
  expect(ids.length).toBeLessThan(80);
  expect(repeats).toBeGreaterThan(5);
});

test("leaves what does not loop", () => {
  const ids = [...distinct(200), 1, 2, 1, 2];
  expect(cutRepeats(ids)).toEqual({ ids, repeats: 0 });
  expect(cutRepeats([])).toEqual({ ids: [], repeats: 0 });
});
