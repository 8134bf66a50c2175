export { runProcess, type CliOptions, type CliResult } from "./process.js";
