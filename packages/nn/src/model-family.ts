import type { Checkpoint } from "@voxquant/quant-core";

/** A kind of speech model, told from its config, and the command of this project that runs it. */
export interface ModelFamily {
  readonly family:
    | "qwen3-asr"
    | "qwen3-forced-aligner"
    | "whisper"
    | "parakeet"
    | "gigaam"
    | "qwen3-tts"
    | "qwen3-tts-codec"
    | "pocket-tts";
  /** For messages. */
  readonly title: string;
  readonly cli: "asr-cli" | "tts-cli";
}

const FAMILIES = {
  qwen3Asr: { family: "qwen3-asr", title: "Qwen3-ASR", cli: "asr-cli" },
  aligner: { family: "qwen3-forced-aligner", title: "Qwen3-ForcedAligner", cli: "asr-cli" },
  whisper: { family: "whisper", title: "Whisper", cli: "asr-cli" },
  parakeet: { family: "parakeet", title: "Parakeet", cli: "asr-cli" },
  gigaam: { family: "gigaam", title: "GigaAM", cli: "asr-cli" },
  qwen3Tts: { family: "qwen3-tts", title: "Qwen3-TTS", cli: "tts-cli" },
  qwen3TtsCodec: { family: "qwen3-tts-codec", title: "Qwen3-TTS-Tokenizer", cli: "tts-cli" },
  pocketTts: { family: "pocket-tts", title: "Pocket TTS", cli: "tts-cli" },
} as const satisfies Record<string, ModelFamily>;

/**
 * The family of a parsed `config.json`, by `model_type` and `architectures`; null for one that is not known here.
 * An aligner calls itself `qwen3_asr` too; its inner `thinker_config.model_type` tells (as upstream does it).
 */
export function detectModelFamily(config: unknown): ModelFamily | null {
  if (!isRecord(config)) return null;
  const architectures = Array.isArray(config["architectures"]) ? config["architectures"] : [];
  const names = [config["model_type"], ...architectures].filter((name) => typeof name === "string");
  const says = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (says(/forced_?aligner/i)) return FAMILIES.aligner;
  if (says(/^qwen3_?asr/i)) {
    const thinker = config["thinker_config"];
    const inner = isRecord(thinker) ? String(thinker["model_type"]) : "";
    return inner.includes("forced_aligner") ? FAMILIES.aligner : FAMILIES.qwen3Asr;
  }
  if (says(/^qwen3_?tts_?tokenizer/i)) return FAMILIES.qwen3TtsCodec;
  if (says(/^qwen3_?tts/i)) return FAMILIES.qwen3Tts;
  if (says(/^whisper/i)) return FAMILIES.whisper;
  if (says(/^parakeet/i)) return FAMILIES.parakeet;
  if (says(/^gigaam/i)) return FAMILIES.gigaam;
  if (says(/^pocket_?tts/i)) return FAMILIES.pocketTts;
  return null;
}

/** The family that a GGUF's `general.architecture` stands for, null for one that is not known here. */
export function familyOfArchitecture(architecture: unknown): ModelFamily | null {
  if (typeof architecture !== "string") return null;
  return detectModelFamily({ model_type: architecture.replaceAll("-", "_") });
}

/** The family that a checkpoint's tensor names give away where it has no config, null if they do not. */
export function familyOfTensors(names: Iterable<string>): ModelFamily | null {
  for (const name of names) {
    for (const [pattern, family] of TENSOR_NAMES) if (pattern.test(name)) return family;
  }
  return null;
}

/** The family of a checkpoint without config, null if nothing in it tells. */
export function familyOfCheckpoint(checkpoint: Pick<Checkpoint, "metadata" | "tensors">): ModelFamily | null {
  return (
    familyOfArchitecture(checkpoint.metadata.get("general.architecture")) ??
    familyOfTensors(checkpoint.tensors.keys())
  );
}

const TENSOR_NAMES: readonly (readonly [RegExp, ModelFamily])[] = [
  [/^thinker\./, FAMILIES.qwen3Asr],
  [/^talker\./, FAMILIES.qwen3Tts],
  [/^model\.(encoder|decoder)\.layers\.\d+\.(self_attn|encoder_attn)\./, FAMILIES.whisper],
  [/^flow_lm\./, FAMILIES.pocketTts],
  [/^(model\.)?encoder\.layers\.\d+\.(conv|feed_forward)/, FAMILIES.parakeet],
];

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
