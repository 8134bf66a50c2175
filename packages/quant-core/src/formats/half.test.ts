import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import {
  bf16sToFloats,
  bf16ToFloat,
  floatsToBf16s,
  floatsToHalves,
  floatToBf16,
  floatToHalf,
  halfToFloat,
  halvesToFloats,
} from "./half.js";

interface HalfCase {
  f32_bits: string;
  f16_bits: string;
  f16_back_f32_bits: string;
  bf16_bits: string;
  bf16_back_f32_bits: string;
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

function fromBits(hex: string): number {
  word[0] = Number.parseInt(hex, 16);
  return float[0]!;
}

function toBits(x: number): string {
  float[0] = x;
  return word[0]!.toString(16).padStart(8, "0");
}

const hex4 = (bits: number) => bits.toString(16).padStart(4, "0");

const path = goldensFolder("ggml-quants.json");
const cases = path === null ? [] : readGoldenJson<{ f16_bf16: HalfCase[] }>(path).f16_bf16;

(path === null ? it.skip : it)("conversions equal the goldens bit for bit", () => {
  expect(cases.length).toBeGreaterThan(0);
  for (const golden of cases) {
    const x = fromBits(golden.f32_bits);
    const half = floatToHalf(x);
    const bf16 = floatToBf16(x);
    const found = {
      f32_bits: golden.f32_bits,
      f16_bits: hex4(half),
      f16_back_f32_bits: toBits(halfToFloat(half)),
      bf16_bits: hex4(bf16),
      bf16_back_f32_bits: toBits(bf16ToFloat(bf16)),
    };
    expect(found).toEqual(golden);
  }
});

it("every half survives float32 and back, singly and in arrays", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const floats = new Float32Array(65536);
  const back = new Uint16Array(65536);
  halvesToFloats(bits, floats);
  floatsToHalves(floats, back);
  const wrong: number[] = [];
  for (let i = 0; i < 65536; i++) {
    const isNaNHalf = (i & 0x7fff) > 0x7c00;
    const expected = isNaNHalf ? (i & 0x8000) | 0x7e00 : i;
    if (back[i] !== expected || !Object.is(halfToFloat(i), floats[i])) wrong.push(i);
  }
  expect(wrong).toEqual([]);
});

it("every bfloat16 survives float32 and back, singly and in arrays", () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const floats = new Float32Array(65536);
  const back = new Uint16Array(65536);
  bf16sToFloats(bits, floats);
  floatsToBf16s(floats, back);
  const wrong: number[] = [];
  for (let i = 0; i < 65536; i++) {
    const isNaNBits = (i & 0x7fff) > 0x7f80;
    const expected = isNaNBits ? i | 64 : i;
    if (back[i] !== expected || !Object.is(bf16ToFloat(i), floats[i])) wrong.push(i);
  }
  expect(wrong).toEqual([]);
});

it("rounds to the nearest half, ties to even", () => {
  // Between neighbours a < b: the midpoint goes to the even one, the floats around it to the nearer one.
  for (const low of [0x0000, 0x0001, 0x03fe, 0x03ff, 0x0400, 0x3c00, 0x3c01, 0x7bfd, 0x7bfe]) {
    const a = halfToFloat(low);
    const b = halfToFloat(low + 1);
    const middle = (a + b) / 2;
    const even = low % 2 === 0 ? low : low + 1;
    float[0] = middle;
    word[0] = word[0]! - 1;
    const below = float[0]!;
    word[0] = word[0]! + 2;
    const above = float[0]!;
    expect([floatToHalf(below), floatToHalf(middle), floatToHalf(above)]).toEqual([low, even, low + 1]);
    expect(floatToHalf(-middle)).toBe(even | 0x8000);
  }
  expect(floatToHalf(65519.99)).toBe(0x7bff);
  expect(floatToHalf(65520)).toBe(0x7c00);
});
