import { CodeLoopGuard } from "./code-loop.js";

/** The frames before the loop, and when it was noticed; null if it was not. */
function watch(codes: readonly number[]): { useful: number; at: number } | null {
  const guard = new CodeLoopGuard();
  for (const [at, code] of codes.entries()) {
    const useful = guard.push(code);
    if (useful !== null) return { useful, at };
  }
  return null;
}

const repeat = (codes: readonly number[], times: number) =>
  new Array<readonly number[]>(times).fill(codes).flat();

/** Codes that do not come again soon. */
const speech = (count: number) => Array.from({ length: count }, (_, i) => (i * 37) % 1009);

test.each([1, 2, 7, 32])("a loop of period %i is found, and what came before is kept", (period) => {
  const loop = speech(period);
  const before = [2000, 2001, 2002, 2003];
  const found = watch([...before, ...repeat(loop, 100)])!;
  expect(found.useful).toBe(before.length + period);
  expect(found.at).toBeLessThan(before.length + period + 70);
});

test("few codes without a period are a loop too", () => {
  const found = watch([...speech(40), ...Array.from({ length: 400 }, (_, i) => (i * i * 7 + (i >> 3)) % 4)]);
  expect(found).not.toBeNull();
  expect(found!.useful).toBeGreaterThanOrEqual(38);
});

test("speech with pauses is none", () => {
  expect(watch(speech(900))).toBeNull();
  expect(watch([...speech(50), ...repeat([5], 50), ...speech(50), ...repeat([5, 6], 25)])).toBeNull();
});

test("a repetition is suspect once it is longer than usual, and no more when it ends", () => {
  const guard = new CodeLoopGuard();
  const suspect = (codes: readonly number[]) => {
    for (const code of codes) guard.push(code);
    return guard.suspectFrames;
  };
  expect(suspect(speech(40))).toBe(0);
  expect(suspect(repeat([5], 17))).toBe(0);
  expect(suspect(repeat([5], 13))).toBe(13);
  expect(suspect([6])).toBe(0);
});
