export * from "./errors.js";
export * from "./weight.js";
