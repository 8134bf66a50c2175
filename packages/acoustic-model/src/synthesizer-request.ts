import { ConfigError } from "@voxquant/quant-core";
import { takesInstruct } from "./qwen3-tts/config.js";
import type { SpeechRequest } from "./qwen3-tts/generate.js";
import type { Qwen3TtsModel } from "./qwen3-tts/model.js";
import { resolveSampling } from "./qwen3-tts/speech-sampling.js";
import { writeScript, type Script } from "./synthesizer-script.js";
import type { SynthesizeOptions } from "./tts-model.js";

/** Frames of the first chunk: a third of a second, the least that is worth the codec's fixed cost. */
const FIRST_CHUNK_FRAMES = 4;
const CHUNK_FRAMES = 10;

/** A text and its options, checked. */
export interface SynthesisRequest {
  readonly script: Script;
  /** The first sentence to speak. */
  readonly fromSentence: number;
  readonly seed: number;
  readonly firstChunkFrames: number;
  readonly chunkFrames: number;
  readonly warnings: readonly string[];
  /** What the model is asked for sentence `index`. */
  sentence(index: number): SpeechRequest;
}

/**
 * Checks a text and its options before anything is computed.
 * @throws ConfigError
 */
export function checkRequest(
  model: Pick<Qwen3TtsModel, "config" | "prompt">,
  frameRate: number,
  text: string,
  options: SynthesizeOptions,
): SynthesisRequest {
  const { config } = model;
  const { normalize = true, language = "auto", fromSentence = 0, maxSeconds } = options;
  const { firstChunkFrames = FIRST_CHUNK_FRAMES, chunkFrames = CHUNK_FRAMES } = options;
  checkCount("firstChunkFrames", firstChunkFrames, 1);
  checkCount("chunkFrames", chunkFrames, 1);
  checkCount("fromSentence", fromSentence, 0);
  if (maxSeconds !== undefined && !(maxSeconds > 0 && maxSeconds < Infinity)) {
    throw new ConfigError(`maxSeconds is ${maxSeconds}, it must be above 0`);
  }
  const warnings: string[] = [];
  const { instruct, voice, streamingText } = options;
  if (instruct !== undefined && instruct !== "" && !takesInstruct(config)) {
    warnings.push(
      `instruct has no effect: this checkpoint (${config.variant}, ${config.size}) was not trained with it`,
    );
  }
  if (config.variant === "voice_design" && (instruct ?? "") === "") {
    warnings.push(
      "without instruct a voice_design checkpoint speaks with any voice, another for every sentence: describe one",
    );
  }
  const speaker = options.speaker ?? defaultSpeaker(model, warnings);
  const { seed } = resolveSampling(config.generation, options);
  const { temperature, topK, topP, repetitionPenalty, predictor } = options;
  const request = {
    language,
    ...(speaker === undefined ? {} : { speaker }),
    ...(instruct === undefined ? {} : { instruct }),
    ...(voice === undefined ? {} : { voice }),
    ...(streamingText === undefined ? {} : { streamingText }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topK === undefined ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
    ...(repetitionPenalty === undefined ? {} : { repetitionPenalty }),
    ...(predictor === undefined ? {} : { predictor }),
    ...(maxSeconds === undefined ? {} : { maxFrames: Math.max(1, Math.floor(maxSeconds * frameRate)) }),
  };
  const script = writeScript(text, { normalize, language });
  const { sentences } = script;
  if (fromSentence >= sentences.length) {
    throw new ConfigError(
      `fromSentence is ${fromSentence}, the text has ${sentences.length} sentences, counted from 0`,
    );
  }
  // The whole text at once, so that nothing about it or the voice comes up in the middle of the speech.
  model.prompt({ ...request, text: sentences.map((sentence) => sentence.text).join(" ") });
  return {
    script,
    fromSentence,
    seed,
    firstChunkFrames: Math.min(firstChunkFrames, chunkFrames),
    chunkFrames,
    warnings,
    sentence: (index) => ({
      ...request,
      text: script.spell(sentences[index]!),
      seed: sentenceSeed(seed, index),
    }),
  };
}

/** A seed of its own for each sentence, whatever comes before it; that of the first is the request's. */
function sentenceSeed(seed: number, index: number): number {
  // A random stream takes 53 bits in two words that count apart: the index goes into the high one.
  const high = (Math.floor(seed / 2 ** 32) + index) % 2 ** 21;
  return high * 2 ** 32 + (seed >>> 0);
}

function defaultSpeaker({ config }: Pick<Qwen3TtsModel, "config">, warnings: string[]): string | undefined {
  const [first, ...others] = config.speakers;
  if (first === undefined || config.variant !== "custom_voice") return undefined;
  if (others.length > 0) {
    const names = others.map(({ name }) => name).join(", ");
    warnings.push(
      `no speaker was given: ${first.name} speaks, the first of this checkpoint (others: ${names})`,
    );
  }
  return first.name;
}

function checkCount(name: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new ConfigError(`${name} is ${value}, a whole number from ${least} is needed`);
  }
}
