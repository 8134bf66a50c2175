export { MemorySource, type ByteSource } from "./byte-source.js";
export { FileSink, MemorySink, type ByteSink } from "./byte-sink.js";
export {
  sameShape,
  type Checkpoint,
  type GgufProperties,
  type MetadataValue,
  type TensorInfo,
} from "./checkpoint.js";
export { deriveTensors, type DerivedTensor } from "./derived.js";
export { decodeToF32 } from "./dense.js";
export type { ModelSource } from "./folder.js";
export { chooseGguf, type DecoderWeights, type FolderWeights, type GgufChoice } from "./gguf-choice.js";
export { parseGgufHeader, type GgufHeader, type GgufTensorInfo } from "./gguf.js";
export type { GgufScalarType, GgufValueType } from "./gguf-values.js";
export {
  GGML_MAX_NAME_BYTES,
  GgufWriter,
  typedMetadata,
  type GgufTensorDeclaration,
  type GgufWriteOptions,
  type TypedMetadataValue,
  type WritableMetadataValue,
} from "./gguf-writer.js";
export {
  bf16sToFloats,
  bf16ToFloat,
  floatsToBf16s,
  floatsToHalves,
  floatToBf16,
  floatToHalf,
  halfToFloat,
  halvesToFloats,
} from "./half.js";
export { inspectCheckpoint, type InspectedMetadata, type Inspection, type TypeTotals } from "./inspect.js";
export { layerCheckpoints } from "./layered.js";
export { estimateMemory, formatBytes, requireMemory, type MemoryEstimate } from "./memory.js";
export { checkModelFiles, type ModelFileCheck, type SmallFile } from "./model-check.js";
export { EMBEDDED_FILE_PREFIX, openModelFiles, requireText, type ModelFiles } from "./model-files.js";
export {
  describeSource,
  hasSafetensors,
  listGgufs,
  locateModel,
  parseJsonObject,
  resolveInFolder,
  type ModelPlace,
} from "./model-folder.js";
export { observeReads, withReads, type ReadObserver } from "./observed.js";
export { openCheckpoint, type OpenOptions } from "./open.js";
export { openTogether, type OpenCheckpoint, type OpenedTogether } from "./open-together.js";
export { parseSafetensorsHeader, type SafetensorsHeader } from "./safetensors.js";
export { writeSafetensors, type SafetensorsTensor } from "./safetensors-writer.js";
