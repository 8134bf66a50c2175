import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { goldenVariants } from "@voxquant/goldens";
import { openCheckpoint, openModelFiles } from "@voxquant/quant-core";
import { estimateTtsMemory } from "./memory.js";
import { parseQwen3TtsConfig } from "./qwen3-tts/config.js";

const MINI = fileURLToPath(new URL("../../../models/qwen3-tts-mini", import.meta.url));

const folders = [MINI, ...goldenVariants("qwen3-tts").map(({ folder }) => folder)];

test("caches of both stages, weights of all parts", async () => {
  for (const folder of folders.filter((path) => existsSync(join(path, "config.json")))) {
    const files = await openModelFiles(folder);
    const { talker, predictor, codeGroups } = parseQwen3TtsConfig(
      (await files.readText("config.json"))!,
      null,
      folder,
    );
    const checkpoint = await openCheckpoint(folder);
    const { weightsBytes, kvBytes, scratchBytes } = estimateTtsMemory(checkpoint, 100);
    const perPosition = ({ layers, kvHeads, headDim }: typeof talker | typeof predictor) =>
      2 * layers * kvHeads * headDim * 4;
    expect(kvBytes).toBe(100 * perPosition(talker) + codeGroups * perPosition(predictor));
    expect(weightsBytes).toBe(
      [...checkpoint.tensors.values()].reduce((sum, info) => sum + info.byteLength, 0),
    );
    expect(scratchBytes).toBeGreaterThan(0);
  }
});
