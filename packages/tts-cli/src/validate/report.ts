import type { AudioMetric, AudioMetrics, ValidationReport } from "@voxquant/acoustic-model";
import { duration, formatBytes, type RunResult } from "@voxquant/cli-core";
import type { ValidateBench } from "./job.js";

/** One of the two models, with what its process measured. */
export interface ComparedModel {
  readonly location: string;
  readonly fileBytes: number;
  readonly precision: string;
  readonly result: RunResult<ValidateBench>;
}

export interface Comparison {
  readonly reference: ComparedModel;
  readonly candidate: ComparedModel;
  readonly report: ValidationReport;
}

/** A table of the report as text; all columns but the first are numbers. */
export interface ReportTable {
  readonly title: string;
  readonly note: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const NOT_AVAILABLE = "n/a";

const share = (value: number): string =>
  Number.isNaN(value) ? NOT_AVAILABLE : `${(100 * value).toFixed(2)} %`;

const METRICS: Readonly<Record<AudioMetric, { title: string; digits: number }>> = {
  snr: { title: "waveform SNR, dB", digits: 1 },
  logSpectralDistance: { title: "log-spectral distance, dB", digits: 2 },
  melCepstralDistortion: { title: "mel cepstral distortion, dB", digits: 2 },
  melDistance: { title: "mel distance, mean |Δ ln mel|", digits: 3 },
  melCorrelation: { title: "mel correlation", digits: 4 },
  stoi: { title: "STOI", digits: 4 },
};

/** Everything that is said about a comparison, but for the sentences. */
export function reportTables({ reference, candidate, report }: Comparison): ReportTable[] {
  return [costs(reference, candidate), codes(report), similarity(report)];
}

function costs(reference: ComparedModel, candidate: ComparedModel): ReportTable {
  const bytes = (value: number | null): string => (value === null ? NOT_AVAILABLE : formatBytes(value));
  const row = (
    title: string,
    pick: (model: ComparedModel) => number | null,
    show: (value: number | null) => string,
  ): string[] => {
    const [a, b] = [pick(reference), pick(candidate)];
    const ratio = a === null || b === null || a === 0 ? NOT_AVAILABLE : (b / a).toFixed(2);
    return [title, show(a), show(b), ratio];
  };
  const time = (title: string, name: keyof ComparedModel["result"]["metrics"]): string[] =>
    row(title, ({ result }) => result.metrics[name], duration);
  const memory = (title: string, name: keyof ComparedModel["result"]["metrics"]): string[] =>
    row(title, ({ result }) => result.metrics[name], bytes);
  const what = (title: string, pick: (model: ComparedModel) => string): string[] => [
    title,
    pick(reference),
    pick(candidate),
    "",
  ];
  return {
    title: "Cost",
    note: "Each model in a process of its own, after a warm-up; times of the free speech.",
    header: ["", "reference", "candidate", "ratio"],
    rows: [
      what("weights", ({ result }) => result.weightTypes),
      what("precision", ({ precision }) => precision),
      what("backend", ({ result }) => `${result.backend} (${result.isa}), threads ${result.threads}`),
      row("file", ({ fileBytes }) => fileBytes, bytes),
      time("load", "load_ms"),
      time("prompts", "prompt_ms"),
      time("talker per frame", "talker_ms_per_frame"),
      time("code predictor per frame", "predictor_ms_per_frame"),
      time("codec per frame", "codec_ms_per_frame"),
      row(
        "RTF",
        ({ result }) => result.metrics.rtf,
        (value) => value!.toFixed(3),
      ),
      memory("peak RSS", "peak_rss_bytes"),
      memory("private memory", "private_bytes"),
      memory("mapped files", "mapped_bytes"),
    ],
  };
}

function codes({ forcedAgreement, freeAgreement, ...report }: ValidationReport): ReportTable {
  const { sentences, endAgreement, lengthRatio, equalLengths } = report;
  return {
    title: "Equal codes",
    note:
      `Teacher-forced: the most likely code at each place of the reference's speech (${forcedAgreement.frames} frames); free: as both go on by themselves. ` +
      `End of speech agrees in ${endAgreement} of ${sentences.length} sentences; free speech has ${share(lengthRatio)} of the reference's length, ${equalLengths} of ${sentences.length} sentences are equally long.`,
    header: ["codebook", "teacher-forced", "free"],
    rows: [
      ...forcedAgreement.byCodebook.map((forced, k) => [
        String(k),
        share(forced),
        share(freeAgreement.byCodebook[k]!),
      ]),
      ["all", share(forcedAgreement.all), share(freeAgreement.all)],
    ],
  };
}

function similarity({ codec, forced, free, alignedDistortion, ...report }: ValidationReport): ReportTable {
  const { equalLengths, sentences } = report;
  const value = (metrics: AudioMetrics | null, name: AudioMetric): string => {
    const number = metrics?.[name] ?? NaN;
    if (number === Infinity) return "equal";
    return Number.isNaN(number) ? NOT_AVAILABLE : number.toFixed(METRICS[name].digits);
  };
  return {
    title: "Similarity of the sound",
    note:
      "Medians over the sentences. Same codes: what the codec's weights change; teacher-forced: code choices along the reference's speech, too; " +
      `free: the ${equalLengths} of ${sentences.length} sentences that are equally long. ` +
      `Mel cepstral distortion of all free speech, aligned in time: ${alignedDistortion.toFixed(2)} dB.`,
    header: ["", "same codes", "teacher-forced", "free"],
    rows: Object.entries(METRICS).map(([name, { title }]) => [
      title,
      value(codec, name as AudioMetric),
      value(forced, name as AudioMetric),
      value(free, name as AudioMetric),
    ]),
  };
}

/** The comparison as one JSON object; infinite and undefined values become null. */
export function reportJson({ reference, candidate, report }: Comparison): object {
  const model = ({ location, fileBytes, precision, result }: ComparedModel): object => {
    const { metrics, backend, isa, threads, weightTypes, audioSeconds, detail } = result;
    return {
      model: location,
      weight_types: weightTypes,
      backend,
      isa,
      threads,
      precision,
      file_bytes: fileBytes,
      audio_s: audioSeconds,
      ...metrics,
      sentences: detail.sentences,
    };
  };
  return { reference: model(reference), candidate: model(candidate), report };
}
