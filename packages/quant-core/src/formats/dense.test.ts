import { UnsupportedError } from "../errors.js";
import { decodeToF32 } from "./dense.js";

function decode(dtype: string, bytes: Uint8Array, count: number, shift = 0): number[] {
  const shifted = new Uint8Array(bytes.length + shift).subarray(shift);
  shifted.set(bytes);
  const out = new Float32Array(count);
  decodeToF32(dtype, shifted, out);
  return [...out];
}

const bytesOf = (array: ArrayBufferView<ArrayBuffer>) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

it("decodes every width at every alignment", () => {
  const cases: [string, ArrayBufferView<ArrayBuffer>, number[]][] = [
    ["F32", Float32Array.of(1.5, -0), [1.5, -0]],
    ["F64", Float64Array.of(0.1, 1e300), [Math.fround(0.1), Infinity]],
    ["F16", Uint16Array.of(0x3c00, 0xc600, 0x0001), [1, -6, 2 ** -24]],
    ["BF16", Uint16Array.of(0x3f80, 0xc0c0), [1, -6]],
    ["I8", Int8Array.of(-128, 127), [-128, 127]],
    ["U8", Uint8Array.of(255), [255]],
    ["BOOL", Uint8Array.of(1, 0), [1, 0]],
    ["I16", Int16Array.of(-300), [-300]],
    ["U16", Uint16Array.of(65535), [65535]],
    ["I32", Int32Array.of(-(2 ** 31)), [-(2 ** 31)]],
    ["U32", Uint32Array.of(2 ** 31), [2 ** 31]],
    ["I64", BigInt64Array.of(-(2n ** 40n)), [-(2 ** 40)]],
    ["U64", BigUint64Array.of(2n ** 63n), [2 ** 63]],
  ];
  for (const [dtype, array, expected] of cases) {
    for (const shift of [0, 1, 3, 8])
      expect(decode(dtype, bytesOf(array), expected.length, shift)).toEqual(expected);
  }
});

it("decodes 8-bit floats", () => {
  expect(decode("F8_E4M3", Uint8Array.of(0x38, 0x7e, 0x01, 0x80, 0xff), 5)).toEqual([
    1,
    448,
    2 ** -9,
    -0,
    NaN,
  ]);
  expect(decode("F8_E5M2", Uint8Array.of(0x3c, 0x7b, 0x01, 0x7c, 0xfc), 5)).toEqual([
    1,
    57344,
    2 ** -16,
    Infinity,
    -Infinity,
  ]);
  expect(decode("F8_E4M3FNUZ", Uint8Array.of(0x40, 0x7f, 0x01, 0x80), 4)).toEqual([1, 240, 2 ** -10, NaN]);
  expect(decode("F8_E5M2FNUZ", Uint8Array.of(0x40, 0x7f, 0x01, 0x80), 4)).toEqual([1, 57344, 2 ** -17, NaN]);
  expect(decode("F8_E8M0", Uint8Array.of(127, 0, 254, 255), 4)).toEqual([1, 2 ** -127, 2 ** 127, NaN]);
});

it("refuses other dtypes and lengths that do not fit", () => {
  expect(() => decode("Q8_0", new Uint8Array(34), 32)).toThrow(UnsupportedError);
  expect(() => decode("F4", new Uint8Array(1), 2)).toThrow(UnsupportedError);
  expect(() => decode("F32", new Uint8Array(7), 2)).toThrow(RangeError);
});
