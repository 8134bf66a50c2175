import {
  compareTensor,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
} from "@voxquant/goldens";
import type { GoldenTensor } from "@voxquant/goldens";
import { reshape, tensor2d, type Tensor2D } from "@tensorflow/tfjs-core";
import { loadAddon } from "../backends/native/addon.js";
import { createReferenceDevice } from "../backends/reference/device.js";
import { LinearLayer } from "../linear.js";
import { Runtime } from "../runtime.js";
import { cachedAttention, headNormRope } from "./attention.js";
import { causalConv1d, depthwiseCausalConv1d } from "./causal-conv.js";
import { addScaled, gelu, snake } from "./elementwise.js";
import { layerNorm } from "./norm.js";
import { devicesForTests, values } from "./testing.js";

const SET = "qwen3-tts-codec";
const rules = new ToleranceRules(SET);
/** Every case of a single operator, with the name of its set. */
const cases = goldenVariants(SET).flatMap((variant) =>
  variant.cases
    .filter(({ jsonPath }) => readGoldenJson<{ kind?: string }>(jsonPath).kind === "op")
    .map((golden) => [golden.name, { ...golden, variant: variant.name }] as const),
);
const devices = [
  ["cpu", createReferenceDevice(), null] as const,
  ...[...(await devicesForTests())].flatMap(([backend, device]) =>
    (backend === "native" ? loadAddon()!.isaLevels() : [null]).map(
      (level) => [backend, device, level] as const,
    ),
  ),
];

/** What the cases say of themselves; which of it is there depends on the operator. */
interface Facts {
  readonly op: string;
  readonly kernel: number;
  readonly dilation?: number;
  readonly stride: number;
  readonly groups?: number;
  readonly pad_mode?: "constant" | "replicate";
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  readonly sliding_window: number;
  readonly rope_theta: number;
}

/** The tensors of a case, and its weights in our layouts, on a runtime. */
class Case {
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
  readonly runtime: Runtime;

  constructor(path: string, runtime: Runtime) {
    this.tensors = readTensors(path);
    this.runtime = runtime;
  }

  get(name: string): GoldenTensor {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`the case has no tensor ${name}`);
    return tensor;
  }

  floats(name: string): Float32Array {
    return Float32Array.from(this.get(name).data);
  }

  vector(name: string) {
    return this.runtime.uploadVector(this.floats(name));
  }

  /** A signal stored channel-first `[channels, time]`, channels last. */
  signal(name: string): Tensor2D {
    const { shape, data } = this.get(name);
    const [channels, time] = shape as [number, number];
    return tensor2d(transposed(data, channels, time), [time, channels]);
  }

  filter(shape: [number, number], weights: Float32Array, bias: string | null, repeats = 1): LinearLayer {
    const values = bias === null ? null : this.floats(bias);
    const repeated =
      values && Float32Array.from({ length: values.length * repeats }, (_, i) => values[i % values.length]!);
    const weight = { name: "filter", dtype: "F32", shape, bytes: new Uint8Array(weights.buffer) } as const;
    return LinearLayer.create(this.runtime, weight, repeated && this.runtime.uploadVector(repeated));
  }

  /** A filter of PyTorch's `[out, in, kernel]`, taps outside: `[out, kernel · in]`. */
  conv(name: string): LinearLayer {
    const { shape, data } = this.get(`${name}.weight`);
    const [out, inputs, kernel] = shape as [number, number, number];
    const weights = new Float32Array(data.length);
    for (let o = 0; o < out; o++) {
      const at = o * inputs * kernel;
      weights.set(transposed(data.subarray(at, at + inputs * kernel), inputs, kernel), at);
    }
    return this.filter(
      [out, kernel * inputs],
      weights,
      this.tensors.has(`${name}.bias`) ? `${name}.bias` : null,
    );
  }

  dense(name: string): LinearLayer {
    return this.filter(
      this.get(`${name}.weight`).shape as [number, number],
      this.floats(`${name}.weight`),
      `${name}.bias`,
    );
  }

  snake(x: Tensor2D, prefix: string): Tensor2D {
    const alpha = this.floats(`${prefix}alpha`).map(Math.exp);
    const inverseBeta = this.floats(`${prefix}beta`).map((beta) => 1 / (Math.exp(beta) + 1e-9));
    return snake(x, this.runtime.uploadVector(alpha), this.runtime.uploadVector(inverseBeta));
  }
}

