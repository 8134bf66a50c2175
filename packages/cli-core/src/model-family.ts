import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  ConfigError,
  openCheckpoint,
  openModelFiles,
  type ModelFiles,
  type QuantizeProfile,
} from "@voxquant/quant-core";
import { detectModelFamily, familyOfCheckpoint, type ModelFamily } from "@voxquant/nn";

/**
 * How a checkpoint is quantized.
 * @param program name of the program that is asked
 * @param profileOf the profile of one of its families, or of a checkpoint whose family is not known (null)
 * @throws ConfigError for a model of another program, which it names
 */
export async function quantizeProfileOf(
  input: string,
  program: string,
  profileOf: (family: ModelFamily | null, files: ModelFiles) => Promise<QuantizeProfile>,
): Promise<QuantizeProfile> {
  const checkpoint = await openCheckpoint(input, { map: false });
  try {
    const files = await openModelFiles(input, checkpoint);
    const config = await files.readText("config.json");
    const family =
      config === null ? familyOfCheckpoint(checkpoint) : detectModelFamily(parseConfig(config, input));
    if (family !== null && family.cli !== program) {
      throw new ConfigError(
        `${input} is a ${family.title} model, which this command does not know: use ${family.cli} quantize --input ${input}`,
      );
    }
    return await profileOf(family, files);
  } finally {
    await checkpoint.close();
  }
}

function parseConfig(text: string, input: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError(`${input}: config.json is not JSON: ${(cause as Error).message}`, { cause });
  }
}

/** The family of a model folder whose config.json belongs to another program, null if it does not. */
export async function familyOfOtherProgram(folder: string, program: string): Promise<ModelFamily | null> {
  try {
    const config: unknown = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
    const family = detectModelFamily(config);
    return family !== null && family.cli !== program ? family : null;
  } catch {
    return null; // what is wrong with the folder is told by checking it
  }
}
