import {
  alignedDistortion,
  compareAudio,
  type AlignedDistortion,
  type AudioComparison,
} from "@voxquant/audio";
import { ConfigError } from "@voxquant/quant-core";
import { AgreementCount, type CodeAgreement } from "./agreement.js";
import type { ValidationRun, ValidationSpeech } from "./speak.js";

/** What is kept of `AudioComparison`; dB, but for STOI (0 to 1), mel distance (nepers) and correlation. */
export type AudioMetric = (typeof AUDIO_METRICS)[number];

export const AUDIO_METRICS = [
  "snr",
  "logSpectralDistance",
  "melCepstralDistortion",
  "melDistance",
  "melCorrelation",
  "stoi",
] as const;

export type AudioMetrics = Readonly<Record<AudioMetric, number>>;

/** One sentence of a comparison. */
export interface SentenceComparison {
  readonly text: string;
  /** Of the free speeches. */
  readonly referenceFrames: number;
  readonly candidateFrames: number;
  readonly freeAgreement: number;
  readonly forcedAgreement: number;
  /** The same codes through both codecs. */
  readonly codec: AudioMetrics;
  /** The most likely codes along the reference's speech, each through its own codec. */
  readonly forced: AudioMetrics;
  /** Free speech, if both are equally long; else null. */
  readonly free: AudioMetrics | null;
  /** Free speech, aligned in time. */
  readonly aligned: AlignedDistortion;
}

/** How far a model is from another one: medians over the sentences, agreement over all their frames. */
export interface ValidationReport {
  readonly freeAgreement: CodeAgreement;
  readonly forcedAgreement: CodeAgreement;
  /** Sentences after whose last frame both or neither would end. */
  readonly endAgreement: number;
  /** Frames of the candidate's free speech by the reference's. */
  readonly lengthRatio: number;
  /** Sentences of equal length. */
  readonly equalLengths: number;
  readonly codec: AudioMetrics;
  readonly forced: AudioMetrics;
  /** Over the sentences of equal length; null if there are none. */
  readonly free: AudioMetrics | null;
  readonly alignedDistortion: number;
  readonly sentences: readonly SentenceComparison[];
}

/**
 * Compares what two models made of the same texts; `candidate` was led along the reference's codes.
 * @throws ConfigError if they cannot be compared: another sample rate, other code groups, other texts
 */
export function compareValidationRuns(reference: ValidationRun, candidate: ValidationRun): ValidationReport {
  const { groups, sampleRate } = reference;
  if (candidate.groups !== groups || candidate.sampleRate !== sampleRate) {
    throw new ConfigError(
      `the models make ${groups} codes per frame at ${sampleRate} Hz and ${candidate.groups} at ${candidate.sampleRate} Hz: only models of one architecture can be compared`,
    );
  }
  if (candidate.speeches.length !== reference.speeches.length) {
    throw new ConfigError(
      `the models spoke ${reference.speeches.length} and ${candidate.speeches.length} sentences; give both the same texts`,
    );
  }
  const free = new AgreementCount(groups);
  const forced = new AgreementCount(groups);
  let [ends, frames, candidateFrames] = [0, 0, 0];
  const sentences = reference.speeches.map((own, i) => {
    const other = candidate.speeches[i]!;
    free.add(own.freeCodes, other.freeCodes);
    forced.add(own.forcedCodes, other.forcedCodes);
    if (own.ends === other.ends) ends++;
    frames += own.freeCodes.length;
    candidateFrames += other.freeCodes.length;
    return compareSentence(own, other, groups, sampleRate);
  });
  const equal = sentences.flatMap((sentence) => sentence.free ?? []);
  return {
    freeAgreement: free.result(),
    forcedAgreement: forced.result(),
    endAgreement: ends,
    lengthRatio: candidateFrames / frames,
    equalLengths: equal.length,
    codec: medians(sentences.map((sentence) => sentence.codec)),
    forced: medians(sentences.map((sentence) => sentence.forced)),
    free: equal.length === 0 ? null : medians(equal),
    alignedDistortion: median(sentences.map(({ aligned }) => aligned.melCepstralDistortion)),
    sentences,
  };
}

function compareSentence(
  reference: ValidationSpeech,
  candidate: ValidationSpeech,
  groups: number,
  sampleRate: number,
): SentenceComparison {
  const agreement = (a: Int32Array, b: Int32Array) => new AgreementCount(groups).add(a, b).result().all;
  const sound = (a: Float32Array, b: Float32Array) => metricsOf(compareAudio(a, b, sampleRate));
  const isEqual = reference.freeAudio.length === candidate.freeAudio.length;
  return {
    text: reference.text,
    referenceFrames: reference.freeCodes.length / groups,
    candidateFrames: candidate.freeCodes.length / groups,
    freeAgreement: agreement(reference.freeCodes, candidate.freeCodes),
    forcedAgreement: agreement(reference.forcedCodes, candidate.forcedCodes),
    codec: sound(reference.codecAudio, candidate.codecAudio),
    forced: sound(reference.forcedAudio, candidate.forcedAudio),
    free: isEqual ? sound(reference.freeAudio, candidate.freeAudio) : null,
    aligned: alignedDistortion(reference.freeAudio, candidate.freeAudio, sampleRate),
  };
}

function metricsOf(comparison: AudioComparison): AudioMetrics {
  return Object.fromEntries(AUDIO_METRICS.map((name) => [name, comparison[name]])) as Record<
    AudioMetric,
    number
  >;
}

function medians(list: readonly AudioMetrics[]): AudioMetrics {
  return Object.fromEntries(
    AUDIO_METRICS.map((name) => [name, median(list.map((metrics) => metrics[name]))]),
  ) as Record<AudioMetric, number>;
}

/** Values that are undefined, such as STOI of very short speech, are left out; NaN if none is left. */
function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  // Equal neighbours as they are: between two infinite ratios there is no mean.
  const [low, high] = [sorted[sorted.length - 1 - middle]!, sorted[middle]!];
  return low === high ? low : (low + high) / 2;
}
