import { LinearLayer, openCheckpoint, quantizeRows, Runtime, selectDevice } from "@voxquant/quant-core";
import { tensor2d } from "@tensorflow/tfjs-core";

// Open a checkpoint: header only; tensors are views of the mapped file.
const checkpoint = await openCheckpoint("models/qwen3-asr-mini");
const weight = await checkpoint.read("thinker.model.layers.0.mlp.gate_proj.weight"); // BF16 [512, 256]

// Multiply with it on the fastest backend here: native, else wasm, else cpu.
const { device, backend } = await selectDevice("auto");
const runtime = new Runtime(device, "fast");
const layer = LinearLayer.create(runtime, weight);
const y = runtime.run(() => layer.forward(tensor2d(new Float32Array(3 * 256).fill(0.1), [3, 256])));
console.log(backend, y.shape); // native [ 3, 512 ]
y.dispose();
runtime.dispose();
await checkpoint.close();

// Encode rows of 64 values: the bytes that ggml writes.
const bytes = quantizeRows("Q4_0", new Float32Array(2 * 64).fill(0.5), 64); // 2 rows × 2 blocks × 18 bytes
console.log(bytes.length); // 72
