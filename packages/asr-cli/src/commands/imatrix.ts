import {
  UsageError,
  checkWritable,
  expandGlob,
  flag,
  operandsOf,
  repeatable,
  resolveModel,
  startProgress,
  text,
  type Session,
} from "@voxquant/cli-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { CATALOGUE } from "../catalogue.js";

const options = {
  model: text("model folder or file (unquantized, best)"),
  audio: repeatable("an audio file or pattern; may be given several times"),
  output: text("the importance matrix to write (.gguf)", { alias: "o", demandOption: true }),
  language: text("the language spoken (default: recognised)"),
  force: flag("overwrite an existing output"),
  quiet: flag("no progress or notes"),
} as const;

export type ImatrixArguments = InferredOptionTypes<typeof options> & { files?: string[] };

export function imatrixCommand(session: Session): CommandModule<object, ImatrixArguments> {
  return {
    command: "imatrix [files..]",
    describe: "Measure from audio which weights matter, for quantize --imatrix",
    builder: (yargs: Argv) =>
      yargs
        .positional("files", { type: "string", array: true, describe: "audio files or patterns" })
        .options(options) as unknown as Argv<ImatrixArguments>,
    handler: (given) => imatrix(given, session),
  };
}

async function imatrix(given: ImatrixArguments, { terminal, signal, env }: Session): Promise<void> {
  const patterns = operandsOf([...(given.files ?? []), ...(given.audio ?? [])]);
  const files: string[] = [];
  for (const pattern of patterns) files.push(...(await expandGlob(pattern)));
  if (files.length === 0) throw new UsageError("no audio: name the recordings to measure with");
  await checkWritable(given.output, given.force);
  const model = resolveModel(given.model, CATALOGUE, env);
  const { collectImatrix } = await import("@voxquant/asr-model");
  const progress = startProgress(terminal, "Measuring", "audio");
  try {
    const { tensors, audioSeconds } = await collectImatrix(model, files, {
      output: given.output,
      force: given.force,
      signal,
      ...(given.language === undefined ? {} : { language: given.language }),
      onProgress: ({ secondsDone, secondsTotal }) => progress.update(secondsDone, secondsTotal),
      onWarning: (message) => terminal.warn(message),
    });
    progress.stop();
    terminal.result(
      `${given.output}: ${tensors} tensors measured on ${audioSeconds.toFixed(1)} s of audio\n`,
    );
  } finally {
    progress.stop();
  }
}
