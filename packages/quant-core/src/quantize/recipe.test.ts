import { ConfigError } from "../errors.js";
import type { TensorInfo } from "../formats/checkpoint.js";
import type { GgmlType } from "../weight.js";
import { qwen3Layout } from "./llama-cpp.js";
import { QUANTIZATION_NAMES, fittingType, quantizationType } from "./quantization-type.js";
import { GENERIC_PROFILE, planTensors, type QuantizeProfile, type Recipe } from "./recipe.js";

function tensors(list: readonly (readonly [string, readonly number[], string?])[]): Map<string, TensorInfo> {
  return new Map(
    list.map(([name, shape, dtype = "BF16"]) => {
      const byteLength = shape.reduce((product, dim) => product * dim, 2);
      return [name, { name, dtype, shape, byteLength, file: "model.safetensors", offset: 0 }];
    }),
  );
}

const profile: QuantizeProfile = {
  ...GENERIC_PROFILE,
  architecture: "toy",
  defaultScope: "m.decoder.",
  isSensitive: (name) => name === "m.codec.weight",
  tiedHead: { head: "m.head.weight", embedding: "m.decoder.embed_tokens.weight" },
};

const checkpoint = tensors([
  ["m.encoder.conv.weight", [64, 8, 3, 4]],
  ["m.encoder.conv.bias", [64]],
  ["m.encoder.first_conv.weight", [64, 1, 3, 3]],
  ["m.encoder.fc.weight", [512, 896]],
  ["m.encoder.table", [100, 64]],
  ["m.codec.weight", [64, 512]],
  ["m.decoder.embed_tokens.weight", [1000, 512]],
  ["m.decoder.0.q_proj.weight", [512, 512]],
  ["m.decoder.0.q_norm.weight", [512]],
  ["m.decoder.0.group_norm.weight", [2, 512]],
  ["m.decoder.0.conv.weight", [512, 64, 4]],
  ["m.decoder.steps", [4], "I64"],
  ["m.head.weight", [1000, 512]],
]);

