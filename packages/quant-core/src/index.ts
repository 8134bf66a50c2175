export * from "./errors.js";
export * from "./weight.js";
export * from "./ops/kernels.js";