/** `[rows, columns]` → `[columns, rows]` */
function transposed(data: ArrayLike<number>, rows: number, columns: number): Float32Array {
  return Float32Array.from(
    { length: rows * columns },
    (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

function elu(x: Tensor2D): Tensor2D {
  return tensor2d(
    x.dataSync<"float32">().map((value) => (value > 0 ? value : Math.expm1(value))),
    x.shape,
  );
}

/** A convolution whose kernel is twice its stride: two taps of `stride` rows each, of a signal filled up on the right. */
function stridedConv(golden: Case, facts: Facts, x: Tensor2D): Tensor2D {
  const { kernel, stride } = facts;
  const [rows, channels] = x.shape;
  const outRows = Math.ceil(rows / stride);
  const data = new Float32Array(outRows * stride * channels);
  data.set(x.dataSync());
  const history = golden.runtime.createStreamState(kernel / stride - 1, stride * channels);
  if (facts.pad_mode === "replicate") {
    const [first, last] = [data.slice(0, channels), data.slice((rows - 1) * channels, rows * channels)];
    for (let row = rows; row < outRows * stride; row++) data.set(last, row * channels);
    const before = tensor2d(Array.from({ length: history.rows * stride }, () => [...first]).flat(), [
      history.rows,
      stride * channels,
    ]);
    golden.runtime.setStreamState(history, before);
  }
  return causalConv1d(
    tensor2d(data, [outRows, stride * channels]),
    golden.conv("w.conv"),
    { kernel: kernel / stride, dilation: 1 },
    history,
  );
}

/** As a convolution with `stride · out` outputs, one per phase. */
function transposedConv(golden: Case, { kernel, stride }: Facts, x: Tensor2D): Tensor2D {
  const { shape, data } = golden.get("w.conv.weight");
  const [inputs, out] = shape as [number, number, number];
  const taps = kernel / stride;
  const weights = new Float32Array(stride * out * taps * inputs);
  for (let i = 0; i < inputs; i++) {
    for (let o = 0; o < out; o++) {
      for (let k = 0; k < kernel; k++) {
        const [phase, tap] = [k % stride, taps - 1 - Math.floor(k / stride)];
        weights[((phase * out + o) * taps + tap) * inputs + i] = data[(i * out + o) * kernel + k]!;
      }
    }
  }
  const filter = golden.filter([stride * out, taps * inputs], weights, "w.conv.bias", stride);
  const phases = causalConv1d(x, filter, { kernel: taps, dilation: 1 }, null);
  return reshape(phases, [x.shape[0] * stride, out]);
}

function depthwise(golden: Case, name: string, x: Tensor2D, bias: string): Tensor2D {
  const { shape, data } = golden.get(`${name}.weight`);
  const [channels, , kernel] = shape as [number, number, number];
  const weight = golden.runtime.uploadVector(transposed(data, channels, kernel));
  return depthwiseCausalConv1d(x, weight, golden.vector(bias), kernel, null);
}

function residualUnit(golden: Case, { dilation = 1 }: Facts, x: Tensor2D): Tensor2D {
  const kernel = golden.get("w.conv1.conv.weight").shape[2]!;
  const y = causalConv1d(golden.snake(x, "w.act1."), golden.conv("w.conv1.conv"), { kernel, dilation }, null);
  const inner = golden.snake(y, "w.act2.");
  return causalConv1d(inner, golden.conv("w.conv2.conv"), { kernel: 1, dilation: 1, residual: x }, null);
}

function convNext(golden: Case, x: Tensor2D, biased: boolean): Tensor2D {
  const { runtime } = golden;
  const name = "w.dwconv.conv";
  const { shape, data } = golden.get(`${name}.weight`);
  const [channels, , kernel] = shape as [number, number, number];
  const bias = biased ? golden.vector(`${name}.bias`) : runtime.uploadVector(new Float32Array(channels));
  const weight = runtime.uploadVector(transposed(data, channels, kernel));
  const y = depthwiseCausalConv1d(x, weight, bias, kernel, null);
  const normed = layerNorm(y, golden.vector("w.norm.weight"), golden.vector("w.norm.bias"), 1e-6);
  const wide = gelu(golden.dense("w.pwconv1").forward(normed));
  return addScaled(x, golden.dense("w.pwconv2").forward(wide), golden.vector("w.gamma"));
}

function encoderBlock(golden: Case, x: Tensor2D): Tensor2D {
  const [first, second] = ["w.block.1.conv", "w.block.3.conv"].map((name) => golden.conv(name));
  const kernel = golden.get("w.block.1.conv.weight").shape[2]!;
  const y = elu(causalConv1d(elu(x), first!, { kernel, dilation: 1 }, null));
  return causalConv1d(y, second!, { kernel: 1, dilation: 1, residual: x }, null);
}

/** The operator of a case on its input `x.…`, channels last; null for the operators of others. */
function operatorOf(
  name: string,
  facts: Facts,
): ((golden: Case, x: Tensor2D, input: string) => Tensor2D) | null {
  if (name.startsWith("convt-")) return (golden, x) => transposedConv(golden, facts, x);
  if (name.startsWith("residual-unit")) return (golden, x) => residualUnit(golden, facts, x);
  if (name === "convnext") return (golden, x, input) => convNext(golden, x, input !== "x.eps");
  if (name === "enc-resblock") return encoderBlock;
  if (name.startsWith("snake")) return (golden, x) => golden.snake(x, "w.");
  if (!name.startsWith("conv-") && !name.startsWith("enc-conv-")) return null;
  if (facts.stride > 1) return (golden, x) => stridedConv(golden, facts, x);
  if ((facts.groups ?? 1) > 1) return (golden, x) => depthwise(golden, "w.conv", x, "w.conv.bias");
  const { kernel, dilation = 1 } = facts;
  return (golden, x) => causalConv1d(x, golden.conv("w.conv"), { kernel, dilation }, null);
}

/** One test per chosen case; none where the set is missing. */
function each(
  chosen: (name: string) => boolean,
  title: string,
  test: (...one: (typeof cases)[number]) => void,
): void {
  const some = cases.filter(([name]) => chosen(name));
  if (some.length > 0) it.each(some)(title, test);
  else it.skip(`${title}: no cases`, () => undefined);
}

afterAll(() => {
  if (cases.length === 0) return;
  const compared = cases.filter(
    ([name, { jsonPath }]) =>
      name.startsWith("transformer-layer") || operatorOf(name, readGoldenJson<Facts>(jsonPath)) !== null,
  );
  const where = [...new Set(devices.map(([backend]) => backend))].join(", ");
  process.stderr.write(
    `goldens: ${SET}, single operators: ${compared.length} of ${cases.length} cases on ${where}\n`,
  );
});

describe.each(devices)("codec operators on %s %#", (_, device, level) => {
  const runtime = new Runtime(device, "exact");
  beforeAll(() => void (level !== null && loadAddon()!.setIsa(level)));
  afterAll(() => {
    if (level !== null) loadAddon()!.setIsa(loadAddon()!.isaLevels().at(-1)!);
    runtime.dispose();
  });

  each(
    () => true,
    "%s",
    (name, { variant, jsonPath, tensorsPath }) => {
      const facts = readGoldenJson<Facts>(jsonPath);
      const operator = operatorOf(name, facts);
      if (operator === null || tensorsPath === null) return;
      const golden = new Case(tensorsPath, runtime);
      for (const input of golden.tensors.keys()) {
        if (!/^x(\.|$)/.test(input)) continue;
        const output = `y${input.slice(1)}`;
        const [actual] = values(runtime, () => operator(golden, golden.signal(input), input));
        const expected = golden.get(output);
        const [channels, time] = expected.shape as [number, number];
        const rule = rules.find(variant, name, output);
        if (rule.use === "info") continue;
        const { ok, message } = compareTensor(output, transposed(actual!, time, channels), expected, rule);
        expect([ok, message]).toEqual([true, message]);
      }
    },
  );

  each(
    (name) => name === "snake",
    "%s of large arguments, within its own bound",
    (_, { tensorsPath }) => {
      if (tensorsPath === null) return;
      const golden = new Case(tensorsPath, runtime);
      const { shape, data: x } = golden.get("x");
      const [channels, time] = shape as [number, number];
      const [alpha, beta] = ["w.alpha", "w.beta"].map((name) => golden.floats(name));
      const [last] = values(runtime, () => golden.snake(golden.signal("x"), "w."));
      const actual = transposed(last!, time, channels);
      golden.get("y_float64_rounded").data.forEach((expected, i) => {
        const c = Math.floor(i / time);
        const argument = Math.abs(x[i]! * Math.exp(alpha![c]!));
        const bound = 4 * 2 ** -24 * (Math.abs(x[i]!) + (1 + 2 * argument) / (Math.exp(beta![c]!) + 1e-9));
        expect(Math.abs(actual[i]! - expected)).toBeLessThanOrEqual(bound);
      });
    },
  );

  each(
    (name) => name.startsWith("transformer-layer"),
    "%s: rotary positions and attention to a window",
    (name, { variant, jsonPath, tensorsPath }) => {
      if (tensorsPath === null) return;
      const {
        heads,
        kv_heads: kvHeads,
        head_dim: headDim,
        sliding_window: window,
        rope_theta: theta,
      } = readGoldenJson<Facts>(jsonPath);
      const golden = new Case(tensorsPath, runtime);
      const rows = golden.get("q").shape[0]!;
      const cache = runtime.createKvCache({ layers: 1, kvHeads, headDim, capacity: rows });
      const [context] = values(runtime, () => {
        const [q, k, v] = ["q", "k", "v"].map((part) =>
          tensor2d(golden.floats(part), golden.get(part).shape as [number, number]),
        );
        const positions = Int32Array.from({ length: rows }, (_, i) => i);
        const rotate = (part: Tensor2D, count: number) =>
          headNormRope(part, null, positions, { heads: count, headDim, eps: 0, theta });
        const sequences = [{ cache, start: 0, count: rows, position: 0 }];
        return cachedAttention(
          rotate(q!, heads),
          rotate(k!, kvHeads),
          v!,
          sequences,
          0,
          heads,
          headDim ** -0.5,
          window,
        );
      });
      const { ok, message } = compareTensor(
        "context",
        context!,
        golden.get("context"),
        rules.find(variant, name, "context"),
      );
      expect([ok, message]).toEqual([true, message]);
    },
  );
});
