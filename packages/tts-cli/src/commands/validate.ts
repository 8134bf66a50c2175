import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BACKENDS,
  UsageError,
  checkWritable,
  choiceOf,
  flag,
  formatTable,
  numberOf,
  repeatable,
  resolveModel,
  runInChild,
  text,
  weightsOfModel,
  wholeModel,
  writeOutput,
  type ModelWeights,
  type Session,
} from "@voxquant/cli-core";
import { quantizationType } from "@voxquant/quant-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { CATALOGUE } from "../catalogue.js";
import { quantizeProfileOf } from "../family.js";
import type { ValidateBench, ValidateJob } from "../validate/job.js";
import { linesOf } from "../text-lines.js";
import { reportJson, reportTables, type ComparedModel } from "../validate/report.js";

const PRECISIONS = ["fast", "exact"] as const;

const options = {
  model: text("the model to compare with, usually of float weights: folder, .gguf file, or name"),
  against: text(
    "the model that is judged: folder, .gguf file, name, or a type such as q8_0 to quantize to first",
  ),
  texts: text("file with texts to speak, one per line (default: a few sentences in the language)"),
  text: repeatable("a text to speak; may be given several times"),
  speaker: text("a voice of the checkpoint (default: its first)"),
  language: text("the language of the texts (default: auto)"),
  instruct: text("how to speak, or the voice to speak with (for models that take it)"),
  voice: text("a cloned voice, as synthesize --save-voice wrote it (for models that can clone)"),
  temperature: text("of the free speech; 0 takes the most likely code always (default: the checkpoint's)"),
  seed: text("of the random draws of the free speech, the same for both", { default: "1" }),
  normalize: text("on or off: write out numbers, dates, units and abbreviations", { default: "on" }),
  backend: text("auto, native, wasm, cpu or tensorflow", { default: "auto" }),
  threads: text("threads (default: all cores; on wasm at most 8)"),
  precision: text("of --against: fast, or exact (float32 activations)", { default: "fast" }),
  "model-precision": text("of --model: exact, or fast", { default: "exact" }),
  html: text("write a page with the tables, spectrograms and players to this file"),
  force: flag("overwrite it"),
  cache: text("folder for quantized weights", { default: join(tmpdir(), "voxquant-bench") }),
  json: flag("print one JSON object instead of the tables"),
  quiet: flag("no progress or warnings"),
} as const;

export type ValidateArguments = InferredOptionTypes<typeof options>;

export function validateCommand(session: Session): CommandModule<object, ValidateArguments> {
  return {
    command: "validate",
    describe: "Compare a quantized model with its float original: codes, sound, speed, memory",
    builder: (yargs: Argv) => yargs.options(options) as unknown as Argv<ValidateArguments>,
    handler: (given) => validate(given, session),
  };
}

async function validate(given: ValidateArguments, session: Session): Promise<void> {
  const { terminal } = session;
  const { against, html } = given;
  if (against === undefined)
    throw new UsageError("--against is missing: the model, or the type, to be judged");
  const common = await settingsOf(given);
  const precision = {
    reference: choiceOf(given["model-precision"], "model-precision", PRECISIONS),
    candidate: choiceOf(given.precision, "precision", PRECISIONS),
  };
  if (html !== undefined) await checkWritable(html, given.force);
  const source = resolveModel(given.model, CATALOGUE, session.env);
  const reference = wholeModel("reference", source);
  const candidate = await candidateOf(source, against, given.cache, session);
  for (const { source: location } of [reference, candidate]) await checkModel(location, session.signal);

  const folder = mkdtempSync(join(tmpdir(), "voxquant-validate-"));
  try {
    const run = async (
      weights: ModelWeights,
      kind: "reference" | "candidate",
      codes: ValidateJob["reference"],
    ): Promise<ComparedModel> => {
      terminal.info(`${weights.source} speaks`);
      const job: ValidateJob = {
        ...common,
        source: weights.source,
        choice: weights.choice,
        precision: precision[kind],
        reference: codes,
        folder: mkdtempSync(join(folder, kind)),
      };
      const child = new URL("../validate/child.js", import.meta.url);
      const result = await runInChild<ValidateBench>(child, job, {
        signal: session.signal,
        countEvents: false,
      });
      folders[kind] = job.folder;
      return {
        location: weights.source,
        fileBytes: weights.files.reduce((sum, file) => sum + statSync(file).size, 0),
        precision: job.precision,
        result,
      };
    };
    const folders = { reference: "", candidate: "" };
    const first = await run(reference, "reference", null);
    const codes = first.result.detail.sentences.map(({ freeCodes }) => freeCodes);
    const second = await run(candidate, "candidate", codes);

    const { compareValidationRuns } = await import("@voxquant/acoustic-model");
    const { readRun } = await import("../validate/measure.js");
    const runs = [
      readRun(first.result, folders.reference),
      readRun(second.result, folders.candidate),
    ] as const;
    const comparison = { reference: first, candidate: second, report: compareValidationRuns(...runs) };
    if (html !== undefined) {
      const { formatHtml } = await import("../validate/html.js");
      await writeOutput(html, formatHtml(comparison, ...runs));
      terminal.info(`written: ${html}`);
    }
    if (given.json) {
      terminal.result(`${JSON.stringify(reportJson(comparison))}\n`);
      return;
    }
    const tables = reportTables(comparison).map(
      ({ title, note, header, rows }) => `${title}\n${note}\n\n${formatTable(header, rows, 1)}\n`,
    );
    terminal.result(tables.join("\n"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What both models are asked to do. */
async function settingsOf(
  given: ValidateArguments,
): Promise<Omit<ValidateJob, "source" | "choice" | "precision" | "reference" | "folder">> {
  const { validationTexts } = await import("@voxquant/acoustic-model");
  const texts = [...(given.text ?? []), ...(given.texts === undefined ? [] : linesOf(given.texts, "texts"))];
  return {
    texts: texts.length === 0 ? validationTexts(given.language) : texts,
    speaker: given.speaker ?? null,
    language: given.language ?? null,
    instruct: given.instruct ?? null,
    voice: given.voice ?? null,
    temperature: numberOf(given.temperature, "temperature", { min: 0, max: 100 }) ?? null,
    normalize: choiceOf(given.normalize, "normalize", ["on", "off"] as const) === "on",
    seed: numberOf(given.seed, "seed", { min: 0, max: 2 ** 32 - 1, integer: true })!,
    backend: choiceOf(given.backend, "backend", BACKENDS),
    threads: numberOf(given.threads, "threads", { min: 1, max: 256, integer: true }) ?? null,
  };
}

/** A model by its place or name, or the reference quantized to a type. */
async function candidateOf(
  source: string,
  against: string,
  cache: string,
  session: Session,
): Promise<ModelWeights> {
  if (!existsSync(against) && isType(against)) {
    const [quantized] = await weightsOfModel(source, [against], cache, quantizeProfileOf, session);
    return quantized!;
  }
  return wholeModel("candidate", resolveModel(against, CATALOGUE, session.env));
}

/** Says before the work what would go wrong after it. @throws as opening the model does */
async function checkModel(source: string, signal: AbortSignal): Promise<void> {
  const { openTtsModel } = await import("@voxquant/acoustic-model");
  await (await openTtsModel(source, { signal })).close();
}

function isType(name: string): boolean {
  try {
    quantizationType(name);
    return true;
  } catch {
    return false;
  }
}
