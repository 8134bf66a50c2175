import {
  loadAsrModel,
  type AsrModel,
  type AudioInput,
  type Transcript,
  type TranscribeOptions,
} from "@voxquant/asr-model";
import { timed, underClocks, type Outcome, type OwnMetrics } from "@voxquant/cli-core";
import { ConfigError, describeBackend, type BackendName } from "@voxquant/quant-core";
import type { AsrBench, AsrJob, Workload } from "./measurement.js";
import { syntheticClips } from "./synthetic-clip.js";

/** Loads the model, warms it up with one transcription, and measures the next. */
export async function measure(job: AsrJob, onReady: () => void): Promise<Outcome<AsrBench>> {
  const model = await loadAsrModel(job.source, {
    backend: job.backend as "auto",
    precision: job.precision,
    decoderWeights: job.decoderWeights,
    ...(job.decoderGguf === null ? {} : { decoderGguf: job.decoderGguf }),
    ...(job.threads === null ? {} : { threads: job.threads }),
  });
  onReady();
  const { workload } = job;
  const run =
    workload.kind === "files" ? await runFiles(model, workload) : await runSynthetic(model, workload);
  return {
    metrics: run.metrics,
    backend: model.backend,
    ...describeBackend(model.backend as BackendName),
    weightTypes: model.weights,
    audioSeconds: run.transcripts.reduce((sum, { audioSeconds }) => sum + audioSeconds, 0),
    detail: {
      texts: run.transcripts.map(({ text }) => text),
      languages: run.transcripts.map(({ language }) => language),
    },
    note: run.note,
  };
}

interface Run {
  readonly metrics: OwnMetrics<AsrBench>;
  readonly transcripts: readonly Transcript[];
  readonly note: string | null;
}

async function runFiles(model: AsrModel, workload: Workload & { kind: "files" }): Promise<Run> {
  const options: TranscribeOptions = {
    ...(workload.language === null ? {} : { language: workload.language }),
    ...(workload.maxTokens === null ? {} : { maxTokens: workload.maxTokens }),
  };
  const warmup = await timed(() => model.transcribe(workload.audio[0]!, options));
  const measured = await measuredRun(model, workload.audio, options, null);
  return { ...measured, metrics: { ...measured.metrics, warmup_ms: warmup.ms }, note: null };
}

async function runSynthetic(model: AsrModel, workload: Workload & { kind: "synthetic" }): Promise<Run> {
  const { audioSeconds, batch, decodeTokens, prefillTokens, context } = workload;
  const clips = syntheticClips(audioSeconds, batch);
  const options: TranscribeOptions = {
    vad: false,
    batchSize: batch,
    ...(batch === 1 ? {} : { segmentSeconds: audioSeconds }),
  };
  const warmup = await timed(() => model.transcribe(clips, { ...options, maxTokens: decodeTokens }));
  const plain = warmup.result.timings.prefillTokens / batch;
  const prompted = (tokens: number | null): TranscribeOptions => ({
    ...options,
    maxTokens: decodeTokens,
    ...paddedPrompt(tokens, plain, audioSeconds),
  });
  const measured = await measuredRun(model, [clips], prompted(prefillTokens), batch);
  let metrics: OwnMetrics<AsrBench> = {
    ...measured.metrics,
    decode_context: measured.metrics.prefill_tokens / batch,
  };
  let decoded = measured.transcripts[0]!;
  if (context !== null && context !== metrics.decode_context) {
    decoded = await model.transcribe(clips, prompted(context));
    const { decodeMs, decodeTokens: tokens } = decoded.timings;
    metrics = {
      ...metrics,
      decode_ms: decodeMs,
      decode_ms_per_token: decodeMs / Math.max(tokens - batch, 1),
    };
  }
  const found = decoded.timings.decodeTokens;
  const note =
    found === decodeTokens * batch ? null : `${found} tokens were decoded instead of ${decodeTokens * batch}`;
  return { ...measured, metrics: { ...metrics, warmup_ms: warmup.ms }, note };
}

/** A context of digits, which are a token each, that makes the prompt as long as asked. @throws ConfigError if it is longer already */
function paddedPrompt(wanted: number | null, plain: number, audioSeconds: number): { prompt?: string } {
  if (wanted === null || wanted === plain) return {};
  if (wanted < plain) {
    throw new ConfigError(
      `${audioSeconds} s of audio make a prompt of ${plain} tokens, ${wanted} were asked for: make the audio shorter`,
    );
  }
  return { prompt: "7".repeat(wanted - plain) };
}

/** Transcribes each input once under all the clocks. `pieces`: how many they are cut into; null: as many as have text. */
async function measuredRun(
  model: AsrModel,
  inputs: readonly AudioInput[],
  options: TranscribeOptions,
  pieces: number | null,
): Promise<{ metrics: OwnMetrics<AsrBench>; transcripts: readonly Transcript[] }> {
  const firstTokens: number[] = [];
  const { result: transcripts, metrics: clocks } = await underClocks(async () => {
    const done: Transcript[] = [];
    for (const input of inputs) {
      const start = performance.now();
      let first: number | null = null;
      const transcript = await model.transcribe(input, {
        ...options,
        onToken: () => (first ??= performance.now() - start),
      });
      done.push(transcript);
      if (first !== null) firstTokens.push(first);
    }
    return done;
  });
  const sum = (pick: (transcript: Transcript) => number): number =>
    transcripts.reduce((total, transcript) => total + pick(transcript), 0);
  const timing = (name: keyof Transcript["timings"]): number => sum(({ timings }) => timings[name]);
  const tokens = timing("decodeTokens");
  // Each piece's first token comes out of the prefill.
  const steps = tokens - (pieces ?? sum(({ segments }) => Math.max(segments.length, 1)));
  const total = timing("totalMs");
  const metrics: OwnMetrics<AsrBench> = {
    load_ms: transcripts[0]?.timings.loadMs ?? 0,
    warmup_ms: 0,
    audio_ms: timing("vadMs"),
    features_ms: timing("featuresMs"),
    encoder_ms: timing("encoderMs"),
    prefill_ms: timing("prefillMs"),
    prefill_tokens: timing("prefillTokens"),
    prefill_cached_tokens: timing("prefillCachedTokens"),
    decode_ms: timing("decodeMs"),
    decode_tokens: tokens,
    decode_context: null,
    decode_ms_per_token: steps > 0 ? timing("decodeMs") / steps : 0,
    total_ms: total,
    rtf: total / 1000 / sum(({ audioSeconds }) => audioSeconds),
    ttft_ms: firstTokens.length === 0 ? null : firstTokens.reduce((a, b) => a + b, 0) / firstTokens.length,
    ...clocks,
  };
  return { metrics, transcripts };
}
