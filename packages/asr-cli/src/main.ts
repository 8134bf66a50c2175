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
import { benchCommand } from "./commands/bench.js";
import { imatrixCommand } from "./commands/imatrix.js";
import { transcribeCommand } from "./commands/transcribe.js";
import { quantizeProfileOf } from "./family.js";
import { CATALOGUE } from "./catalogue.js";

const PACKAGE = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const ASR_CLI: Program = {
  name: CATALOGUE.program,
  description: "Speech recognition with quantized models.",
  version: PACKAGE.version,
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

/** Runs one command line. Everything that goes wrong is thrown. */
export function runCommand(args: readonly string[], session: Session): Promise<void> {
  return runProgramCommand(ASR_CLI, args, session);
}

/** The whole program: runs the command line, says what went wrong, ends the process with the matching exit code. */
export function runAndExit(args: readonly string[]): Promise<void> {
  return runProgramAndExit(ASR_CLI, args);
}
