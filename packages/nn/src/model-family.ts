import { ConfigError, parseJsonObject, ResourceError, type Checkpoint } from "@voxquant/quant-core";

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

/** What a caller can run. */
export interface ExpectedFamily {
  readonly family: ModelFamily["family"];
  /** `model_type` and title of what is supported, for messages. */
  readonly supported: string;
  /** A family whose tensors have the same names, so that a checkpoint without config may be of either. */
  readonly sameTensors?: ModelFamily["family"];
  /** What another family's checkpoint is to be used with, to follow its location and title. */
  instead(found: ModelFamily, location: string): string;
}

/** @throws ConfigError for the config of another family's model: what it is, and what to do with it */
export function requireFamily(location: string, config: object, expected: ExpectedFamily): void {
  const found = detectModelFamily(config);
  if (found?.family === expected.family) return;
  if (found !== null) throw otherFamily(location, found, expected);
  const type = JSON.stringify((config as { model_type?: unknown }).model_type) ?? "no model_type";
  throw new ConfigError(`${location}: config.json has ${type}; supported: ${expected.supported}`);
}

/** As requireFamily for a checkpoint without config, as far as its metadata and tensor names tell. */
export function refuseOtherFamily(
  checkpoint: Pick<Checkpoint, "location" | "metadata" | "tensors">,
  expected: ExpectedFamily,
  location = checkpoint.location,
): void {
  const found = familyOfCheckpoint(checkpoint);
  if (found === null || found.family === expected.family || found.family === expected.sameTensors) return;
  throw otherFamily(location, found, expected);
}

/**
 * The config of a model of the expected family.
 * @param configJson null if it has none
 * @throws ConfigError for another family's model, ResourceError if it has none
 */
export function requireConfig(
  location: string,
  configJson: string | null,
  checkpoint: Pick<Checkpoint, "location" | "format" | "metadata" | "tensors">,
  expected: ExpectedFamily,
): string {
  if (configJson === null) {
    refuseOtherFamily(checkpoint, expected, location);
    const where = checkpoint.format === "gguf" ? " (neither in the file nor beside it)" : "";
    throw new ResourceError(
      `${location}: config.json is missing${where}; ` +
        "fetch the whole model folder, or quantize it with --scope all into one file",
    );
  }
  const config = parseJsonObject(configJson);
  if (config !== null) requireFamily(location, config, expected);
  return configJson;
}

function otherFamily(location: string, found: ModelFamily, expected: ExpectedFamily): ConfigError {
  return new ConfigError(`${location} is a ${found.title} model${expected.instead(found, location)}`);
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
