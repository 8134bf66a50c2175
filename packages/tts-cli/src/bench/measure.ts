import {
  loadTtsModel,
  readVoice,
  type SynthesisTimings,
  type SynthesizeOptions,
  type TtsModel,
} from "@voxquant/acoustic-model";
import { timed, underClocks, type Outcome, type OwnMetrics } from "@voxquant/cli-core";
import { describeBackend, type BackendName } from "@voxquant/quant-core";
import { hear } from "./listen.js";
import type { TtsBench, TtsJob, Workload } from "./measurement.js";

/** Loads the model, warms it up with one text, and measures all. */
export async function measure(job: TtsJob, onReady: () => void): Promise<Outcome<TtsBench>> {
  const loaded = await timed(() =>
    loadTtsModel(job.source, {
      backend: job.backend as "auto",
      precision: job.precision,
      talkerWeights: job.talkerWeights,
      ...(job.talkerGguf === null ? {} : { talkerGguf: job.talkerGguf }),
      ...(job.threads === null ? {} : { threads: job.threads }),
    }),
  );
  onReady();
  const model = loaded.result;
  const { info } = model;
  const requests = await requestsOf(job, model);
  const warmup = await timed(() => speakTogether(model, requests.slice(0, job.batch), job.batch));
  const { result: speeches, metrics: clocks } = await underClocks(() =>
    job.batch === 1 ? speakEach(model, requests) : speakTogether(model, requests, job.batch),
  );
  const backend = describeBackend(info.backend as BackendName);
  const audioSeconds = speeches.reduce((sum, { samples }) => sum + samples.length, 0) / info.sampleRate;
  await model.dispose();

  const sum = (pick: (timings: Measured) => number): number =>
    speeches.reduce((total, speech) => total + pick(speech), 0);
  const frames = sum(({ codes }) => codes.length / info.codeGroups);
  const total = sum(({ totalMs }) => totalMs);
  const stage = (name: "promptMs" | "talkerMs" | "predictorMs" | "codecMs"): number =>
    sum(({ timings }) => timings?.[name] ?? 0);
  const perFrame = (ms: number): number => (frames > 0 ? ms / frames : 0);
  const [talker, predictor, codec] = [stage("talkerMs"), stage("predictorMs"), stage("codecMs")];
  // Of several sentences the times of the prompts are known together only.
  const singles = speeches.every(({ sentences }) => sentences === 1);
  const firstAudio = job.batch === 1 ? sum(({ firstAudioMs }) => firstAudioMs ?? 0) / speeches.length : null;
  const metrics: OwnMetrics<TtsBench> = {
    load_ms: loaded.ms,
    warmup_ms: warmup.ms,
    prompt_ms: stage("promptMs"),
    prompt_tokens: sum(({ promptTokens }) => promptTokens),
    talker_ms: talker,
    talker_ms_per_frame: perFrame(talker),
    predictor_ms: predictor,
    predictor_ms_per_frame: perFrame(predictor),
    codec_ms: codec,
    codec_ms_per_frame: perFrame(codec),
    first_audio_ms: firstAudio,
    first_audio_after_prompt_ms:
      firstAudio !== null && singles ? firstAudio - stage("promptMs") / speeches.length : null,
    frames,
    batch: job.batch,
    total_ms: total,
    rtf: audioSeconds > 0 ? total / 1000 / audioSeconds : 0,
    ...clocks,
  };
  const { workload } = job;
  const recognizer = workload.kind === "texts" ? workload.recognizer : null;
  return {
    metrics,
    backend: info.backend,
    ...backend,
    weightTypes: info.weights,
    audioSeconds,
    detail: {
      codes: speeches.map(({ codes }) => [...codes]),
      groups: info.codeGroups,
      heard:
        recognizer === null
          ? null
          : await hear(
              recognizer,
              speeches.map(({ samples }) => samples),
              info.sampleRate,
            ),
    },
    note: noteOf(workload, job.batch, frames),
  };
}

type Request = { readonly text: string } & SynthesizeOptions;

/** One text, spoken. */
interface Measured {
  readonly samples: Float32Array;
  readonly codes: readonly number[];
  readonly sentences: number;
  /** Of a text in a batch: that of the batch at its first text, 0 at the others. */
  readonly totalMs: number;
  readonly firstAudioMs: number | null;
  readonly promptTokens: number;
  /** As totalMs, null at the others. */
  readonly timings: SynthesisTimings | null;
}

async function requestsOf({ workload, batch, seed }: TtsJob, { info }: TtsModel): Promise<Request[]> {
  if (workload.kind === "synthetic") {
    // Half a frame more, so that rounding takes none off.
    const maxSeconds = (workload.frames + 0.5) / info.frameRate;
    const text = "7".repeat(workload.textTokens);
    return Array.from({ length: batch }, (_, i) => ({ text, maxSeconds, normalize: false, seed: seed + i }));
  }
  const { texts, speaker, language, instruct, voice, temperature, normalize } = workload;
  const options: SynthesizeOptions = {
    normalize,
    seed,
    ...(speaker === null ? {} : { speaker }),
    ...(language === null ? {} : { language }),
    ...(instruct === null ? {} : { instruct }),
    ...(voice === null ? {} : { voice: await readVoice(voice) }),
    ...(temperature === null ? {} : { temperature }),
  };
  return texts.map((text) => ({ text, ...options }));
}

/** Streams one text after the other. */
async function speakEach(model: TtsModel, requests: readonly Request[]): Promise<Measured[]> {
  const speeches: Measured[] = [];
  for (const { text, ...options } of requests) {
    const start = performance.now();
    let firstAudioMs: number | null = null;
    let timings!: SynthesisTimings;
    const codes: number[] = [];
    let sentences = 0;
    const chunks: Float32Array[] = [];
    const speech = model.synthesize(text, {
      ...options,
      onSentence: (sentence) => {
        codes.push(...sentence.codes);
        sentences++;
      },
      onFinish: (found) => (timings = found),
    });
    for await (const { samples } of speech) {
      firstAudioMs ??= performance.now() - start;
      chunks.push(samples);
    }
    const totalMs = performance.now() - start;
    const { promptTokens } = timings;
    speeches.push({
      ...{ samples: joined(chunks), codes, sentences, totalMs, firstAudioMs, promptTokens, timings },
    });
  }
  return speeches;
}

/** Speaks `batch` texts at a time. */
async function speakTogether(
  model: TtsModel,
  requests: readonly Request[],
  batch: number,
): Promise<Measured[]> {
  const speeches: Measured[] = [];
  for (let at = 0; at < requests.length; at += batch) {
    const { result, ms } = await timed(() => model.synthesizeBatch(requests.slice(at, at + batch)));
    result.forEach(({ samples, sentences, timings }, i) => {
      const codes = sentences.flatMap((sentence) => [...sentence.codes]);
      speeches.push({
        samples,
        codes,
        sentences: sentences.length,
        totalMs: i === 0 ? ms : 0,
        firstAudioMs: null,
        promptTokens: timings.promptTokens,
        timings: i === 0 ? timings : null,
      });
    });
  }
  return speeches;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const samples = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    samples.set(part, at);
    at += part.length;
  }
  return samples;
}

function noteOf(workload: Workload, batch: number, frames: number): string | null {
  if (workload.kind === "texts") return null;
  const wanted = workload.frames * batch;
  return frames === wanted ? null : `${frames} frames were made instead of ${wanted}`;
}
