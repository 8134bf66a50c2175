import { quantizeProfileOf as profileOf } from "@voxquant/cli-core";
import { GENERIC_PROFILE, type QuantizeProfile } from "@voxquant/quant-core";
import { CATALOGUE } from "./catalogue.js";

/**
 * How a checkpoint of this family is quantized; one whose family is not known gets the general rules.
 * @throws ConfigError for a model of another command, which it names
 */
export async function quantizeProfileOf(input: string): Promise<QuantizeProfile> {
  const asr = await import("@voxquant/asr-model");
  return profileOf(input, CATALOGUE.program, async (family, files) => {
    if (family?.family !== "qwen3-asr" && family?.family !== "qwen3-forced-aligner") return GENERIC_PROFILE;
    const hasConfig = (await files.readText("config.json")) !== null;
    return hasConfig ? asr.qwen3AsrQuantizeProfile(files) : asr.QWEN3_ASR_QUANTIZE_PROFILE;
  });
}
