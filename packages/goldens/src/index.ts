export {
  compareCase,
  GOLDEN_BACKENDS,
  GoldenModels,
  GoldenTally,
  whereAvailable,
  type GoldenBackend,
} from "./cases.js";
export {
  goldensFolder,
  goldenVariants,
  readGoldenJson,
  sharedFolder,
  type GoldenCase,
  type GoldenVariant,
} from "./folders.js";
export { readTensors, type GoldenTensor } from "./tensors.js";
export { ToleranceRules, compareTensor, type Comparison, type ToleranceRule } from "./tolerances.js";
