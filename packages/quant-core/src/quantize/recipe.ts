import { ConfigError } from "../errors.js";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.js";
import type { WritableMetadataValue } from "../formats/gguf-writer.js";
import type { OpenOptions } from "../formats/open.js";
import { GGML_TYPES, elementCount, isDense, type GgmlType } from "../weight.js";
import { canDecode } from "./codecs.js";
import { fittingType, quantizationType } from "./quantization-type.js";

/** What a model family tells the converter, which knows no model itself. */
export interface QuantizeProfile {
  /** `general.architecture`; null keeps the input's, or says `unknown`. */
  readonly architecture: string | null;
  /** `general.name`; null leaves it as in the input. */
  readonly name: string | null;
  /** Scope where none is asked for: a prefix of tensor names, one of `scopes`, or `all`. */
  readonly defaultScope: string;
  /** Names of the model's parts, as scopes, and the prefixes of their tensors. */
  readonly scopes: ReadonlyMap<string, string>;
  /** Token and position tables: looked up, not multiplied; quantized on request only. */
  isEmbedding(name: string): boolean;
  /** Norm gains of any rank: never quantized. */
  isNorm(name: string): boolean;
  /** Further matrices that do not bear quantization. */
  isSensitive(name: string): boolean;
  /**
   * The family's own choice of a type for each tensor instead of the rules by name below; null keeps the input's. A row
   * length that does not fit still falls back, and `tensorTypes` still count first.
   */
  readonly typeOf:
    ((tensor: TensorInfo, type: GgmlType, quantizeEmbeddings: boolean) => GgmlType | null) | null;
  /** Opens a model of several checkpoints as one, for a scope; null: the input is one checkpoint. */
  readonly open: ((input: string, scope: string, options: OpenOptions) => Promise<Checkpoint>) | null;
  /** A head that the config declares equal to the embedding and that is therefore not written; null if there is none. */
  readonly tiedHead: { readonly head: string; readonly embedding: string } | null;
  /** Text files of the model (paths in its folder) that `scope: "all"` embeds where they are there, so that the file is a complete model. */
  readonly files: readonly string[];
  /** Further metadata, for every scope. */
  readonly metadata: ReadonlyMap<string, WritableMetadataValue>;
  /** How the decoder alone becomes a model for llama.cpp; null if it cannot. */
  readonly llamaCpp: LlamaCppLayout | null;
}

/** A decoder under llama.cpp's names. */
export interface LlamaCppLayout {
  readonly architecture: string;
  /** Name in llama.cpp, null for a tensor that is no part of the decoder. */
  nameOf(name: string): string | null;
  /** Hyperparameters (`{architecture}.*`) and tokenizer (`tokenizer.ggml.*`). */
  readonly metadata: ReadonlyMap<string, WritableMetadataValue>;
}

/** Files of Hugging Face model folders. */
export const MODEL_FILES: readonly string[] = [
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "chat_template.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.json",
];

/** The profile of a checkpoint of unknown family: all matrices, the usual names of embeddings and norms. */
export const GENERIC_PROFILE: QuantizeProfile = {
  architecture: null,
  name: null,
  defaultScope: "all",
  scopes: new Map(),
  isEmbedding: (name) => /(^|[._])(embed|token_embd|wte|wpe)/.test(name),
  isNorm: (name) => name.includes("norm"),
  isSensitive: () => false,
  typeOf: null,
  open: null,
  tiedHead: null,
  files: MODEL_FILES,
  metadata: new Map(),
  llamaCpp: null,
};

export interface TensorTypeRule {
  readonly pattern: RegExp;
  readonly type: GgmlType;
}

