import { GGML_TYPES, QUANTIZABLE, dequantize } from "@voxquant/quant-core";
import { RandomWeights, zeroBlocks } from "./random-weights.js";

test.each([...QUANTIZABLE, "F32", "F16", "BF16"] as const)(
  "%s: finite, centred, of the size wanted",
  (dtype) => {
    const { block, bytes: blockBytes } = GGML_TYPES[dtype];
    const values = new Float32Array(64 * 256);
    const bytes = new Uint8Array((values.length / block) * blockBytes);
    const random = new RandomWeights(7);
    random.fill(dtype, bytes, 0.03);
    dequantize(dtype, bytes, values);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((a, b) => a + b * b, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(0.003);
    expect(deviation).toBeGreaterThan(0.03 / 1.5);
    expect(deviation).toBeLessThan(0.03 * 1.5);

    const again = new Uint8Array(bytes.length);
    new RandomWeights(7).fill(dtype, again, 0.03);
    expect(again).toEqual(bytes);
    new RandomWeights(8).fill(dtype, again, 0.03);
    expect(again).not.toEqual(bytes);

    zeroBlocks(dtype, bytes);
    dequantize(dtype, bytes, values);
    expect(values.every((value) => Math.abs(value) < 1e-30)).toBe(true);
  },
);
