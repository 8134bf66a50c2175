// Runs jest for the package in the current folder, as ES modules. Quiet when all is well: jest's own output is printed only
// if a test fails. The report test-results.json, which `npm test` adds up, also keeps the lines in which tests sum up their goldens or say
// what they skip.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const REPORT = "test-results.json";
/** Lines of tests that a reader should see: what goldens were compared, and what was left out on this machine. */
const TOLD = /^(goldens: .*|(?!Tests:|Test Suites:)\S.*\bskipped\b.*)$/;
const single = process.argv.length > 2; // a person runs one file: show everything
rmSync(REPORT, { force: true });

const jestFolder = dirname(createRequire(import.meta.url).resolve("jest/package.json"));
const jest = spawn(
  process.execPath,
  [
    "--experimental-vm-modules",
    "--no-warnings",
    "--expose-gc",
    join(jestFolder, "bin/jest.js"),
    "--json",
    `--outputFile=${REPORT}`,
    ...process.argv.slice(2),
  ],
  { stdio: ["ignore", "pipe", "pipe"] },
);

let output = "";
for (const stream of [jest.stdout, jest.stderr]) {
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    output += text;
    if (single) process.stderr.write(text);
  });
}

jest.on("close", (code) => {
  const lines = [...new Set(output.split("\n").filter((line) => TOLD.test(line)))];
  if (existsSync(REPORT)) {
    const report = JSON.parse(readFileSync(REPORT, "utf8"));
    writeFileSync(REPORT, JSON.stringify({ ...summaryOf(report), lines }));
  }
  if (code !== 0 && !single) process.stderr.write(output);
  else for (const line of single ? [] : lines) process.stdout.write(`${line}\n`);
  process.exit(code ?? 1);
});

/** What `npm test` needs; a suite that could not even start counts as one failure. */
function summaryOf(report) {
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}
