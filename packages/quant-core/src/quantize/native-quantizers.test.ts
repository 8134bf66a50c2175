import { loadAddon } from "../backends/native/addon.js";
import { GGML_TYPES, type GgmlType } from "../weight.js";
import { QUANTIZABLE } from "./codecs.js";
import { dequantize } from "./dequantize.js";
import { hasInvalidScale } from "./invalid-scales.js";
import { quantizeRows } from "./quantize-rows.js";
import { RowEncoder } from "./row-encoder.js";

const addon = loadAddon();
if (addon === null)
  process.stderr.write("native quantizers: the addon is not built, its tests are skipped\n");

function random(count: number, shape: (uniform: number, i: number) => number): Float32Array {
  let state = 20240;
  return Float32Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return shape(state / 2 ** 32, i);
  });
}

const inputs = {
  weights: random(2048, (u) => (u - 0.5) * 0.07),
  peaked: random(2048, (u) => (u - 0.5) ** 5),
  sparse: random(2048, (u, i) => (i % 5 === 0 ? u : i % 2 === 0 ? -0 : 0)),
  ties: random(2048, (u) => Math.round((u - 0.5) * 64) / 8),
  tiny: random(2048, (u) => (u - 0.5) * 1e-20),
  subnormal: random(2048, (u) => (u - 0.5) * 1e-40),
  huge: random(2048, (u) => (u - 0.5) * 1e30),
};

(addon === null ? describe.skip : describe)(
  "native quantizers write the bytes of the TypeScript ones",
  () => {
    const encoder = new RowEncoder(3);

    async function encode(
      type: GgmlType,
      x: Float32Array,
      rowLength: number,
      importance: Float32Array | null,
    ) {
      const bytes = new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
      return encoder.encode(type, bytes, "F32", rowLength, importance);
    }

    test.each([...QUANTIZABLE, "Q8_1", "Q8_K"] as GgmlType[])("%s", async (type) => {
      const { block } = GGML_TYPES[type];
      for (const [name, x] of Object.entries(inputs)) {
        for (const rowLength of [block * (2048 / block), 256, ...(block < 256 ? [block * 3] : [])]) {
          const rows = x.subarray(0, Math.floor(x.length / rowLength) * rowLength);
          const weights = random(rowLength, (u, i) => (i % 9 === 0 ? 0 : 0.01 + u));
          for (const importance of [null, weights]) {
            const expected = quantizeRows(type, rows, rowLength, importance);
            const { bytes, overflowed } = await encode(type, rows, rowLength, importance);
            const label = `${name} in rows of ${rowLength}${importance === null ? "" : " with importance"}: `;
            expect(label + Buffer.from(bytes).toString("hex")).toBe(
              label + Buffer.from(expected).toString("hex"),
            );
            expect(overflowed).toBe(hasInvalidScale(type, expected));
          }
        }
        const blocks = quantizeRows(type, x, 2048);
        const decoded = new Float32Array(2048);
        dequantize(type, blocks, decoded);
        expect(Buffer.from(encoder.decode(type, blocks).buffer).equals(Buffer.from(decoded.buffer))).toBe(
          true,
        );
      }
    });

    test("values that are not finite are refused with their place, whatever the threads", async () => {
      const x = new Float32Array(64 * 32);
      x[40 * 32 + 3] = -Infinity;
      x[50 * 32] = NaN;
      await expect(encode("Q4_0", x, 32, null)).rejects.toThrow(/-Infinity in row 40, column 3/);
    });
  },
);
