import { ConfigError } from "@voxquant/quant-core";
import { checkSampling } from "@voxquant/nn";
import type { SamplingSettings, SynthesizeOptions } from "../tts-model.js";
import type { GenerationDefaults } from "./config.js";

/** How the codes of a request are chosen. */
export interface SpeechSampling extends SamplingSettings {
  readonly repetitionPenalty: number;
  readonly predictor: SamplingSettings;
  readonly seed: number;
}

export type SamplingRequest = Pick<
  SynthesizeOptions,
  "seed" | "temperature" | "topK" | "topP" | "repetitionPenalty" | "predictor"
>;

/**
 * A request's settings over the checkpoint's defaults. Temperature 0 makes the code predictor greedy too, unless it is
 * given one of its own; without a seed a random one is taken.
 * @throws ConfigError for a value out of range
 */
export function resolveSampling(defaults: GenerationDefaults, request: SamplingRequest): SpeechSampling {
  const talker = {
    temperature: request.temperature ?? defaults.temperature,
    topK: request.topK ?? defaults.topK,
    topP: request.topP ?? defaults.topP,
  };
  const predictor = {
    temperature:
      request.predictor?.temperature ?? (request.temperature === 0 ? 0 : defaults.predictor.temperature),
    topK: request.predictor?.topK ?? defaults.predictor.topK,
    topP: request.predictor?.topP ?? defaults.predictor.topP,
  };
  checkSampling(talker);
  checkSampling(predictor, "predictor.");
  const repetitionPenalty = request.repetitionPenalty ?? defaults.repetitionPenalty;
  if (!(repetitionPenalty > 0 && repetitionPenalty < Infinity)) {
    throw new ConfigError(`repetitionPenalty is ${repetitionPenalty}, it must be above 0; 1 is none`);
  }
  const seed = request.seed ?? Math.floor(Math.random() * 2 ** 32);
  if (!Number.isSafeInteger(seed)) throw new ConfigError(`seed is ${seed}, it must be a whole number`);
  return { ...talker, repetitionPenalty, predictor, seed };
}
