import { requireText, type Checkpoint, type ModelFiles, type Runtime } from "@voxquant/quant-core";
import { CheckpointWeights } from "@voxquant/nn";
import { parseQwen3TtsConfig, type Qwen3TtsConfig } from "./config.js";
import {
  generateSpeech,
  type GeneratedSpeech,
  type GenerateSpeechOptions,
  type SpeechRequest,
} from "./generate.js";
import { buildPrompt, type Prompt, type PromptRequest } from "./prompt.js";
import { TtsTokenizer } from "./tokenizer.js";
import { loadNetwork, type Qwen3TtsNetwork } from "./weights.js";

/** An opened checkpoint: its tensors and its small text files. */
export interface Qwen3TtsParts {
  /** Path or URL, for messages. */
  readonly location: string;
  readonly main: Checkpoint;
  readonly files: ModelFiles;
}

/** Talker and code predictor of Qwen3-TTS, loaded: text in, codec frames out. The codec is a model of its own. */
export class Qwen3TtsModel {
  readonly config: Qwen3TtsConfig;
  readonly tokenizer: TtsTokenizer;
  readonly runtime: Runtime;
  readonly location: string;
  /** Where the tensors come from; also the speaker encoder's. */
  readonly weights: CheckpointWeights;
  readonly #network: Qwen3TtsNetwork;

  private constructor(
    location: string,
    config: Qwen3TtsConfig,
    tokenizer: TtsTokenizer,
    runtime: Runtime,
    weights: CheckpointWeights,
    network: Qwen3TtsNetwork,
  ) {
    this.location = location;
    this.config = config;
    this.tokenizer = tokenizer;
    this.runtime = runtime;
    this.weights = weights;
    this.#network = network;
  }

  /**
   * Builds the model from opened files, on the runtime's device. The files stay the caller's, to be closed after the
   * runtime was disposed.
   * @throws ConfigError for a missing or wrong config field, ResourceError for a missing file or tensor
   */
  static async load(parts: Qwen3TtsParts, runtime: Runtime): Promise<Qwen3TtsModel> {
    const { files, location } = parts;
    const config = parseQwen3TtsConfig(
      await requireText(files, "config.json"),
      await files.readText("generation_config.json"),
      location,
    );
    const tokenizer = await TtsTokenizer.load(files, config.text);
    const weights = new CheckpointWeights(parts.main, "Qwen3-TTS");
    const network = await loadNetwork(runtime, weights, config);
    weights.forget();
    return new Qwen3TtsModel(location, config, tokenizer, runtime, weights, network);
  }

  /** The prompt of a request, as symbols. @throws ConfigError for a request that the checkpoint cannot do */
  prompt(request: PromptRequest): Prompt {
    return buildPrompt(this.config, this.tokenizer, request);
  }

  /**
   * Frames of several speeches in one pass; each result equals that request alone. Calls may overlap.
   * @throws ConfigError for a request that the checkpoint cannot do, the signal's reason when aborted
   */
  async generate(
    requests: readonly SpeechRequest[],
    options: GenerateSpeechOptions = {},
  ): Promise<GeneratedSpeech[]> {
    const prompted = requests.map((request) => ({ request, prompt: this.prompt(request) }));
    return generateSpeech(this.runtime, this.#network, this.config, prompted, options);
  }
}