/** What a person asks for. */
export interface Recipe {
  /** A name of `QUANTIZATION_NAMES`. */
  readonly qtype: string;
  /** Prefix of the names to write, a part that the profile names, or `all` for every weight; default: the profile's. */
  readonly scope?: string;
  /** Quantize token embeddings too. Default false. */
  readonly quantizeEmbeddings?: boolean;
  /** Types by name; the first pattern that matches counts. */
  readonly tensorTypes?: readonly TensorTypeRule[];
  /** `llama.cpp`: the decoder alone, under llama.cpp's names. Default `checkpoint`. */
  readonly layout?: "checkpoint" | "llama.cpp";
}

/** A tensor of the output. */
export interface PlannedTensor {
  readonly source: TensorInfo;
  /** Name in the output. */
  readonly name: string;
  readonly dtype: GgmlType;
  /** Row-major, flattened to [out, rest] where a convolution is quantized. */
  readonly shape: readonly number[];
  /** Why it has another type than was asked for; null if it has what was asked, or nothing was. */
  readonly fallback: string | null;
}

export interface Plan {
  readonly type: GgmlType;
  readonly tensors: readonly PlannedTensor[];
  /** The tied head that is left out, null if there is none. */
  readonly droppedHead: TensorInfo | null;
  readonly warnings: readonly string[];
}

/** Types that tensors must have after all because values did not fit the planned one: by name in the source. */
export type ForcedTypes = ReadonlyMap<string, { readonly dtype: GgmlType; readonly reason: string }>;

/**
 * Which tensors are written, as what. With a prefix scope as the source system does it: matrices named `.weight` that are
 * neither norm nor embedding are quantized, other matrices become F16. With `all`: every matrix and convolution is
 * quantized but norms, embeddings and sensitive ones, which stay as they are. Vectors are F32 in both.
 * @throws ConfigError for an unknown type, a scope that matches nothing, or a layout that the profile does not have
 */
export function planTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  recipe: Recipe,
  profile: QuantizeProfile,
  forced: ForcedTypes = new Map(),
): Plan {
  const type = quantizationType(recipe.qtype);
  const scope = scopeOf(recipe, profile);
  const layout = recipe.layout === "llama.cpp" ? requireLayout(profile) : null;
  const head = profile.tiedHead;
  const isTied = head !== null && tensors.has(head.head) && tensors.has(head.embedding);
  const planned: PlannedTensor[] = [];
  const matched = new Set<TensorTypeRule>();
  for (const source of tensors.values()) {
    const name = layout === null ? source.name : layout.nameOf(source.name);
    if (name === null || (layout === null && scope !== "all" && !source.name.startsWith(scope))) continue;
    if (isTied && source.name === head.head) continue;
    const rule = recipe.tensorTypes?.find(({ pattern }) => source.name.search(pattern) >= 0);
    if (rule !== undefined) matched.add(rule);
    const wanted =
      rule?.type ?? wantedType(source, type, scope !== "all" && layout === null, recipe, profile);
    planned.push({ source, name, ...place(source, wanted, forced) });
  }
  if (planned.length === 0) throw new ConfigError(nothingInScope(tensors, scope, profile));
  return {
    type,
    tensors: planned,
    droppedHead: isTied ? tensors.get(head.head)! : null,
    warnings: (recipe.tensorTypes ?? [])
      .filter((rule) => !matched.has(rule))
      .map(
        ({ pattern, type: unused }) =>
          `no tensor has a name like ${String(pattern)}: nothing became ${unused} by it`,
      ),
  };
}

/** `all`, or the prefix of the names to write. */
export function scopeOf(recipe: Recipe, profile: QuantizeProfile): string {
  const scope = recipe.scope ?? profile.defaultScope;
  return profile.scopes.get(scope) ?? scope;
}

function requireLayout(profile: QuantizeProfile): LlamaCppLayout {
  if (profile.llamaCpp !== null) return profile.llamaCpp;
  const family = profile.architecture ?? "this model";
  throw new ConfigError(
    `layout llama.cpp: ${family} has no decoder that llama.cpp could run; leave the layout out`,
  );
}

