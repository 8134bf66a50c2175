import {
  quantizationType,
  quantizeCheckpoint,
  type GgmlType,
  type QuantizeProfile,
  type QuantizeReport,
  type TensorTypeRule,
} from "@voxquant/quant-core";
import type { Argv, CommandModule, InferredOptionTypes } from "yargs";
import { UsageError } from "../exit.js";
import { formatBytes, formatTable } from "../format.js";
import { choiceOf, flag, numberOf, repeatable, text } from "../options.js";
import { checkWritable } from "../output.js";
import { startProgress } from "../progress.js";
import type { Session } from "../session.js";

const options = {
  input: text("model folder, .safetensors file or index, or .gguf file", { alias: "i", demandOption: true }),
  output: text("the .gguf file to write", { alias: "o", demandOption: true }),
  qtype: text("quantization type, e.g. q8_0, q6_k, q5_0, q4_k, q4_0, f16", { default: "q8_0" }),
  "quantize-embeddings": flag("quantize embeddings too"),
  "tensor-type": repeatable(
    "'REGEX=TYPE': another type for tensors whose name matches; may be given several times",
  ),
  imatrix: text("importance matrix (GGUF) that says which weights matter"),
  threads: text("threads (default: all cores)"),
  force: flag("overwrite an existing output"),
  json: flag("print the report as JSON"),
  quiet: flag("no progress or warnings"),
} as const;

const layoutOption = {
  layout: text("checkpoint, or llama.cpp (the decoder alone, for llama.cpp)", { default: "checkpoint" }),
} as const;

export type QuantizeArguments = InferredOptionTypes<typeof options> & { scope?: string; layout?: string };

/** What `quantize` needs to know about the models of a program. */
export interface QuantizeSupport {
  /** How a checkpoint is quantized. @throws ConfigError for a model of another program */
  profileOf(input: string): Promise<QuantizeProfile>;
  /** Help of `--scope`: which parts there are, and the default. */
  readonly scopeHelp: string;
  /** The decoder can be written for llama.cpp (`--layout`). */
  readonly llamaCppLayout: boolean;
}

export function quantizeCommand(
  session: Session,
  support: QuantizeSupport,
): CommandModule<object, QuantizeArguments> {
  const all = { ...options, scope: text(support.scopeHelp), ...(support.llamaCppLayout ? layoutOption : {}) };
  return {
    command: "quantize",
    describe: "Write a checkpoint as a quantized GGUF file",
    builder: (yargs: Argv) => yargs.options(all) as unknown as Argv<QuantizeArguments>,
    handler: (given) => quantize(given, session, support),
  };
}

async function quantize(
  given: QuantizeArguments,
  { terminal, signal }: Session,
  support: QuantizeSupport,
): Promise<void> {
  typeOf(given.qtype, "qtype");
  const layout = choiceOf(given.layout ?? "checkpoint", "layout", ["checkpoint", "llama.cpp"] as const);
  const threads = numberOf(given.threads, "threads", { min: 1, max: 1024, integer: true });
  const tensorTypes = (given["tensor-type"] ?? []).map((rule) => parseRule(rule));
  await checkWritable(given.output, given.force);
  const profile = await support.profileOf(given.input);

  const progress = startProgress(terminal, `Quantizing to ${given.qtype}`, "bytes");
  let report: QuantizeReport;
  try {
    report = await quantizeCheckpoint(
      {
        input: given.input,
        output: given.output,
        qtype: given.qtype,
        ...(given.scope === undefined ? {} : { scope: given.scope }),
        quantizeEmbeddings: given["quantize-embeddings"],
        tensorTypes,
        ...(given.imatrix === undefined ? {} : { imatrix: given.imatrix }),
        layout,
        force: given.force,
        ...(threads === undefined ? {} : { threads }),
        signal,
        onProgress: ({ bytesDone, bytesTotal, tensor }) => progress.update(bytesDone, bytesTotal, tensor),
        onWarning: (message) => terminal.warn(message),
      },
      profile,
    );
  } finally {
    progress.stop();
  }
  terminal.result(given.json ? `${JSON.stringify(report, null, 2)}\n` : `${describeReport(report)}\n`);
}

/** @throws UsageError with the list of types */
function typeOf(name: string, flagName: string): GgmlType {
  try {
    return quantizationType(name);
  } catch (error) {
    throw new UsageError(`--${flagName}: ${(error as Error).message}`);
  }
}

/** `REGEX=TYPE`; the expression itself may contain `=`. */
function parseRule(rule: string): TensorTypeRule {
  const at = rule.lastIndexOf("=");
  if (at <= 0) throw new UsageError(`--tensor-type "${rule}" is not REGEX=TYPE, e.g. 'lm_head=q6_k'`);
  const type = typeOf(rule.slice(at + 1), "tensor-type");
  try {
    return { pattern: new RegExp(rule.slice(0, at)), type };
  } catch (error) {
    throw new UsageError(`--tensor-type "${rule}": ${(error as Error).message}`);
  }
}

/** Types and sizes of what was written, and what could not be stored as asked. */
function describeReport({
  output,
  inputBytes,
  outputBytes,
  seconds,
  tensors,
  droppedHead,
}: QuantizeReport): string {
  const share =
    inputBytes > 0
      ? `, ${((100 * outputBytes) / inputBytes).toFixed(1)} % of ${formatBytes(inputBytes)}`
      : "";
  const rate = formatBytes(inputBytes / Math.max(seconds, 1e-3));
  const byType = new Map<string, { count: number; inputBytes: number; outputBytes: number }>();
  for (const { from, to, inputBytes, outputBytes } of tensors) {
    const key = from === to ? `${to} (as it was)` : `${from} -> ${to}`;
    const sum = byType.get(key) ?? { count: 0, inputBytes: 0, outputBytes: 0 };
    byType.set(key, {
      count: sum.count + 1,
      inputBytes: sum.inputBytes + inputBytes,
      outputBytes: sum.outputBytes + outputBytes,
    });
  }
  const rows = [...byType]
    .sort(([, a], [, b]) => b.outputBytes - a.outputBytes)
    .map(([type, sum]) => [
      type,
      String(sum.count),
      formatBytes(sum.inputBytes),
      formatBytes(sum.outputBytes),
    ]);
  const parts = [
    `${output}: ${formatBytes(outputBytes)}${share}, in ${seconds.toFixed(1)} s (${rate}/s)`,
    formatTable(["type", "tensors", "before", "after"], rows, 1),
  ];
  if (droppedHead !== null) parts.push(`left out: ${droppedHead}, which is the embedding once more`);
  const fallbacks = tensors.filter(({ fallback }) => fallback !== null);
  if (fallbacks.length > 0) {
    const lines = fallbacks.map(({ name, to, fallback }) => [name, to, fallback!]);
    parts.push(`not stored as asked:\n${formatTable(["tensor", "stored as", "because"], lines, 3)}`);
  }
  return parts.join("\n");
}
