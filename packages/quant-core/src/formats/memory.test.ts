import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { elementCount } from "../weight.js";
import type { TensorInfo } from "./checkpoint.js";
import { BackendError, ConfigError } from "../errors.js";
import { estimateMemory, formatBytes, memoryLimit, requireMemory } from "./memory.js";

function checkpoint(shapes: Readonly<Record<string, readonly number[]>>) {
  const tensors = Object.entries(shapes).map(([name, shape]): [string, TensorInfo] => [
    name,
    { name, shape, dtype: "BF16", byteLength: 2 * elementCount(shape), file: "model.safetensors", offset: 0 },
  ]);
  return { tensors: new Map(tensors) };
}

test("weights, cache and activations from names and shapes", () => {
  const estimate = estimateMemory(
    checkpoint({
      "thinker.model.embed_tokens.weight": [100, 16],
      "thinker.model.layers.0.self_attn.k_proj.weight": [8, 16],
      "thinker.model.layers.1.self_attn.k_proj.weight": [8, 16],
      "thinker.model.layers.1.mlp.gate_proj.weight": [48, 16],
      "thinker.audio_tower.layers.0.self_attn.k_proj.weight": [32, 32],
    }),
    10,
  );
  expect(estimate.weightsBytes).toBe(2 * (1600 + 128 + 128 + 768 + 1024));
  expect(estimate.kvBytes).toBe(10 * 2 * (8 + 8) * 4);
  expect(estimate.scratchBytes).toBe(10 * (8 * 16 + 3 * 48) * 4);
});

test("llama.cpp's names, and a file without a decoder", () => {
  const layout = {
    "token_embd.weight": [100, 16],
    "blk.0.attn_k.weight": [8, 16],
    "blk.0.ffn_gate.weight": [48, 16],
  };
  expect(estimateMemory(checkpoint(layout), 3).kvBytes).toBe(3 * 2 * 8 * 4);
  expect(estimateMemory(checkpoint({ "thinker.audio_tower.conv_out.weight": [8, 64] }), 3)).toEqual({
    weightsBytes: 1024,
    kvBytes: 0,
    scratchBytes: 0,
  });
});

test("the published 0.6B checkpoint: 229,376 bytes of cache per token", () => {
  const path = goldensFolder("qwen3-asr", "real-shapes-0.6b.json");
  if (path === null) return;
  const { list } = readGoldenJson<{
    list: readonly (readonly [name: string, kind: string, shape: readonly number[]])[];
  }>(path);
  const shapes = Object.fromEntries(list.map(([name, , shape]) => [name, shape]));
  expect(estimateMemory(checkpoint(shapes), 1000).kvBytes).toBe(229_376_000);
});

test("this machine has a limit", () => {
  expect(memoryLimit()).toBeGreaterThan(2 ** 26);
});

test("more than WASM addresses or than the limit is refused", () => {
  const need = { location: "m", purpose: "weights", bytes: 5e9, backend: "wasm" };
  expect(() => requireMemory({ ...need, limit: 1e12 })).toThrow(BackendError);
  expect(() => requireMemory({ ...need, backend: "native", limit: 4e9 })).toThrow(ConfigError);
  expect(() => requireMemory({ ...need, backend: "native", limit: 4e9 })).toThrow(
    /^m: .*5\.00 GB.*\(weights\).*4\.00 GB/,
  );
  requireMemory({ ...need, backend: "native", limit: 6e9 });
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [1_746_000_000, "1.75 GB"],
  [123_456_789, "123 MB"],
  [999_600, "1.00 MB"],
])("formatBytes(%d)", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
