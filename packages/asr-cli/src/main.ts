import {
  entryPoints,
  inspectCommand,
  modelsCommand,
  quantizeCommand,
  versionOf,
  type Program,
} from "@voxquant/cli-core";
import { benchCommand } from "./commands/bench.js";
import { imatrixCommand } from "./commands/imatrix.js";
import { transcribeCommand } from "./commands/transcribe.js";
import { quantizeProfileOf } from "./family.js";
import { CATALOGUE } from "./catalogue.js";

const ASR_CLI: Program = {
  name: CATALOGUE.program,
  description: "Speech recognition with quantized models.",
  version: versionOf(new URL("../package.json", import.meta.url)),
  commands: (session) => [
    transcribeCommand(session),
    quantizeCommand(session, {
      profileOf: quantizeProfileOf,
      scopeHelp: "only tensors whose names begin so; 'all' makes one file that is a complete model",
      llamaCppLayout: true,
    }),
    inspectCommand(session, async (checkpoint, contextTokens) => {
      const { estimateMemory } = await import("@voxquant/asr-model");
      return estimateMemory(checkpoint, contextTokens);
    }),
    modelsCommand(session, {
      catalogue: CATALOGUE,
      purpose: "transcribe",
      ggufPart: "decoder",
      check: async (path) => (await import("@voxquant/asr-model")).checkModel(path),
      isReady: ({ transcribe }) => transcribe,
    }),
    imatrixCommand(session),
    benchCommand(session),
  ],
};

export const { runCommand, runAndExit } = entryPoints(ASR_CLI);
