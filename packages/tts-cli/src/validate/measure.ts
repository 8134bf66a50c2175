import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  loadQwen3Tts,
  readVoice,
  speakForValidation,
  type ValidationOptions,
  type ValidationRun,
  type ValidationSpeech,
} from "@voxquant/acoustic-model";
import { timed, underClocks, type Outcome, type RunResult } from "@voxquant/cli-core";
import { describeBackend } from "@voxquant/quant-core";
import { AUDIO_KINDS, type AudioKind, type ValidateBench, type ValidateJob } from "./job.js";

/** Loads the model, warms it up with the first text, and speaks all. */
export async function measure(job: ValidateJob, onReady: () => void): Promise<Outcome<ValidateBench>> {
  const loaded = await timed(() =>
    loadQwen3Tts(job.source, {
      backend: job.backend as "auto",
      precision: job.precision,
      talkerWeights: job.choice,
      ...(job.threads === null ? {} : { threads: job.threads }),
    }),
  );
  onReady();
  const networks = loaded.result;
  const options = await optionsOf(job);
  const warmup = await timed(() => speakForValidation(networks, job.texts.slice(0, 1), null, options));
  const reference = job.reference?.map((codes) => Int32Array.from(codes)) ?? null;
  const { result: run, metrics: clocks } = await underClocks(() =>
    speakForValidation(networks, job.texts, reference, options),
  );
  for (const [at, speech] of run.speeches.entries())
    for (const kind of AUDIO_KINDS) await writeFile(audioPath(job.folder, at, kind), audioOf(speech, kind));
  const { timings } = run;
  const outcome: Outcome<ValidateBench> = {
    metrics: {
      load_ms: loaded.ms,
      warmup_ms: warmup.ms,
      prompt_ms: timings.promptMs,
      talker_ms_per_frame: timings.talkerMsPerFrame,
      predictor_ms_per_frame: timings.predictorMsPerFrame,
      codec_ms_per_frame: timings.codecMsPerFrame,
      frames: timings.frames,
      total_ms: timings.totalMs,
      rtf: timings.totalMs / 1000 / timings.audioSeconds,
      ...clocks,
    },
    backend: networks.backend,
    ...describeBackend(networks.backend),
    weightTypes: networks.model.weights.summary(),
    audioSeconds: timings.audioSeconds,
    detail: {
      sampleRate: run.sampleRate,
      groups: run.groups,
      sentences: run.speeches.map(({ text, stopReason, freeCodes, forcedCodes, ends }) => ({
        text,
        stopReason,
        freeCodes: [...freeCodes],
        forcedCodes: [...forcedCodes],
        ends,
      })),
    },
    note: null,
  };
  await networks.dispose();
  return outcome;
}

async function optionsOf(job: ValidateJob): Promise<ValidationOptions> {
  const { speaker, language, instruct, voice, temperature, normalize, seed } = job;
  return {
    normalize,
    seed,
    ...(speaker === null ? {} : { speaker }),
    ...(language === null ? {} : { language }),
    ...(instruct === null ? {} : { instruct }),
    ...(voice === null ? {} : { voice: await readVoice(voice) }),
    ...(temperature === null ? {} : { temperature }),
  };
}

const audioPath = (folder: string, sentence: number, kind: AudioKind): string =>
  join(folder, `${sentence}-${kind}.f32`);

const AUDIO_FIELDS = { free: "freeAudio", forced: "forcedAudio", codec: "codecAudio" } as const;

function audioOf(speech: ValidationSpeech, kind: AudioKind): Uint8Array {
  const samples = speech[AUDIO_FIELDS[kind]];
  return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
}

/** What a measuring process made, with its audio. */
export function readRun(
  { detail, metrics, audioSeconds }: RunResult<ValidateBench>,
  folder: string,
): ValidationRun {
  const audio = (sentence: number, kind: AudioKind): Float32Array =>
    new Float32Array(Uint8Array.from(readFileSync(audioPath(folder, sentence, kind))).buffer);
  return {
    sampleRate: detail.sampleRate,
    groups: detail.groups,
    speeches: detail.sentences.map(({ text, stopReason, freeCodes, forcedCodes, ends }, at) => ({
      text,
      stopReason,
      freeCodes: Int32Array.from(freeCodes),
      freeAudio: audio(at, "free"),
      forcedCodes: Int32Array.from(forcedCodes),
      forcedAudio: audio(at, "forced"),
      codecAudio: audio(at, "codec"),
      ends,
    })),
    timings: {
      promptMs: metrics.prompt_ms,
      talkerMsPerFrame: metrics.talker_ms_per_frame,
      predictorMsPerFrame: metrics.predictor_ms_per_frame,
      codecMsPerFrame: metrics.codec_ms_per_frame,
      totalMs: metrics.total_ms,
      frames: metrics.frames,
      audioSeconds,
    },
  };
}
