import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readWav, toMono } from "@voxquant/audio";
import {
  compareTensor,
  GOLDEN_BACKENDS,
  GoldenModels,
  goldenVariants,
  readGoldenJson,
  readTensors,
  ToleranceRules,
  type GoldenCase,
} from "@voxquant/goldens";
import { openCheckpoint, openModelFiles, Runtime, selectDevice } from "@voxquant/quant-core";
import { VoiceCloner } from "./clone-prompt.js";
import { parseCodecConfig } from "./codec/config.js";
import { CodecDecoder } from "./codec/decoder.js";
import { CodecWeights } from "./codec/weights.js";
import { Qwen3TtsModel } from "./model.js";

const FAMILY = "qwen3-tts";
const rules = new ToleranceRules(FAMILY);

/** A voice clone from a recording to a waveform. */
interface EndToEndCase {
  readonly call: {
    readonly text: string;
    readonly language: string | null;
    readonly non_streaming_mode: boolean;
    readonly max_new_tokens: number;
  };
  readonly rows: readonly { readonly decode: { readonly samples_dropped: number } }[];
  readonly end_to_end: {
    readonly ref_audio: string;
    readonly ref_text: string | null;
    readonly x_vector_only_mode: boolean;
  };
}

const isEndToEnd = (golden: GoldenCase) =>
  golden.tensorsPath !== null &&
  readGoldenJson<Partial<EndToEndCase>>(golden.jsonPath).end_to_end !== undefined;

const variants = goldenVariants(FAMILY).filter((variant) => variant.cases.some(isEndToEnd));

const models = new GoldenModels(async ({ folder }, backend) => {
  const runtime = new Runtime((await selectDevice(backend)).device, "exact");
  const parts = {
    location: folder,
    main: await openCheckpoint(folder),
    talker: null,
    files: await openModelFiles(folder),
  };
  const talker = await Qwen3TtsModel.load(parts, runtime);
  const codecFolder = join(folder, "speech_tokenizer");
  const codecConfig = parseCodecConfig(readFileSync(join(codecFolder, "config.json"), "utf8"), folder);
  const codecWeights = new CodecWeights(await openCheckpoint(codecFolder), codecConfig);
  const { config, weights, location } = talker;
  return {
    talker,
    cloner: new VoiceCloner(runtime, { location, config, weights, codecConfig, codecWeights }),
    decoder: await CodecDecoder.load(runtime, codecWeights, codecConfig),
  };
});

if (variants.length === 0) test.skip("no end-to-end cases", () => undefined);

for (const variant of variants) {
  describe.each(GOLDEN_BACKENDS)(`${variant.name} on %s`, (backend) => {
    for (const golden of variant.cases.filter(isEndToEnd)) {
      test(golden.name, async () => {
        const model = await models.of(variant, backend);
        if (model === null) return;
        const { call, rows, end_to_end: reference } = readGoldenJson<EndToEndCase>(golden.jsonPath);
        const tensors = readTensors(golden.tensorsPath!);
        const failures: string[] = [];
        /** `rule`: the name whose tolerance counts, where the case itself has the tensor as an input. */
        const compare = (name: string, actual: ArrayLike<number>, rule = name, from = 0) => {
          const expected = tensors.get(name);
          if (expected === undefined) return;
          const rest = { ...expected, data: expected.data.subarray(from) };
          const result = compareTensor(name, actual, rest, rules.find(variant.name, golden.name, rule));
          if (!result.ok) failures.push(result.message);
        };

        const wav = readWav(readFileSync(join(dirname(golden.jsonPath), reference.ref_audio)));
        const voice = await model.cloner.create(
          { samples: toMono(wav), sampleRate: wav.sampleRate },
          reference.x_vector_only_mode ? {} : { text: reference.ref_text! },
        );
        compare("ref_spk_embedding.0", voice.xVector, "xvector");
        compare("ref_codes.0", voice.referenceCodes ?? [], "codes");

        const [speech] = await model.talker.generate([
          {
            text: call.text,
            ...(call.language !== null && { language: call.language }),
            voice,
            streamingText: !call.non_streaming_mode,
            temperature: 0,
            predictor: { temperature: 0 },
            maxFrames: call.max_new_tokens - 1,
            guards: false,
          },
        ]);
        compare("codes", speech!.codes);

        const stream = model.decoder.createStream();
        if (voice.referenceCodes !== null) await stream.prime(voice.referenceCodes);
        const samples = await stream.decode(speech!.codes);
        stream.dispose();
        // The reference cuts at a rounded share of the samples, in a few cases one sample early.
        const { groups, samplesPerFrame } = model.decoder.config;
        const primed = ((voice.referenceCodes?.length ?? 0) / groups) * samplesPerFrame;
        compare("wav", samples, "wav", primed - rows[0]!.decode.samples_dropped);
        expect(failures).toEqual([]);
      });
    }
  });
}
