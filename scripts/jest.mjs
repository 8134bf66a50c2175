// Runs jest for the package in the current folder, as ES modules, with a JSON report that `npm test` adds up.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const jest = require.resolve("jest/bin/jest.js");
const result = spawnSync(
  process.execPath,
  [
    "--experimental-vm-modules",
    "--no-warnings",
    "--expose-gc",
    jest,
    "--json",
    "--outputFile=test-results.json",
    ...process.argv.slice(2),
  ],
  { stdio: ["inherit", "ignore", "inherit"] },
);
process.exit(result.status ?? 1);
