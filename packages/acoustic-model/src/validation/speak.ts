import type { LoadedQwen3Tts } from "../load.js";
import type { SpeechRequest, SpeechTimings } from "../qwen3-tts/generate.js";
import { writeScript } from "../synthesizer-script.js";
import type { StopReason, SynthesizeOptions } from "../tts-model.js";

export interface ValidationOptions extends Pick<
  SynthesizeOptions,
  "speaker" | "language" | "instruct" | "voice" | "temperature" | "seed" | "normalize" | "signal"
> {
  onProgress?(sentencesDone: number, sentencesTotal: number): void;
}

/** One sentence, spoken by one of the two models that are compared. Codes are time-major. */
export interface ValidationSpeech {
  readonly text: string;
  readonly stopReason: StopReason;
  /** As the model goes on by itself. */
  readonly freeCodes: Int32Array;
  readonly freeAudio: Float32Array;
  /** The most likely code at each place of the reference's speech. */
  readonly forcedCodes: Int32Array;
  readonly forcedAudio: Float32Array;
  /** The reference's own codes through this model's codec. */
  readonly codecAudio: Float32Array;
  /** Whether the end comes next after the reference's last frame. */
  readonly ends: boolean;
}

/** Where the time of the free speech went, per frame and in all, milliseconds. */
export interface ValidationTimings {
  readonly promptMs: number;
  readonly talkerMsPerFrame: number;
  readonly predictorMsPerFrame: number;
  readonly codecMsPerFrame: number;
  readonly totalMs: number;
  readonly frames: number;
  readonly audioSeconds: number;
}

export interface ValidationRun {
  readonly sampleRate: number;
  readonly groups: number;
  readonly speeches: readonly ValidationSpeech[];
  readonly timings: ValidationTimings;
}

/**
 * Speaks texts for a comparison: freely, then again along the codes of a reference, taking the most likely code at each
 * place. Without a reference the model is one itself.
 * @param reference codes of each sentence, from the free speech of the other model
 * @throws ConfigError for texts or options that the checkpoint cannot do, the signal's reason when aborted
 */
export async function speakForValidation(
  { model, codec }: LoadedQwen3Tts,
  texts: readonly string[],
  reference: readonly Int32Array[] | null,
  options: ValidationOptions = {},
): Promise<ValidationRun> {
  const { signal, normalize = true, language = "auto", onProgress, ...request } = options;
  const { speakers, variant, codeGroups: groups } = model.config;
  const speaker = request.speaker ?? (variant === "custom_voice" ? speakers[0]?.name : undefined);
  const sentences = texts.flatMap((text) => {
    const script = writeScript(text, { normalize, language });
    return script.sentences.map(script.spell);
  });
  const abort = signal === undefined ? {} : { signal };
  const clock: SpeechTimings = { promptMs: 0, promptPositions: 0, talkerMs: 0, predictorMs: 0, frames: 0 };
  let [codecMs, totalMs, samples] = [0, 0, 0];
  const speeches: ValidationSpeech[] = [];
  for (const [at, spoken] of sentences.entries()) {
    const speech: SpeechRequest = {
      ...request,
      text: spoken,
      language,
      ...(speaker === undefined ? {} : { speaker }),
    };
    const start = performance.now();
    const [free] = await model.generate([speech], { ...abort, timings: clock });
    const generated = performance.now();
    const freeCodes = free!.codes.slice(0, free!.usefulFrames * groups);
    const freeAudio = await codec.decode(freeCodes, abort);
    codecMs += performance.now() - generated;
    totalMs += performance.now() - start;
    samples += freeAudio.length;

    const own = reference?.[at];
    const codes = own ?? freeCodes;
    const [forced] = await model.generate(
      [{ ...speech, temperature: 0, forcedCodes: codes, guards: false }],
      abort,
    );
    // An end in the middle of the reference has no sound: the reference's code stands in for it.
    const entries = codec.config.decoder.codebookSize;
    const audible = forced!.codes.map((code, i) => (code < entries ? code : codes[i]!));
    speeches.push({
      text: spoken,
      stopReason: free!.stopReason,
      freeCodes,
      freeAudio,
      forcedCodes: forced!.codes,
      forcedAudio: await codec.decode(audible, abort),
      codecAudio: own === undefined ? freeAudio : await codec.decode(codes, abort),
      ends: forced!.stopReason === "eos",
    });
    onProgress?.(at + 1, sentences.length);
  }
  const perFrame = (ms: number): number => (clock.frames > 0 ? ms / clock.frames : 0);
  const { sampleRate } = codec.config;
  return {
    sampleRate,
    groups,
    speeches,
    timings: {
      promptMs: clock.promptMs,
      talkerMsPerFrame: perFrame(clock.talkerMs),
      predictorMsPerFrame: perFrame(clock.predictorMs),
      codecMsPerFrame: perFrame(codecMs),
      totalMs,
      frames: clock.frames,
      audioSeconds: samples / sampleRate,
    },
  };
}
