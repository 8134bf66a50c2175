export type {
  BenchJob,
  BenchTypes,
  ClockMetrics,
  CommonMetrics,
  Measured,
  Metrics,
  Outcome,
  OwnMetrics,
  RunResult,
  Scenario,
} from "./measurement.js";
export { answerJob, timed, underClocks } from "./child.js";
export { BENCH_OPTIONS, runBench, type Bench, type BenchArguments } from "./run-bench.js";
export { listOf, refuseOtherWorkload, type BenchSubjects } from "./scenarios.js";
export type { Column, Report } from "./report.js";
export type { Judge, Summary } from "./summary.js";
export { crossScenarios, modelName, weightsOfModel, wholeModel, type ModelWeights } from "./model-weights.js";
export { duration, percent } from "./markdown.js";
export { escapeHtml } from "./plots.js";
export { runInChild, type RunOptions } from "./run-child.js";
export { spreadOf, type Spread } from "./statistics.js";
export { RandomWeights } from "./random-weights.js";
export {
  keptRandomModel,
  planRandomModel,
  writeRandomModel,
  type RandomModel,
  type RandomModelOptions,
  type TensorRole,
  type TensorShape,
} from "./random-model.js";
export { qwen3LayerShapes, type Qwen3Sizes } from "./qwen3-shapes.js";
export {
  byteLevelVocabulary,
  type AddedToken,
  type VocabularyFiles,
  type VocabularyOptions,
} from "./random-vocabulary.js";
