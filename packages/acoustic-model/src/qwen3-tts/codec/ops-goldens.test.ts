import { tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import {
  compareTensor,
  GOLDEN_BACKENDS,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  whereAvailable,
  type GoldenCase,
  type GoldenTensor,
} from "@voxquant/goldens";
import { ResourceError, Runtime, selectDevice, type Weight } from "@voxquant/quant-core";
import type { WeightSource } from "@voxquant/nn";
import { CausalConv, StreamMemory, TransposedConv } from "./causal-conv.js";
import type { CodecDecoderConfig } from "./config.js";
import {
  depthwiseTaps,
  foldedCodebook,
  polyphase,
  repeated,
  snakeAlpha,
  snakeInverseBeta,
  tapMajor,
} from "./filters.js";
import { CodecQuantizer } from "./quantizer.js";
import { CodecTransformer } from "./transformer.js";
import { DepthwiseConv, ResidualUnit, Snake, Upsampling } from "./waveform.js";
import { codebookName } from "./weights.js";

// The decoder's building blocks alone, each through the code that the model uses: names, filters and classes.

const FAMILY = "qwen3-tts-codec";
const rules = new ToleranceRules(FAMILY);

type Tensors = ReadonlyMap<string, GoldenTensor>;
/** Output per input name: `y.13` for `x.13`. */
type Op = (x: Tensor2D) => Tensor2D;

/** Tensors under our names. */
class MapSource implements WeightSource {
  readonly #weights = new Map<string, { values: Float32Array; shape: readonly number[] }>();

  set(name: string, values: Float32Array, shape: readonly number[] = [values.length]): this {
    this.#weights.set(name, { values, shape });
    return this;
  }
  has(name: string): boolean {
    return this.#weights.has(name);
  }
  async read(name: string): Promise<Weight> {
    const found = this.#weights.get(name);
    if (found === undefined) throw new ResourceError(`${name} is missing`);
    return { name, dtype: "F32", shape: found.shape, bytes: new Uint8Array(found.values.slice().buffer) };
  }
  async readVector(name: string): Promise<Float32Array> {
    return new Float32Array((await this.read(name)).bytes.buffer as ArrayBuffer);
  }
}

const floats = (tensors: Tensors, name: string) => tensors.get(name)!.data as Float32Array;
const shapeOf = (tensors: Tensors, name: string) =>
  tensors.get(name)!.shape as readonly [number, number, number];

function snakeInto(source: MapSource, name: string, tensors: Tensors, from: string): void {
  source.set(`${name}.alpha`, snakeAlpha(floats(tensors, `${from}alpha`)));
  source.set(`${name}.inverse_beta`, snakeInverseBeta(floats(tensors, `${from}beta`)));
}

function convInto(source: MapSource, name: string, tensors: Tensors, from: string): void {
  const [out, inputs, kernel] = shapeOf(tensors, `${from}.weight`);
  const taps = tapMajor(floats(tensors, `${from}.weight`), out, inputs, kernel);
  source
    .set(`${name}.weight`, taps, [out, kernel * inputs])
    .set(`${name}.bias`, floats(tensors, `${from}.bias`));
}

async function conv(
  runtime: Runtime,
  tensors: Tensors,
  json: { dilation: number; groups: number },
): Promise<Op> {
  const source = new MapSource();
  const [out, inputs, kernel] = shapeOf(tensors, "w.conv.weight");
  if (json.groups === out && inputs === 1) {
    source.set("c.weight", depthwiseTaps(floats(tensors, "w.conv.weight"), out, kernel));
    source.set("c.bias", floats(tensors, "w.conv.bias"));
    const layer = await DepthwiseConv.load(runtime, source, "c", out);
    return (x) => layer.forward(x, new StreamMemory(runtime));
  }
  convInto(source, "c", tensors, "w.conv");
  const layer = await CausalConv.load(runtime, source, "c", {
    in: inputs,
    out,
    kernel,
    dilation: json.dilation,
  });
  return (x) => layer.forward(x, new StreamMemory(runtime));
}

async function transposedConv(
  runtime: Runtime,
  tensors: Tensors,
  { stride }: { stride: number },
): Promise<Op> {
  const [inputs, out, kernel] = shapeOf(tensors, "w.conv.weight");
  const taps = kernel / stride;
  const phases = polyphase(floats(tensors, "w.conv.weight"), inputs, out, stride, taps);
  const source = new MapSource().set("c.weight", phases, [stride * out, taps * inputs]);
  source.set("c.bias", repeated(floats(tensors, "w.conv.bias"), stride));
  const layer = await TransposedConv.load(runtime, source, "c", { in: inputs, out, stride, taps });
  return (x) => layer.forward(x, new StreamMemory(runtime));
}

/** Behind an upsampling that passes its input on: stride 1, the identity. */
async function convNext(runtime: Runtime, tensors: Tensors, bias: boolean): Promise<Op> {
  const [dim] = shapeOf(tensors, "w.gamma");
  const identity = Float32Array.from({ length: dim * dim }, (_, i) => (i % (dim + 1) === 0 ? 1 : 0));
  const taps = depthwiseTaps(
    floats(tensors, "w.dwconv.conv.weight"),
    dim,
    shapeOf(tensors, "w.dwconv.conv.weight")[2],
  );
  const source = new MapSource()
    .set("codec.up.0.conv.weight", identity, [dim, dim])
    .set("codec.up.0.conv.bias", new Float32Array(dim))
    .set("codec.up.0.dwconv.weight", taps)
    .set("codec.up.0.dwconv.bias", bias ? floats(tensors, "w.dwconv.conv.bias") : new Float32Array(dim))
    .set("codec.up.0.gamma", floats(tensors, "w.gamma"));
  for (const name of ["norm", "pwconv1", "pwconv2"]) {
    for (const part of ["weight", "bias"]) {
      source.set(
        `codec.up.0.${name}.${part}`,
        floats(tensors, `w.${name}.${part}`),
        shapeOf(tensors, `w.${name}.${part}`),
      );
    }
  }
  const layer = await Upsampling.load(runtime, source, 0, dim, 1);
  return (x) => layer.forward(x, new StreamMemory(runtime), null);
}

async function residualUnit(
  runtime: Runtime,
  tensors: Tensors,
  { dilation }: { dilation: number },
): Promise<Op> {
  const source = new MapSource();
  for (const part of ["act1", "act2"]) snakeInto(source, `codec.u.${part}`, tensors, `w.${part}.`);
  for (const part of ["conv1", "conv2"]) convInto(source, `codec.u.${part}`, tensors, `w.${part}.conv`);
  const unit = await ResidualUnit.load(runtime, source, "u", shapeOf(tensors, "w.act1.alpha")[0], dilation);
  return (x) => unit.forward(x, new StreamMemory(runtime), null);
}

/** y of a case `x.N` → `y.N`, or `x` → `y`, channels first in the file. */
async function checkSignals(
  runtime: Runtime,
  golden: GoldenCase,
  tensors: Tensors,
  op: (name: string) => Promise<Op>,
) {
  let compared = 0;
  for (const [name, { shape, data }] of tensors) {
    if (!/^x(\.|$)/.test(name)) continue;
    const [channels, length] = shape as [number, number];
    const expected = tensors.get(name.replace("x", "y"))!;
    const run = await op(name);
    const rows = Float32Array.from(data, (_, i) => data[(i % channels) * length + Math.floor(i / channels)]!);
    const y = runtime.run(() => run(tensor2d(rows, [length, channels])));
    const [outRows, out] = y.shape;
    const values = y.dataSync();
    const actual = Float32Array.from(
      values,
      (_, i) => values[(i % outRows) * out + Math.floor(i / outRows)]!,
    );
    y.dispose();
    compared += check(golden, name.replace("x", "y"), actual, expected);
  }
  return compared;
}

function check(golden: GoldenCase, name: string, actual: ArrayLike<number>, expected: GoldenTensor): number {
  const result = compareTensor(name, actual, expected, rules.find("ops", golden.name, name));
  expect([result.ok, result.message]).toEqual([true, result.message]);
  return 1;
}

/** Within what float32 allows for the argument of the sine (the case's own bound). */
function checkSnake(runtime: Runtime, layer: Snake, tensors: Tensors): number {
  const { shape, data: x } = tensors.get("x")!;
  const [channels, length] = shape as [number, number];
  const expected = tensors.get("y_float64_rounded")!.data;
  const rows = Float32Array.from(x, (_, i) => x[(i % channels) * length + Math.floor(i / channels)]!);
  const y = runtime.run(() => layer.forward(tensor2d(rows, [length, channels])));
  const values = y.dataSync();
  y.dispose();
  for (let c = 0; c < channels; c++) {
    const alpha = Math.exp(floats(tensors, "w.alpha")[c]!);
    const beta = Math.exp(floats(tensors, "w.beta")[c]!) + 1e-9;
    for (let t = 0; t < length; t++) {
      const at = c * length + t;
      const bound = 4 * 2 ** -24 * (Math.abs(x[at]!) + (1 + 2 * Math.abs(x[at]! * alpha)) / beta);
      const error = Math.abs(values[t * channels + c]! - expected[at]!);
      expect([c, t, error <= bound]).toEqual([c, t, true]);
    }
  }
  return 1;
}

async function checkQuantizer(runtime: Runtime, golden: GoldenCase, tensors: Tensors): Promise<number> {
  const { shape, data } = tensors.get("codes")!;
  const groups = shape[1]!;
  const source = new MapSource();
  for (let k = 0; k < groups; k++) {
    const codebook = `w.${k === 0 ? "rvq_first.vq.layers.0" : `rvq_rest.vq.layers.${k - 1}`}._codebook`;
    const sums = `${codebook}.embedding_sum`;
    const table = foldedCodebook(floats(tensors, sums), floats(tensors, `${codebook}.cluster_usage`));
    source.set(codebookName(k), table, shapeOf(tensors, sums));
  }
  const [out, width] = shapeOf(tensors, "w.rvq_first.output_proj.weight");
  source.set("codec.q_sem.weight", floats(tensors, "w.rvq_first.output_proj.weight"), [out, width]);
  source.set("codec.q_ac.weight", floats(tensors, "w.rvq_rest.output_proj.weight"), [out, width]);
  const quantizer = await CodecQuantizer.load(runtime, source, groups, {
    codebookWidth: width,
    quantizerDim: out,
  });
  const y = runtime.run(() => quantizer.decode(data as Int32Array, null));
  const values = y.dataSync();
  const frames = shape[0]!;
  const actual = Float32Array.from(values, (_, i) => values[(i % frames) * out + Math.floor(i / frames)]!);
  y.dispose();
  return check(golden, "y", actual, tensors.get("y")!);
}

interface TransformerJson {
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  readonly hidden: number;
  readonly latent: number;
  readonly intermediate: number;
  readonly sliding_window: number;
  readonly rope_theta: number;
  readonly eps: number;
  readonly frames: number;
}

async function checkTransformer(
  runtime: Runtime,
  golden: GoldenCase,
  tensors: Tensors,
  json: TransformerJson,
): Promise<number> {
  const source = new MapSource();
  for (const [name, { shape, data }] of tensors) {
    if (!name.startsWith("w.")) continue;
    const ours = name
      .replace("w.layers.", "codec.pt.")
      .replace("w.", "codec.pt.")
      .replace("self_attn_layer_scale", "attn")
      .replace("mlp_layer_scale", "mlp")
      .replace("self_attn", "attn");
    source.set(ours, data as Float32Array, shape);
  }
  const sizes: Partial<CodecDecoderConfig> = {
    latentDim: json.latent,
    hiddenSize: json.hidden,
    layers: 1,
    heads: json.heads,
    kvHeads: json.kv_heads,
    headDim: json.head_dim,
    intermediateSize: json.intermediate,
    attentionBias: false,
    normEps: json.eps,
    ropeTheta: json.rope_theta,
    window: json.sliding_window,
  };
  const transformer = await CodecTransformer.load(runtime, source, sizes as CodecDecoderConfig);
  const cache = transformer.createCache(runtime, json.frames);
  const rows = {
    positions: Int32Array.from({ length: json.frames }, (_, i) => i),
    sequences: [{ cache, start: 0, count: json.frames, position: 0 }],
  };
  const outputs = runtime.run(() => {
    let x = tensor2d(floats(tensors, "x"), [json.frames, json.latent]);
    return transformer.steps(rows, null).map((step) => (x = step(x)));
  });
  let compared = 0;
  for (const [i, name] of ["h", "layer", "out"].entries()) {
    compared += check(golden, name, outputs[i]!.dataSync(), tensors.get(name)!);
    outputs[i]!.dispose();
  }
  runtime.releaseKvCache(cache);
  return compared;
}

/** How many results were compared; null for an op of another part of the codec. */
async function checkOp(runtime: Runtime, golden: GoldenCase): Promise<number | null> {
  const json = readGoldenJson<
    { op: string } & TransformerJson & { dilation: number; groups: number; stride: number }
  >(golden.jsonPath);
  const tensors = readTensors(golden.tensorsPath!);
  switch (json.op.replace(/, 1 semantic.*|:.*/, "")) {
    case "decoder causal conv":
      return checkSignals(runtime, golden, tensors, () => conv(runtime, tensors, json));
    case "causal transposed conv":
      return checkSignals(runtime, golden, tensors, () => transposedConv(runtime, tensors, json));
    case "ConvNeXt block":
      return checkSignals(runtime, golden, tensors, (x) => convNext(runtime, tensors, x !== "x.eps"));
    case "decoder residual unit":
      return checkSignals(runtime, golden, tensors, () => residualUnit(runtime, tensors, json));
    case "SnakeBeta": {
      const source = new MapSource();
      snakeInto(source, "s", tensors, "w.");
      const layer = await Snake.load(runtime, source, "s", shapeOf(tensors, "w.alpha")[0]);
      if (tensors.has("y_float64_rounded")) return checkSnake(runtime, layer, tensors);
      return checkSignals(runtime, golden, tensors, async () => (x) => layer.forward(x));
    }
    case "split RVQ decode":
      return checkQuantizer(runtime, golden, tensors);
    case "decoder transformer with one layer":
      return checkTransformer(runtime, golden, tensors, json);
    case "EMA codebook": {
      const table = foldedCodebook(floats(tensors, "w.embedding_sum"), floats(tensors, "w.cluster_usage"));
      return check(golden, "table", table, tensors.get("table")!);
    }
    default:
      return null;
  }
}

const cases = goldenVariants(FAMILY)
  .filter(({ name }) => name === "ops")
  .flatMap((variant) => variant.cases.filter(({ tensorsPath }) => tensorsPath !== null));

describe.each(GOLDEN_BACKENDS)("codec operators on %s", (backend) => {
  test("each within the reference's tolerance", async () => {
    const runtime = await whereAvailable(
      backend,
      async () => new Runtime((await selectDevice(backend)).device, "exact"),
    );
    let compared = 0;
    const others: string[] = [];
    if (runtime !== null) {
      for (const golden of cases) {
        const count = await checkOp(runtime, golden);
        if (count === null) others.push(golden.name);
        else expect([golden.name, count > 0]).toEqual([golden.name, true]);
        compared += count ?? 0;
      }
      runtime.dispose();
    }
    process.stderr.write(
      `${FAMILY}/ops on ${backend}: ${compared} comparisons; not of the decoder: ${others.join(", ") || "none"}\n`,
    );
  });
});
