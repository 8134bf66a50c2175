import { quantizeProfileOf as profileOf } from "@voxquant/cli-core";
import { GENERIC_PROFILE, type QuantizeProfile } from "@voxquant/quant-core";
import { CATALOGUE } from "./catalogue.js";

/**
 * How a checkpoint of this family is quantized; one whose family is not known gets the general rules.
 * @throws ConfigError for a model of another command, which it names
 */
export async function quantizeProfileOf(input: string): Promise<QuantizeProfile> {
  const { qwen3TtsQuantizeProfile } = await import("@voxquant/acoustic-model");
  return profileOf(input, CATALOGUE.program, (family, files) =>
    family?.family === "qwen3-tts" ? qwen3TtsQuantizeProfile(files) : Promise.resolve(GENERIC_PROFILE),
  );
}
