import {
  compareCheckpoints,
  inspectCheckpoint,
  openCheckpoint,
  type Checkpoint,
  type ComparisonReport,
  type InspectedMetadata,
  type Inspection,
  type MemoryEstimate,
} from "@voxquant/quant-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { formatBytes, formatTable } from "../format.js";
import { flag, numberOf, operandOf, text } from "../options.js";
import { startProgress } from "../progress.js";
import type { Session } from "../session.js";

const options = {
  compare: text("the checkpoint that it was made from: shows the error of every tensor"),
  context: text("tokens to estimate the memory for", { default: "2048" }),
  tensors: flag("list every tensor"),
  json: flag("print JSON, with all tensors"),
  quiet: flag("no progress or notes"),
} as const;

export type InspectArguments = InferredOptionTypes<typeof options> & { file: string };

/** What a model of the program takes in memory, for so many tokens of context. */
export type MemoryEstimator = (checkpoint: Checkpoint, contextTokens: number) => Promise<MemoryEstimate>;

export function inspectCommand(
  session: Session,
  estimateMemory: MemoryEstimator,
): CommandModule<object, InspectArguments> {
  return {
    command: "inspect <file>",
    describe: "Show what a .gguf or .safetensors file, model folder or URL holds",
    builder: (yargs: Argv) =>
      yargs
        .positional("file", {
          type: "string",
          demandOption: true,
          coerce: operandOf,
          describe: "file, folder or URL (only its header is fetched)",
        })
        .options(options) as unknown as Argv<InspectArguments>,
    handler: (given) => inspect(given, session, estimateMemory),
  };
}

async function inspect(
  given: InspectArguments,
  session: Session,
  estimateMemory: MemoryEstimator,
): Promise<void> {
  const { terminal, signal } = session;
  const contextTokens = numberOf(given.context, "context", { min: 1, max: 10_000_000, integer: true })!;
  const checkpoint = await openCheckpoint(given.file, { signal });
  try {
    const inspection = inspectCheckpoint(checkpoint);
    const memory = { contextTokens, ...(await estimateMemory(checkpoint, contextTokens)) };
    const comparison = given.compare === undefined ? null : await compare(checkpoint, given.compare, session);
    if (given.json) {
      const record = { ...inspection, memory, ...(comparison === null ? {} : { comparison }) };
      terminal.result(`${JSON.stringify(record, null, 2)}\n`);
      return;
    }
    const parts = [describeFile(inspection), describeMetadata(inspection), describeTotals(inspection)];
    if (given.tensors) parts.push(describeTensors(inspection));
    parts.push(describeMemory(memory));
    if (comparison !== null) parts.push(describeComparison(comparison));
    terminal.result(`${parts.filter((part) => part !== "").join("\n\n")}\n`);
  } finally {
    await checkpoint.close();
  }
}

async function compare(
  quantized: Checkpoint,
  source: string,
  { terminal, signal }: Session,
): Promise<ComparisonReport> {
  const original = await openCheckpoint(source, { signal });
  const progress = startProgress(terminal, "Comparing", "weights");
  try {
    return await compareCheckpoints(original, quantized, {
      signal,
      onProgress: ({ elementsDone, elementsTotal, tensor }) =>
        progress.update(elementsDone, elementsTotal, tensor),
    });
  } finally {
    progress.stop();
    await original.close();
  }
}

function describeFile({ location, format, version, alignment, files, tensors }: Inspection): string {
  const size = files.reduce((sum, file) => sum + file.byteLength, 0);
  const kind = format === "gguf" ? `GGUF version ${version}, alignment ${alignment}` : "safetensors";
  const lines = [
    location,
    `${kind}, ${files.length} file${files.length === 1 ? "" : "s"}, ${formatBytes(size)}, ${tensors.length} tensors`,
  ];
  if (files.length > 1) lines.push(...files.map((file) => `  ${file.name}  ${formatBytes(file.byteLength)}`));
  return lines.join("\n");
}

function describeMetadata({ metadata }: Inspection): string {
  if (metadata.length === 0) return "no metadata";
  return formatTable(
    ["metadata", "type", "value"],
    metadata.map((entry) => [entry.key, entry.type, valueOf(entry)]),
    3,
  );
}

function valueOf({ value, truncated, length }: InspectedMetadata): string {
  const shown = Array.isArray(value)
    ? `[${value.map((item) => JSON.stringify(item)).join(", ")}]`
    : JSON.stringify(value);
  const short = shown.length > MAX_VALUE ? `${shown.slice(0, MAX_VALUE)}` : shown;
  return truncated || short.length < shown.length ? `${short} … (${length ?? shown.length})` : short;
}

const MAX_VALUE = 70;

function describeTotals({ totals, elements, bytes, bitsPerWeight }: Inspection): string {
  const rows = totals.map((total) => [
    total.dtype,
    String(total.tensors),
    total.elements.toLocaleString("en"),
    formatBytes(total.bytes),
    bits(total.bytes, total.elements),
  ]);
  rows.push([
    "all",
    String(totals.reduce((sum, total) => sum + total.tensors, 0)),
    elements.toLocaleString("en"),
    formatBytes(bytes),
    bitsPerWeight.toFixed(2),
  ]);
  return formatTable(["type", "tensors", "weights", "size", "bits per weight"], rows, 1);
}

function bits(bytes: number, elements: number): string {
  return elements === 0 ? "-" : ((8 * bytes) / elements).toFixed(2);
}

function describeTensors({ tensors }: Inspection): string {
  return formatTable(
    ["tensor", "type", "shape", "bytes"],
    tensors.map(({ name, dtype, shape, byteLength }) => [
      name,
      dtype,
      `[${shape.join(", ")}]`,
      byteLength.toLocaleString("en"),
    ]),
    3,
  );
}

function describeMemory({
  contextTokens,
  weightsBytes,
  kvBytes,
  scratchBytes,
}: MemoryEstimate & { contextTokens: number }): string {
  const total = weightsBytes + kvBytes + scratchBytes;
  return (
    `memory for ${contextTokens} tokens: ${formatBytes(total)} ` +
    `(weights ${formatBytes(weightsBytes)}, key-value cache ${formatBytes(kvBytes)}, scratch ${formatBytes(scratchBytes)})`
  );
}

function describeComparison({ tensors, notCompared, relativeRmse, snrDb }: ComparisonReport): string {
  const rows = tensors.map((tensor) => [
    tensor.name,
    tensor.from,
    tensor.to,
    error(tensor.relativeRmse),
    error(tensor.maxError),
    decibels(tensor.snrDb),
  ]);
  rows.push(["all", "", "", error(relativeRmse), "", decibels(snrDb)]);
  const table = formatTable(["tensor", "from", "to", "relative RMSE", "max error", "SNR dB"], rows, 3);
  return notCompared.length === 0 ? table : `${table}\nnot compared: ${notCompared.join(", ")}`;
}

function error(value: number): string {
  return value === 0 ? "0" : value.toExponential(2);
}

function decibels(value: number): string {
  return Number.isFinite(value) ? value.toFixed(1) : "exact";
}
