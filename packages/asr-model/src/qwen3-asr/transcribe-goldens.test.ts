import { dirname, join } from "node:path";
import {
  GOLDEN_BACKENDS,
  GoldenTally,
  readGoldenJson,
  type GoldenBackend,
  type GoldenCase,
} from "@voxquant/goldens";
import { transcribe } from "../transcriber.js";
import { Qwen3ForcedAligner } from "./forced-aligner.js";
import type { Qwen3AsrModel } from "./model.js";
import { factsOf } from "./recognizer.js";
import { streamTranscripts } from "./stream.js";
import {
  FAMILY,
  kindOf,
  models,
  readAudio,
  storedAudio,
  Traced,
  variants,
  type AlignedItem,
} from "./testing.js";

interface StreamingRun {
  readonly audio: string;
  readonly feed_sizes: readonly number[];
  readonly options: {
    readonly chunk_size_sec?: number;
    readonly unfixed_chunk_num?: number;
    readonly unfixed_token_num?: number;
    readonly context?: string;
    readonly language?: string;
  };
  readonly max_new_tokens_per_call: number;
  readonly steps: readonly { language: string; text: string }[];
  readonly calls: readonly {
    audio_samples: number;
    prompt_ids: readonly number[];
    generated_ids: readonly number[];
  }[];
}

/** Blocks as the reference fed them: the sizes in turn, again and again, until the audio ends. */
async function* feed(samples: Float32Array, sizes: readonly number[]): AsyncGenerator<Float32Array> {
  for (let at = 0, i = 0; at < samples.length; at += sizes[i++ % sizes.length]!) {
    yield samples.subarray(at, at + sizes[i % sizes.length]!);
  }
}

async function checkStreaming(model: Qwen3AsrModel, golden: GoldenCase): Promise<void> {
  for (const run of readGoldenJson<{ runs: readonly StreamingRun[] }>(golden.jsonPath).runs) {
    const samples = readAudio(golden, run.audio);
    if (samples === null) continue;
    const { options } = run;
    const calls: StreamingRun["calls"][number][] = [];
    let last = { text: "", language: "" };
    const stream = streamTranscripts(
      feed(samples, run.feed_sizes),
      {
        maxTokens: run.max_new_tokens_per_call,
        ...(options.chunk_size_sec === undefined ? {} : { chunkSeconds: options.chunk_size_sec }),
        ...(options.context === undefined ? {} : { prompt: options.context }),
        ...(options.language === undefined ? {} : { language: options.language }),
      },
      model.tokenizer,
      async (piece) => {
        const traced = new Traced();
        const [result] = await model.recognize([piece], { trace: traced.sink, repetitionGuard: false });
        calls.push({
          audio_samples: piece.samples.length,
          prompt_ids: [...traced.tensors.get("prompt_ids")!.data],
          generated_ids: result!.ids,
        });
        return [result!];
      },
      {
        ...(options.unfixed_chunk_num === undefined ? {} : { unfixedChunks: options.unfixed_chunk_num }),
        ...(options.unfixed_token_num === undefined ? {} : { unfixedTokens: options.unfixed_token_num }),
      },
    );
    for await (const { text, language } of stream) last = { text, language };
    expect(calls).toEqual(
      run.calls.map(({ audio_samples, prompt_ids, generated_ids }) => ({
        audio_samples,
        prompt_ids,
        generated_ids,
      })),
    );
    const { text, language } = run.steps.at(-1)!;
    expect(last).toEqual({ text, language });
  }
}

interface TranscribeCase {
  readonly audio: readonly { readonly file: string }[];
  readonly context: string | readonly string[];
  readonly language: string | null | readonly (string | null)[];
  readonly return_time_stamps: boolean;
  readonly max_new_tokens: number;
  readonly max_inference_batch_size: number;
  readonly results: readonly {
    readonly language: string;
    readonly text: string;
    readonly time_stamps: readonly AlignedItem[] | null;
  }[];
}

/** The official package's `transcribe`, through ours without voice activity detection. */
async function checkTranscribe(
  model: Qwen3AsrModel,
  golden: GoldenCase,
  backend: GoldenBackend,
  tally: GoldenTally,
): Promise<void> {
  const json = readGoldenJson<{ aligner?: string; cases: readonly TranscribeCase[] }>(golden.jsonPath);
  const alignerVariant = variants.find(
    ({ folder }) => json.aligner !== undefined && join(dirname(golden.jsonPath), json.aligner) === folder,
  );
  const alignerModel = alignerVariant === undefined ? null : await models.of(alignerVariant, backend);
  for (const item of json.cases) {
    if (item.audio.length > 1 && item.max_inference_batch_size !== 1) continue; // upstream's batches change results
    for (const [i, { file }] of item.audio.entries()) {
      const expected = item.results[i]!;
      const samples = readAudio(golden, file) ?? storedAudio(golden, file);
      if (samples === null || (item.return_time_stamps && alignerModel === null)) {
        tally.skipped.add(`${golden.name}: ${samples === null ? file : "time stamps"}`);
        continue;
      }
      const language = typeof item.language === "object" ? item.language?.[i] : item.language;
      const transcript = await transcribe(
        model,
        { samples, sampleRate: 16000 },
        {
          vad: false,
          maxTokens: item.max_new_tokens,
          prompt: typeof item.context === "string" ? item.context : item.context[i]!,
          ...(language == null ? {} : { language }),
          ...(item.return_time_stamps
            ? { timestamps: "word" as const, aligner: new Qwen3ForcedAligner(alignerModel!) }
            : {}),
        },
        factsOf(model),
      );
      expect({ text: transcript.text, language: transcript.language }).toEqual({
        text: expected.text,
        language: expected.language,
      });
      if (!item.return_time_stamps) continue;
      const words = transcript.segments.flatMap((segment) => segment.words ?? []);
      expect(words.map(({ text, start, end }) => ({ text, start_time: start, end_time: end }))).toEqual(
        expected.time_stamps,
      );
    }
  }
}

/** By what is compared of a case. */
const CHECKS: Readonly<
  Record<
    string,
    (model: Qwen3AsrModel, golden: GoldenCase, backend: GoldenBackend, tally: GoldenTally) => Promise<void>
  >
> = { streaming: checkStreaming, transcribe: checkTranscribe };

if (variants.length === 0) test.skip("there are no reference checkpoints", () => undefined);

for (const variant of variants) {
  const tally = new GoldenTally();
  const runnable = variant.cases.flatMap((golden) => {
    const check = CHECKS[kindOf(golden) ?? ""];
    return check === undefined ? [] : [{ name: golden.name, golden, check }];
  });
  if (runnable.length === 0) continue;

  describe(`${FAMILY}/${variant.name}`, () => {
    afterAll(() => tally.report(FAMILY, variant));

    describe.each(GOLDEN_BACKENDS)("%s", (backend) => {
      test.each(runnable)("$name", async ({ golden, check }) => {
        const model = await models.of(variant, backend);
        if (model === null) {
          tally.skipped.add(`backend ${backend}`);
          return;
        }
        tally.cases.add(golden.name);
        await check(model, golden, backend, tally);
      });
    });
  });
}

afterAll(async () => {
  for (const model of await models.all()) await model.dispose();
});
