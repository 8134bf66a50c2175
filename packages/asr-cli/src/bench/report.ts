import { duration, percent, type Report } from "@voxquant/cli-core";
import type { AsrBench } from "./measurement.js";

/** More word errors than before by this count as worse: 0.2 points. */
const WER_TOLERANCE = 0.002;

export const ASR_REPORT: Report<AsrBench> = {
  qualityColumns: [
    { title: "WER", cell: ({ wer }) => percent(wer) },
    { title: "CER", cell: ({ cer }) => percent(cer) },
  ],
  stageColumns: [
    { title: "audio", cell: ({ audio_ms }) => duration(audio_ms) },
    { title: "features", cell: ({ features_ms }) => duration(features_ms) },
    { title: "encoder", cell: ({ encoder_ms }) => duration(encoder_ms) },
    {
      title: "prefill (tokens)",
      cell: ({ prefill_ms, prefill_tokens }) => `${duration(prefill_ms)} (${prefill_tokens})`,
    },
    {
      title: "per token (tokens, from)",
      cell: ({ decode_ms_per_token, decode_tokens, decode_context }) =>
        `${duration(decode_ms_per_token)} (${decode_tokens}${decode_context === null ? "" : ` from ${decode_context}`})`,
    },
    { title: "first token", cell: ({ ttft_ms }) => duration(ttft_ms) },
  ],
  stages: [
    { name: "audio", metric: "audio_ms" },
    { name: "features", metric: "features_ms" },
    { name: "encoder", metric: "encoder_ms" },
    { name: "prefill", metric: "prefill_ms" },
    { name: "decode", metric: "decode_ms" },
  ],
  compared: ["load_ms", "encoder_ms", "prefill_ms", "decode_ms_per_token", "total_ms", "peak_rss_bytes"],
  worse: (now, before) =>
    before.wer != null && now.wer !== null && now.wer > before.wer + WER_TOLERANCE ? ["errors"] : [],
  pointNote: ({ wer }) => (wer === null ? "" : `WER ${percent(wer)}`),
  method: ({ wer_against }) => (wer_against === null ? "" : `WER and CER against the ${wer_against}.`),
};
