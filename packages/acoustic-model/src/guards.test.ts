import { SilenceGuard } from "./guards.js";

const SAMPLES = 80;
const RATE = 10;
const guard = (textFrames = 0) => new SilenceGuard(SAMPLES, RATE, textFrames);
const loud = (frames: number) => Float32Array.from({ length: frames * SAMPLES }, (_, i) => 0.1 * Math.sin(i));
const silent = (frames: number) => loud(frames).map((x) => x / 1000);

test("a pause is none, a silence that goes on is", () => {
  const heard = guard();
  heard.push(loud(3));
  heard.push(silent(24));
  expect(heard.isLost).toBe(false);
  heard.push(loud(1));
  heard.push(silent(24));
  expect(heard.isLost).toBe(false);
  heard.push(silent(1));
  expect(heard.isLost).toBe(true);
  expect(heard.usefulFrames).toBe(28 + 4);
});

test("while text is still fed, silence is no end", () => {
  const heard = guard(50);
  heard.push(loud(2));
  heard.push(silent(60));
  expect(heard.isLost).toBe(false);
  heard.push(silent(15));
  expect(heard.isLost).toBe(true);
});

test("what is not a number is no silence", () => {
  const heard = guard();
  heard.push(new Float32Array(40 * SAMPLES).fill(NaN));
  expect(heard.isLost).toBe(false);
  expect(heard.usefulFrames).toBe(40);
});