/** The type asked for, or null to keep the source's. */
function wantedType(
  source: TensorInfo,
  type: GgmlType,
  isLegacyScope: boolean,
  recipe: Recipe,
  profile: QuantizeProfile,
): GgmlType | null {
  const { name, shape } = source;
  if (profile.typeOf !== null) return profile.typeOf(source, type, recipe.quantizeEmbeddings === true);
  if (shape.length < 2) return "F32";
  const isMatrix = isLegacyScope ? shape.length === 2 : true;
  const isEmbedding = profile.isEmbedding(name) && recipe.quantizeEmbeddings !== true;
  if (
    isMatrix &&
    name.endsWith(".weight") &&
    !isEmbedding &&
    !profile.isNorm(name) &&
    !profile.isSensitive(name)
  ) {
    return type;
  }
  return isLegacyScope ? "F16" : null;
}

function place(
  source: TensorInfo,
  wanted: GgmlType | null,
  forced: ForcedTypes,
): Omit<PlannedTensor, "source" | "name"> {
  const { shape, dtype } = source;
  const kept: GgmlType = Object.hasOwn(GGML_TYPES, dtype) ? (dtype as GgmlType) : "F32";
  const force = forced.get(source.name);
  if (force !== undefined) return { dtype: force.dtype, shape, fallback: force.reason };
  if (wanted === null || wanted === kept) return { dtype: kept, shape, fallback: null };
  if (isInteger(kept)) return { dtype: kept, shape, fallback: `integers stay ${kept}` };
  if (isBlockType(dtype)) {
    // A quantized tensor is not blown up to a dense type: that would cost space and win nothing.
    if (isDense(wanted) && shape.length >= 2) return { dtype: kept, shape, fallback: `already ${kept}` };
    if (!canDecode(dtype)) return { dtype: kept, shape, fallback: `${kept} cannot be decoded, it is copied` };
  }
  if (isDense(wanted)) return { dtype: wanted, shape, fallback: null };
  const rows = shape[0] ?? 1;
  const flat = shape.length > 2 && rows > 0 ? [rows, elementCount(shape) / rows] : shape;
  const rowLength = flat[flat.length - 1] ?? 1;
  const fitting = shape.length < 2 ? "F32" : fittingType(wanted, rowLength);
  if (fitting === wanted) return { dtype: wanted, shape: flat, fallback: null };
  const reason =
    shape.length < 2
      ? `a vector cannot be ${wanted}`
      : `row length ${rowLength} is not a multiple of ${wanted}'s block of ${GGML_TYPES[wanted].block}`;
  return { dtype: fitting, shape: isDense(fitting) ? shape : flat, fallback: reason };
}

function isInteger(dtype: GgmlType): boolean {
  return /^I(8|16|32|64)$/.test(dtype);
}

/** Whether a dtype, of ggml or safetensors, is a block type of ggml. */
export function isBlockType(dtype: string): dtype is GgmlType {
  return Object.hasOwn(GGML_TYPES, dtype) && GGML_TYPES[dtype as GgmlType].block > 1;
}

const LISTED_PREFIXES = 8;

function nothingInScope(
  tensors: ReadonlyMap<string, TensorInfo>,
  scope: string,
  profile: QuantizeProfile,
): string {
  const prefixes = new Set<string>();
  for (const name of tensors.keys()) prefixes.add(name.split(".").slice(0, 2).join(".") + ".");
  const listed = [...prefixes].slice(0, LISTED_PREFIXES).map((prefix) => JSON.stringify(prefix));
  const some =
    listed.length === 0 ? "the checkpoint has no tensors" : `names begin with ${listed.join(", ")}`;
  const parts =
    profile.scopes.size === 0 ? "" : `; parts are ${["all", ...profile.scopes.keys()].join(", ")}`;
  return `scope ${JSON.stringify(scope)} matches no tensor; ${some}${prefixes.size > LISTED_PREFIXES ? ", …" : ""}${parts}`;
}
