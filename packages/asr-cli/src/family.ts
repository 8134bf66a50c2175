import type { ModelFamily } from "@voxquant/asr-model";
import {
  ConfigError,
  GENERIC_PROFILE,
  openCheckpoint,
  openModelFiles,
  type QuantizeProfile,
} from "@voxquant/quant-core";

/**
 * How a checkpoint of this family is quantized; one whose family is not known gets the general rules.
 * @throws ConfigError for a model of another command, which it names
 */
export async function quantizeProfileOf(input: string): Promise<QuantizeProfile> {
  const asr = await import("@voxquant/asr-model");
  const checkpoint = await openCheckpoint(input, { map: false });
  try {
    const files = await openModelFiles(input, checkpoint);
    const config = await files.readText("config.json");
    const architecture = checkpoint.metadata.get("general.architecture");
    const family = asr.detectModelFamily(
      config === null
        ? { model_type: String(architecture).replaceAll("-", "_") }
        : parseConfig(config, input),
    );
    if (family !== null && family.cli !== "asr-cli") throw new ConfigError(otherCommand(input, family));
    if (family?.family !== "qwen3-asr" && family?.family !== "qwen3-forced-aligner") return GENERIC_PROFILE;
    return config === null ? asr.QWEN3_ASR_QUANTIZE_PROFILE : await asr.qwen3AsrQuantizeProfile(files);
  } finally {
    await checkpoint.close();
  }
}

function otherCommand(input: string, { title, cli }: ModelFamily): string {
  return `${input} is a ${title} model, which this command does not know: use ${cli} quantize --input ${input}`;
}

function parseConfig(text: string, input: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`${input}: config.json is not JSON: ${(cause as Error).message}`, { cause });
  }
}