/** name: type shape of the planned tensors. */
function plan(recipe: Recipe, list = checkpoint): Record<string, string> {
  const entries = planTensors(list, recipe, profile).tensors.map(({ name, dtype, shape }) => [
    name,
    `${dtype} ${shape.join("x")}`,
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}

test("a prefix scope is what the source system writes", () => {
  expect(plan({ qtype: "q8_0" })).toEqual({
    "m.decoder.embed_tokens.weight": "F16 1000x512",
    "m.decoder.0.q_proj.weight": "Q8_0 512x512",
    "m.decoder.0.q_norm.weight": "F32 512",
    "m.decoder.0.group_norm.weight": "F16 2x512",
    "m.decoder.0.conv.weight": "F16 512x64x4",
    "m.decoder.steps": "I64 4",
  });
  expect(plan({ qtype: "q8_0", quantizeEmbeddings: true })["m.decoder.embed_tokens.weight"]).toBe(
    "Q8_0 1000x512",
  );
});

test("scope all: convolutions flattened, embeddings and sensitive matrices as they are, the tied head dropped", () => {
  expect(plan({ qtype: "q6k", scope: "all" })).toEqual({
    "m.encoder.conv.weight": "Q8_0 64x96", // 96 is no multiple of 256
    "m.encoder.conv.bias": "F32 64",
    "m.encoder.first_conv.weight": "F16 64x1x3x3",
    "m.encoder.fc.weight": "Q8_0 512x896",
    "m.encoder.table": "BF16 100x64",
    "m.codec.weight": "BF16 64x512",
    "m.decoder.embed_tokens.weight": "BF16 1000x512",
    "m.decoder.0.q_proj.weight": "Q6_K 512x512",
    "m.decoder.0.q_norm.weight": "F32 512",
    "m.decoder.0.group_norm.weight": "BF16 2x512",
    "m.decoder.0.conv.weight": "Q6_K 512x256",
    "m.decoder.steps": "I64 4",
  });
  const { tensors: planned, droppedHead } = planTensors(checkpoint, { qtype: "q6k", scope: "all" }, profile);
  expect(droppedHead?.name).toBe("m.head.weight");
  expect(planned.find(({ name }) => name === "m.encoder.fc.weight")?.fallback).toMatch(
    /row length 896.*Q6_K's block of 256/,
  );
  expect(planned.find(({ name }) => name === "m.decoder.0.q_proj.weight")?.fallback).toBeNull();
});

test("an untied head is a matrix like others", () => {
  const untied = { ...profile, tiedHead: null };
  const { tensors: planned } = planTensors(checkpoint, { qtype: "q4_0", scope: "all" }, untied);
  expect(planned.find(({ name }) => name === "m.head.weight")?.dtype).toBe("Q4_0");
});

test("types by pattern: the first match counts, vectors stay dense, useless patterns are named", () => {
  const recipe: Recipe = {
    qtype: "q4_k",
    scope: "all",
    tensorTypes: [
      { pattern: /embed/g, type: "Q8_0" },
      { pattern: /decoder\.0\./, type: "Q5_K" },
      { pattern: /q_proj/, type: "Q2_K" },
      { pattern: /nothing/, type: "Q2_K" },
    ],
  };
  const planned = plan(recipe);
  expect(planned["m.decoder.embed_tokens.weight"]).toBe("Q8_0 1000x512");
  expect(planned["m.decoder.0.q_proj.weight"]).toBe("Q5_K 512x512");
  expect(planned["m.decoder.0.q_norm.weight"]).toBe("F32 512");
  const { warnings } = planTensors(checkpoint, recipe, profile);
  expect(warnings).toHaveLength(2); // q_proj comes too late
  expect(warnings[1]).toMatch(/nothing/);
});

test("quantized input: again where asked, never blown up, copied where it cannot be decoded", () => {
  const list = tensors([
    ["m.decoder.embed_tokens.weight", [1000, 512], "Q8_0"],
    ["m.decoder.0.q_proj.weight", [512, 512], "Q8_0"],
    ["m.decoder.1.q_proj.weight", [512, 512], "IQ2_S"],
    ["m.decoder.2.q_proj.weight", [512, 512], "Q4_0"],
  ]);
  expect(plan({ qtype: "q4_0" }, list)).toEqual({
    "m.decoder.embed_tokens.weight": "Q8_0 1000x512",
    "m.decoder.0.q_proj.weight": "Q4_0 512x512",
    "m.decoder.1.q_proj.weight": "IQ2_S 512x512",
    "m.decoder.2.q_proj.weight": "Q4_0 512x512",
  });
});

test("what cannot be: unknown types, empty scopes, layouts that the family lacks", () => {
  expect(() => plan({ qtype: "q9_0" })).toThrow(/"q9_0" is no quantization type; there are f32, f16, q4_0/);
  expect(() => plan({ qtype: "q8_0", scope: "n." })).toThrow(ConfigError);
  expect(() => plan({ qtype: "q8_0", scope: "n." })).toThrow(
    /matches no tensor; names begin with "m.encoder.", "m.codec."/,
  );
  expect(() => plan({ qtype: "q8_0", layout: "llama.cpp" })).toThrow(/toy has no decoder/);
});

test("type names", () => {
  expect(quantizationType("q6k")).toBe("Q6_K");
  expect(quantizationType("Q4_K")).toBe("Q4_K");
  expect(quantizationType("mxfp4")).toBe("MXFP4");
  for (const name of QUANTIZATION_NAMES) expect(quantizationType(name).toLowerCase()).toBe(name);
  for (const name of ["", "q8k", "q8_1", "i32", "constructor"])
    expect(() => quantizationType(name)).toThrow(ConfigError);
});

test.each<[GgmlType, number, GgmlType]>([
  ["Q4_K", 512, "Q4_K"],
  ["Q4_K", 384, "Q5_0"],
  ["Q5_K", 384, "Q5_1"],
  ["Q6_K", 384, "Q8_0"],
  ["Q3_K", 384, "Q4_0"],
  ["TQ1_0", 384, "Q4_0"],
  ["IQ4_XS", 384, "IQ4_NL"],
  ["Q6_K", 200, "F16"],
  ["Q8_0", 9, "F16"],
  ["BF16", 9, "BF16"],
])("%s in rows of %i becomes %s", (type, rowLength, expected) => {
  expect(fittingType(type, rowLength)).toBe(expected);
});

test("layout llama.cpp: the decoder's tensors under its names", () => {
  const geometry = {
    layers: 1,
    hiddenSize: 64,
    feedForwardSize: 128,
    heads: 2,
    kvHeads: 1,
    headDim: 32,
    contextLength: 100,
    ropeTheta: 1e6,
    rmsNormEps: 1e-6,
    vocabSize: 6,
  };
  const added = [
    { id: 3, content: "<|end|>", special: true },
    { id: 4, content: "<text>", special: false },
  ];
  const vocabulary = {
    vocab: new Map([
      ["a", 0],
      ["b", 1],
      ["ab", 2],
    ]),
    merges: ["a b"],
    added,
    eosId: 3,
    padId: 3,
  };
  const layout = qwen3Layout("d.", "head.weight", geometry, vocabulary);
  expect(layout.nameOf("d.layers.0.self_attn.o_proj.weight")).toBe("blk.0.attn_output.weight");
  expect(layout.nameOf("d.layers.1.self_attn.o_proj.weight")).toBeNull();
  expect(layout.nameOf("encoder.fc.weight")).toBeNull();
  expect(layout.metadata.get("tokenizer.ggml.tokens")).toEqual([
    "a",
    "b",
    "ab",
    "<|end|>",
    "<text>",
    "[PAD5]",
  ]);
  expect(layout.metadata.get("tokenizer.ggml.token_type")).toEqual(Int32Array.of(1, 1, 1, 3, 4, 5));
  const tooMany = { ...vocabulary, vocab: new Map([["a", 6]]) };
  expect(() => qwen3Layout("d.", "head.weight", geometry, tooMany)).toThrow(
    /"a" has id 6, the embedding has 6 rows/,
  );

  const list = tensors([
    ["d.embed_tokens.weight", [6, 64]],
    ["d.layers.0.mlp.down_proj.weight", [64, 128]],
    ["d.norm.weight", [64]],
    ["encoder.fc.weight", [64, 64]],
    ["head.weight", [6, 64]],
  ]);
  const withLayout = { ...profile, tiedHead: null, llamaCpp: layout };
  const { tensors: planned } = planTensors(list, { qtype: "q8_0", layout: "llama.cpp" }, withLayout);
  expect(planned.map(({ name, dtype }) => `${name} ${dtype}`)).toEqual([
    "token_embd.weight BF16",
    "blk.0.ffn_down.weight Q8_0",
    "output_norm.weight F32",
    "output.weight Q8_0",
  ]);
});

describe("a profile of its own", () => {
  const tensors = new Map(
    ["talker.a.weight", "talker.deep.b.weight", "codec.c.weight"].map((name) => [
      name,
      { name, dtype: "BF16", shape: [4, 64], byteLength: 512, file: "m", offset: 0 },
    ]),
  );
  const profile: QuantizeProfile = {
    ...GENERIC_PROFILE,
    scopes: new Map([["inner", "talker.deep."]]),
    typeOf: ({ name }, type, quantizeEmbeddings) =>
      name.startsWith("codec.") ? null : quantizeEmbeddings ? "F32" : type,
  };
  const typesOf = (recipe: Partial<Recipe>) =>
    planTensors(tensors, { qtype: "q4_0", ...recipe }, profile).tensors.map(({ name, dtype }) => [
      name,
      dtype,
    ]);

  test("its types replace the rules by name, with every scope", () => {
    const talker = [
      ["talker.a.weight", "Q4_0"],
      ["talker.deep.b.weight", "Q4_0"],
    ];
    expect(typesOf({})).toEqual([...talker, ["codec.c.weight", "BF16"]]);
    expect(typesOf({ scope: "talker." })).toEqual(talker);
    expect(typesOf({ scope: "inner", quantizeEmbeddings: true })).toEqual([["talker.deep.b.weight", "F32"]]);
    expect(typesOf({ scope: "codec", tensorTypes: [{ pattern: /c\.weight/, type: "Q8_0" }] })).toEqual([
      ["codec.c.weight", "Q8_0"],
    ]);
  });

  test("a scope that matches nothing is answered with the parts", () => {
    expect(() => typesOf({ scope: "vocoder" })).toThrow(/matches no tensor.*parts are all, inner/);
  });
});
