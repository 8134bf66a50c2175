import { goldenVariants, readGoldenJson } from "@voxquant/goldens";
import { ConfigError } from "@voxquant/quant-core";
import { ByteLevelBpe } from "@voxquant/text";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { normalizeLanguage } from "./languages.js";
import { buildPrompt } from "./prompt.js";
import { rollBack, rollBackAtEnd, StreamingTranscript } from "./streaming-rules.js";

interface StreamingRun {
  audio: string;
  feed_sizes: number[];
  options: {
    chunk_size_sec?: number;
    unfixed_chunk_num?: number;
    unfixed_token_num?: number;
    context?: string;
    language?: string;
  };
  steps: {
    event: string;
    chunk_id: number;
    buffered: number;
    accumulated: number;
    language: string;
    text: string;
    raw_decoded: string;
    calls_so_far: number;
  }[];
  calls: { audio_samples: number; prompt_ids: number[]; generated_ids: number[]; prefix: string }[];
}

const variants = goldenVariants("qwen3-asr").filter(({ cases }) =>
  cases.some(({ name }) => name === "streaming"),
);

function readTokenizer(folder: string): ByteLevelBpe {
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  return ByteLevelBpe.fromFiles({
    vocabJson: read("vocab.json"),
    mergesTxt: read("merges.txt"),
    tokenizerConfigJson: read("tokenizer_config.json"),
  });
}

for (const variant of variants) {
  test(`replays the streams of ${variant.name}`, async () => {
    const tokenizer = readTokenizer(variant.folder);
    const { thinker_config: config } = JSON.parse(
      readFileSync(join(variant.folder, "config.json"), "utf8"),
    ) as {
      thinker_config: Record<string, number>;
    };
    const tokens = {
      audioStartId: config["audio_start_token_id"]!,
      audioTokenId: config["audio_token_id"]!,
      audioEndId: config["audio_end_token_id"]!,
    };
    const golden = variant.cases.find(({ name }) => name === "streaming")!;
    for (const run of readGoldenJson<{ runs: StreamingRun[] }>(golden.jsonPath).runs) {
      const { options } = run;
      const language = options.language === undefined ? null : normalizeLanguage(options.language);
      const given = Object.entries({
        chunkSeconds: options.chunk_size_sec,
        unfixedChunks: options.unfixed_chunk_num,
        unfixedTokens: options.unfixed_token_num,
      }).filter(([, value]) => value !== undefined);
      let calls = 0;
      const stream = new StreamingTranscript(
        tokenizer,
        { ...Object.fromEntries(given), language },
        ({ audio, prefix }) => {
          const call = run.calls[calls++]!;
          expect([audio.length, prefix]).toEqual([call.audio_samples, call.prefix]);
          expect(audio.every((sample, i) => sample === Math.fround((i % 100) / 32768))).toBe(true);
          const audioTokens = call.prompt_ids.filter((id) => id === tokens.audioTokenId).length;
          const request = { context: options.context ?? "", language, audioTokens, answer: prefix };
          expect(buildPrompt(tokenizer, tokens, request)).toEqual(call.prompt_ids);
          return Promise.resolve(call.generated_ids);
        },
      );
      let at = 0;
      for (const step of run.steps) {
        const before = calls;
        const samples = Int16Array.from(
          { length: Number(step.event.split(" ")[1] ?? 0) },
          (_, i) => (at + i) % 100,
        );
        at += samples.length;
        const stepped = await (step.event === "finish" ? stream.finish() : stream.push(samples));
        expect(stepped).toBe(calls > before);
        expect({
          event: step.event,
          chunk_id: stream.steps,
          buffered: stream.bufferedSamples,
          accumulated: stream.heardSamples,
          language: stream.language,
          text: stream.text,
          raw_decoded: stream.answer,
          calls_so_far: calls,
        }).toEqual(step);
      }
      expect(calls).toBe(run.calls.length);
    }
  });
}

for (const variant of variants) {
  test(`rolls back whole characters with ${variant.name}`, () => {
    const tokenizer = readTokenizer(variant.folder);
    const answer = "ab\u{10fffd}"; // a character that no vocabulary has whole
    const count = tokenizer.encode(answer).length;
    const letters = tokenizer.encode("ab").length;
    expect(count - letters).toBeGreaterThan(1);
    expect(rollBack(tokenizer, answer, 1)).toBe("ab");
    expect(rollBackAtEnd(tokenizer, answer, 1)).toBe("ab\ufffd");
    expect(rollBack(tokenizer, answer, 0)).toBe(answer);
    expect([
      rollBack(tokenizer, answer, 100),
      rollBack(tokenizer, "", 5),
      rollBackAtEnd(tokenizer, "", 5),
    ]).toEqual(["", "", ""]);
    expect(tokenizer.encode(rollBackAtEnd(tokenizer, "ab", 100))).toHaveLength(1);
  });
}

test.each([{ chunkSeconds: 0 }, { chunkSeconds: NaN }, { unfixedChunks: -1 }, { unfixedTokens: 1.5 }])(
  "%j is an error",
  (options) => {
    const make = (): unknown =>
      new StreamingTranscript(null as unknown as ByteLevelBpe, { ...options, language: null }, () =>
        Promise.resolve([]),
      );
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(new RegExp(`${Object.keys(options)[0]!} is`));
  },
);
