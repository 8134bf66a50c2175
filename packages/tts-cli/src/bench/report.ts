import { duration, percent, type Report } from "@voxquant/cli-core";
import type { TtsBench } from "./measurement.js";

/** More word errors than before by this count as worse: 0.2 points. */
const WER_TOLERANCE = 0.002;

export const TTS_REPORT: Report<TtsBench> = {
  qualityColumns: [
    { title: "equal codes", cell: ({ code_agreement }) => percent(code_agreement) },
    { title: "length", cell: ({ length_ratio }) => percent(length_ratio) },
    { title: "WER", cell: ({ wer }) => percent(wer) },
  ],
  stageColumns: [
    {
      title: "prompt (tokens)",
      cell: ({ prompt_ms, prompt_tokens }) => `${duration(prompt_ms)} (${prompt_tokens})`,
    },
    { title: "frames", cell: ({ frames, batch }) => `${frames}${batch === 1 ? "" : ` (${batch} at once)`}` },
    { title: "talker per frame", cell: ({ talker_ms_per_frame }) => duration(talker_ms_per_frame) },
    { title: "predictor per frame", cell: ({ predictor_ms_per_frame }) => duration(predictor_ms_per_frame) },
    { title: "codec per frame", cell: ({ codec_ms_per_frame }) => duration(codec_ms_per_frame) },
    { title: "first audio", cell: ({ first_audio_ms }) => duration(first_audio_ms) },
    { title: "after the prompt", cell: (summary) => duration(summary.first_audio_after_prompt_ms) },
  ],
  stages: [
    { name: "prompt", metric: "prompt_ms" },
    { name: "talker", metric: "talker_ms" },
    { name: "code predictor", metric: "predictor_ms" },
    { name: "codec", metric: "codec_ms" },
  ],
  compared: [
    "load_ms",
    "prompt_ms",
    "talker_ms_per_frame",
    "predictor_ms_per_frame",
    "codec_ms_per_frame",
    "first_audio_ms",
    "total_ms",
    "peak_rss_bytes",
  ],
  worse: (now, before) =>
    before.wer != null && now.wer !== null && now.wer > before.wer + WER_TOLERANCE ? ["errors"] : [],
  pointNote: ({ wer, code_agreement }) => {
    if (wer !== null) return `WER ${percent(wer)}`;
    return code_agreement === null ? "" : `${percent(code_agreement)} equal codes`;
  },
  method: ({ code_agreement, wer }) => {
    const said = [];
    if (code_agreement !== null) said.push("Codes and lengths against the float run, each speaking freely.");
    if (wer !== null) said.push("WER of what a recogniser hears, against the text.");
    return said.join(" ");
  },
};
