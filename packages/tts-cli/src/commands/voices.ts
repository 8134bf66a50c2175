import { flag, formatTable, resolveModel, text, type Session } from "@voxquant/cli-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { CATALOGUE } from "../catalogue.js";
import { readModelVoices, type ModelVoices } from "../model-voices.js";

const options = {
  model: text("model folder, .gguf file, URL, or the name of a downloaded model"),
  json: flag("print JSON"),
  quiet: flag("no notes"),
} as const;

export type VoicesArguments = InferredOptionTypes<typeof options>;

export function voicesCommand(session: Session): CommandModule<object, VoicesArguments> {
  return {
    command: "voices",
    describe: "List a model's speakers and languages",
    builder: (yargs: Argv) => yargs.options(options) as unknown as Argv<VoicesArguments>,
    handler: async (given) => {
      const source = resolveModel(given.model, CATALOGUE, session.env);
      const voices = await readModelVoices(source, session.signal);
      session.terminal.result(given.json ? `${JSON.stringify(voices, null, 2)}\n` : describeVoices(voices));
    },
  };
}

function describeVoices({ speakers, languages, canClone, takesInstruct }: ModelVoices): string {
  const rows = speakers.map(({ name, id, dialect }) => [name, dialect ?? "-", String(id)]);
  const parts =
    rows.length === 0 ? ["no speakers of its own"] : [formatTable(["speaker", "dialect", "id"], rows, 2)];
  parts.push(
    `languages: ${languages.join(", ")}`,
    `clones voices: ${canClone ? "yes (--reference-audio)" : "no"}`,
    `takes instructions: ${takesInstruct ? "yes (--instruct)" : "no"}`,
  );
  return `${parts.join("\n")}\n`;
}
