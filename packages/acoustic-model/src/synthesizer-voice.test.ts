import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readWav, toMono } from "@voxquant/audio";
import { goldenVariants, readGoldenJson, readTensors, type GoldenCase } from "@voxquant/goldens";
import { ConfigError } from "@voxquant/quant-core";
import { loadTtsModel } from "./load.js";
import { writeScript } from "./synthesizer-script.js";
import type { TtsModel, Voice } from "./tts-model.js";

/** A voice clone from a recording to a waveform. */
interface CloneCase {
  readonly call: {
    readonly text: string;
    readonly language: string | null;
    readonly non_streaming_mode: boolean;
    readonly max_new_tokens: number;
  };
  readonly end_to_end: {
    readonly ref_audio: string;
    readonly ref_text: string | null;
    readonly x_vector_only_mode: boolean;
  };
}

const isClone = ({ jsonPath, tensorsPath }: GoldenCase) =>
  tensorsPath !== null && readGoldenJson<Partial<CloneCase>>(jsonPath).end_to_end !== undefined;

const variants = goldenVariants("qwen3-tts").filter(({ cases }) => cases.some(isClone));
if (variants.length === 0) test.skip("no end-to-end cases", () => undefined);

describe.each(variants)("a cloned voice: $name", ({ folder, cases }) => {
  let model: TtsModel;
  beforeAll(async () => {
    model = await loadTtsModel(folder, { precision: "exact" });
  });
  afterAll(() => model.dispose());

  async function voiceOf(golden: GoldenCase): Promise<Voice> {
    const { ref_audio, ref_text, x_vector_only_mode } = readGoldenJson<CloneCase>(golden.jsonPath).end_to_end;
    const wav = readWav(readFileSync(join(dirname(golden.jsonPath), ref_audio)));
    const audio = { samples: toMono(wav), sampleRate: wav.sampleRate };
    return model.createVoice(audio, x_vector_only_mode ? {} : { text: ref_text! });
  }

  test.each(cases.filter(isClone))("$name: speaks the official package's codes", async (golden) => {
    const { call } = readGoldenJson<CloneCase>(golden.jsonPath);
    const { sentences } = writeScript(call.text, { normalize: false, language: "auto" });
    if (sentences.length !== 1 || sentences[0]!.text !== call.text) return; // the package does not cut texts
    const options = {
      voice: await voiceOf(golden),
      ...(call.language === null ? {} : { language: call.language }),
      streamingText: !call.non_streaming_mode,
      temperature: 0,
      normalize: false,
      maxSeconds: (call.max_new_tokens - 0.5) / model.info.frameRate,
    };
    const speech = await model.synthesizeToBuffer(call.text, options);
    const { codes, stopReason } = speech.sentences[0]!;
    const tensors = readTensors(golden.tensorsPath!);
    // The guards may cut what random weights say.
    const expected = [...tensors.get("codes")!.data];
    if (stopReason === "eos" || stopReason === "length") expect([...codes]).toEqual(expected);
    else expect([...codes]).toEqual(expected.slice(0, codes.length));
    const streamed: number[] = [];
    for await (const { samples } of model.synthesize(call.text, options)) streamed.push(...samples);
    expect(streamed).toEqual([...speech.samples]);
    // The recording is continued, not begun anew: the same codes sound differently without it.
    if (options.voice.referenceCodes === null) return;
    const wav = tensors.get("wav")!.data;
    const { length } = speech.samples;
    const fade = Math.round(0.005 * model.info.sampleRate);
    const dropped =
      wav.length - (expected.length / model.info.codeGroups) * (model.info.sampleRate / model.info.frameRate);
    for (let i = fade; i < length - fade; i++) expect(streamed[i]!).toBeCloseTo(wav[i + dropped]!, 3);
  });

  test("what does not fit is refused", async () => {
    const voice = await voiceOf(cases.find(isClone)!);
    const say = (options: object) =>
      model.synthesizeToBuffer("Hello there.", { maxSeconds: 0.5, ...options });
    await expect(say({})).rejects.toThrow(/base checkpoint has no voice of its own/);
    await expect(say({ voice, speaker: "nobody" })).rejects.toThrow(/speaker "nobody"/);
    const narrow = { ...voice, xVector: voice.xVector.subarray(1) };
    await expect(say({ voice: narrow })).rejects.toThrow(ConfigError);
    await expect(say({ voice: narrow })).rejects.toThrow(/x-vector of \d+, this checkpoint needs \d+/);
    const ragged = { ...voice, referenceCodes: Int32Array.of(1), referenceText: "Hello" };
    await expect(say({ voice: ragged })).rejects.toThrow(/1 reference codes, which are no frames/);
    const outside = { ...ragged, referenceCodes: new Int32Array(model.info.codeGroups).fill(1 << 20) };
    await expect(say({ voice: outside })).rejects.toThrow(/reference code 1048576 at 0/);
  });
});
