import { readFileSync } from "node:fs";
import {
  inspectCommand,
  modelsCommand,
  quantizeCommand,
  runAndExit as runProgramAndExit,
  runCommand as runProgramCommand,
  type Program,
  type Session,
} from "@voxquant/cli-core";
import { CATALOGUE } from "./catalogue.js";
import { benchCommand } from "./commands/bench.js";
import { synthesizeCommand } from "./commands/synthesize.js";
import { validateCommand } from "./commands/validate.js";
import { voicesCommand } from "./commands/voices.js";
import { quantizeProfileOf } from "./family.js";
import type { LoadModel } from "./model-options.js";

const PACKAGE = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const TTS_CLI: Program = {
  name: CATALOGUE.program,
  description: "Speech synthesis with quantized models.",
  version: PACKAGE.version,
  commands: (session) => [
    synthesizeCommand(session, async (source, options) => {
      const library: unknown = await import("@voxquant/acoustic-model");
      return (library as { loadTtsModel: LoadModel }).loadTtsModel(source, options);
    }),
    voicesCommand(session),
    quantizeCommand(session, {
      profileOf: quantizeProfileOf,
      scopeHelp:
        "all (one file that is a complete model; default), talker (with the code predictor, to be used beside the model folder), " +
        "predictor, speaker, codec, or what the tensors' names begin with",
      llamaCppLayout: false,
    }),
    validateCommand(session),
    inspectCommand(session, async (checkpoint, contextTokens) => {
      const { estimateTtsMemory } = await import("@voxquant/acoustic-model");
      return estimateTtsMemory(checkpoint, contextTokens);
    }),
    modelsCommand(session, {
      catalogue: CATALOGUE,
      purpose: "synthesize",
      ggufPart: "talker",
      check: async (path) => (await import("@voxquant/acoustic-model")).checkTtsModel(path),
      isReady: ({ synthesize }) => synthesize,
    }),
    benchCommand(session),
  ],
};

/** Runs one command line. Everything that goes wrong is thrown. */
export function runCommand(args: readonly string[], session: Session): Promise<void> {
  return runProgramCommand(TTS_CLI, args, session);
}

/** The whole program: runs the command line, says what went wrong, ends the process with the matching exit code. */
export function runAndExit(args: readonly string[]): Promise<void> {
  return runProgramAndExit(TTS_CLI, args);
}
