import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { speechSegments, VadIterator, type SpeechSegmentParams } from "./speech-segments.js";

type GoldenParams = Record<string, number | boolean>;

function paramsOf(golden: GoldenParams): SpeechSegmentParams {
  const names: Record<string, keyof SpeechSegmentParams> = {
    threshold: "threshold",
    neg_threshold: "negThreshold",
    min_speech_duration_ms: "minSpeechMs",
    max_speech_duration_s: "maxSpeechSeconds",
    min_silence_duration_ms: "minSilenceMs",
    speech_pad_ms: "padMs",
    min_silence_at_max_speech: "minSilenceAtMaxSpeechMs",
    use_max_poss_sil_at_max_speech: "cutAtLongestSilence",
  };
  return Object.fromEntries(
    Object.entries(golden)
      .filter(([name]) => name !== "return_seconds" && name !== "time_resolution")
      .map(([name, value]) => {
        if (names[name] === undefined) throw new Error(`golden parameter ${name} is new`);
        return [names[name], value];
      }),
  );
}

const runsPath = goldensFolder("pipeline", "silero", "segments.json");
const signalsPath = goldensFolder("pipeline", "silero", "silero.json");

describe("get_speech_timestamps", () => {
  if (runsPath === null || signalsPath === null) {
    test.skip("no goldens", () => undefined);
    return;
  }
  const runs = readGoldenJson<{
    param_sets: GoldenParams[];
    rows: { name: string; runs: string; segments_per_param_set: number[][][] }[];
  }>(runsPath);
  test.each(runs.rows.map((row) => [row.name, row] as const))("run %s", (_, row) => {
    const probabilities = row.runs
      .split(" ")
      .filter((run) => run !== "")
      .flatMap((run) => {
        const [value, count] = run.split("x").map(Number);
        return Array.from({ length: count! }, () => value!);
      });
    runs.param_sets.forEach((golden, i) => {
      const segments = speechSegments(probabilities, paramsOf(golden)).map(({ start, end }) => [start, end]);
      expect({ golden, segments }).toEqual({ golden, segments: row.segments_per_param_set[i] });
    });
  });

  const signals = readGoldenJson<{
    rows: {
      signal: string;
      samples: number;
      probs: number[];
      timestamps: { params: GoldenParams; segments: number[][] }[];
      iterator?: { params: GoldenParams; events: { start?: number; end?: number; window: number }[] }[];
    }[];
  }>(signalsPath);
  test.each(signals.rows.map((row) => [row.signal, row] as const))("signal %s", (_, row) => {
    for (const { params, segments } of row.timestamps) {
      const digits = 10 ** Number(params["time_resolution"] ?? 1);
      const seconds = (at: number) =>
        Math.min(Math.round((at / 16000) * digits) / digits, row.samples / 16000);
      const unit = (at: number) => (params["return_seconds"] === true ? seconds(at) : at);
      const found = speechSegments(row.probs, paramsOf(params), row.samples).map((s) => [
        unit(s.start),
        unit(s.end),
      ]);
      expect({ params, segments: found }).toEqual({ params, segments });
    }
    for (const { params, events } of row.iterator ?? []) {
      const iterator = new VadIterator(paramsOf(params));
      const found: object[] = [];
      // the goldens' iterator was given whole windows only
      row.probs.slice(0, Math.floor(row.samples / 512)).forEach((probability, window) => {
        const event = iterator.process(probability);
        if (event !== null) found.push({ ...event, window });
      });
      expect({ params, events: found }).toEqual({ params, events });
    }
  });
});

test("an iterator forgets on reset", () => {
  const iterator = new VadIterator();
  expect(iterator.process(0.9)).toEqual({ start: 0 });
  expect(iterator.process(0.9)).toBeNull();
  iterator.reset();
  expect(iterator.process(0.9)).toEqual({ start: 0 });
});
