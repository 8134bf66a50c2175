export { QUANTIZABLE, canDecode } from "./codecs.js";
export {
  compareCheckpoints,
  type CompareOptions,
  type ComparisonReport,
  type TensorError,
} from "./compare.js";
export {
  quantizeCheckpoint,
  type QuantizeOptions,
  type QuantizeProgress,
  type QuantizeReport,
  type QuantizedTensor,
} from "./convert.js";
export { dequantize } from "./dequantize.js";
export { activationType, dotReference } from "./dot.js";
export { readImportance, writeImportance, type ImportanceOrigin, type ImportanceSums } from "./importance.js";
export { qwen3Layout, type BpeVocabulary, type Qwen3Geometry } from "./llama-cpp.js";
export { QUANTIZATION_NAMES, fileTypeOf, fittingType, quantizationType } from "./quantization-type.js";
export { quantizeRows } from "./quantize-rows.js";
export {
  GENERIC_PROFILE,
  MODEL_FILES,
  planTensors,
  type LlamaCppLayout,
  type Plan,
  type PlannedTensor,
  type QuantizeProfile,
  type Recipe,
  type TensorTypeRule,
} from "./recipe.js";
