import { ConfigError, UnsupportedError } from "@voxquant/quant-core";
import { parseCodecConfig, seanetLayers } from "./config.js";
import { SMALL_CONFIG } from "./testing.js";

type Changes = Record<string, unknown>;

function changed(top: Changes, decoder: Changes = {}, encoder: Changes = {}): string {
  return JSON.stringify({
    ...SMALL_CONFIG,
    decoder_config: { ...SMALL_CONFIG.decoder_config, ...decoder },
    encoder_config: { ...SMALL_CONFIG.encoder_config, ...encoder },
    ...top,
  });
}

const parse = (json: string) => parseCodecConfig(json, "model");

test("sizes come from what the network uses", () => {
  const config = parse(changed({}));
  expect(config).toMatchObject({ sampleRate: 8000, samplesPerFrame: 24, groups: 4 });
  // semantic_codebook_size is another number and is not the semantic codebook's; its width is half of codebook_dim.
  expect(config.decoder).toMatchObject({ codebookSize: 20, codebookWidth: 32, quantizerDim: 64, window: 6 });
  expect(config.decoder.channels).toEqual([64, 32, 16]);
  expect(config.encoder?.strides).toEqual([3, 4]);
});

test("a codec without encoder can decode", () => {
  expect(parse(changed({ encoder_config: undefined })).encoder).toBeNull();
});

test("the encoder's layers stand at the official places", () => {
  const layers = seanetLayers(parse(changed({})).encoder!);
  expect(layers.map(({ index, kind }) => `${index} ${kind}`)).toEqual([
    "0 conv",
    "1 residual",
    "2 elu",
    "3 conv",
    "4 residual",
    "5 elu",
    "6 conv",
    "7 elu",
    "8 conv",
  ]);
  expect(layers[3]).toMatchObject({ inChannels: 4, outChannels: 8, kernel: 6, stride: 3 });
  expect(layers[8]).toMatchObject({ inChannels: 16, outChannels: 32, kernel: 3, stride: 1 });
});

test("the 25 Hz tokenizer is named and refused", () => {
  const json = changed({ model_type: "qwen3_tts_tokenizer_25hz" });
  expect(() => parse(json)).toThrow(UnsupportedError);
  expect(() => parse(json)).toThrow(/model: speech_tokenizer\/config.json: this is the 25 Hz/);
});

test.each<[problem: RegExp, json: string]>([
  [/not valid JSON/, "{"],
  [/field \(whole file\)/, "null"],
  [/field model_type/, changed({ model_type: "mimi" })],
  [/field decoder_config.latent_dim/, changed({}, { latent_dim: undefined })],
  [/field decoder_config.hidden_size/, changed({}, { hidden_size: 1e9 })],
  [/field decoder_config.codebook_dim/, changed({}, { codebook_dim: 63 })],
  [/field decoder_config.upsample_rates/, changed({}, { upsample_rates: [] })],
  [/decode_upsample_rate 24, .* multiply to 48/, changed({}, { upsample_rates: [6, 2] })],
  [/decoder_config with 4 attention heads for 3/, changed({}, { num_key_value_heads: 3 })],
  [/sliding_window of 65536/, changed({}, { sliding_window: 65536, head_dim: 1024 })],
  [/decoder_dim 3/, changed({}, { decoder_dim: 3 })],
  [/4 valid of 3 encoder quantizers/, changed({}, {}, { num_quantizers: 3 })],
  [/5 valid of 8/, changed({ encoder_valid_num_quantizers: 5 })],
  [/strides multiply to 16/, changed({}, {}, { upsampling_ratios: [4, 2] })],
  [/output_sample_rate 16000/, changed({ output_sample_rate: 16000 })],
  [/vector_quantization_hidden_dimension 8/, changed({}, {}, { vector_quantization_hidden_dimension: 8 })],
  [/field encoder_config.use_conv_shortcut/, changed({}, {}, { use_conv_shortcut: true })],
  [/reach back/, changed({}, {}, { num_residual_layers: 8, dilation_growth_rate: 16 })],
])("refuses a config with %s", (problem, json) => {
  expect(() => parse(json)).toThrow(ConfigError);
  expect(() => parse(json)).toThrow(problem);
});
