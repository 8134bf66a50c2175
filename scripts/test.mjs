import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { cpus } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { root, runTool, step, toolEnvironment } from "./process.mjs";
import { nativeAddon, packages, turbo } from "./setup.mjs";

/** Lint, format, types and every package's tests. The last line is `N passed, N failed`. */
export async function run({ built }) {
  const failures = [];
  if (!built) failures.push("build");
  const goldens = goldensFolder();
  if (goldens.problem !== null) {
    process.stderr.write(`${goldens.problem}\n`);
    failures.push("GOLDENS_DIR");
  }
  await check("eslint", "eslint/bin/eslint.js", [".", "--max-warnings", "0", ...cached("eslint")], failures);
  await check(
    "prettier",
    "prettier/bin/prettier.cjs",
    ["--check", ".", "--log-level", "warn", ...cached("prettier")],
    failures,
  );
  const counts = await packageTests(goldens.folder, built, failures);
  for (const name of failures) process.stdout.write(`FAILED: ${name}\n`);
  if (counts.passed === 0) process.stdout.write("FAILED: no test ran\n");
  const failed = counts.failed + failures.length;
  process.stdout.write(`${counts.passed} passed, ${failed} failed\n`);
  return failed > 0 || counts.passed === 0 ? 1 : 0;
}

function cached(tool) {
  return [
    "--cache",
    "--cache-strategy",
    "content",
    "--cache-location",
    join(root, "node_modules/.cache/voxquant", tool),
  ];
}

async function check(name, entry, args, failures) {
  const done = step(name);
  const result = await runTool(entry, args);
  done(result.ok ? "ok" : "failed");
  if (result.ok) return;
  process.stderr.write(result.output);
  failures.push(name);
}

/** Types and tests through turbo; sums the reports that scripts/jest.mjs leaves. */
async function packageTests(goldens, built, failures) {
  const tested = packages().filter((name) => manifest(name).scripts?.test !== undefined);
  for (const name of tested) rmSync(report(name), { force: true });
  const env = { ...toolEnvironment(), VOXQUANT_TEST_MACHINE: machineFingerprint() };
  if (goldens !== null) env.GOLDENS_DIR = goldens;
  const quiet = ["--output-logs=errors-only", "--concurrency=2", "--continue=dependencies-successful"];

  if (built) {
    const done = step("types");
    const types = await runTool(turbo, ["run", "typecheck", ...quiet], { env });
    done(types.ok ? "ok" : "failed");
    if (!types.ok) {
      process.stderr.write(types.output);
      failures.push("types");
    }
  }
  // Goldens from elsewhere are no input that turbo knows, so its cache must not answer for them.
  const force = goldens === null ? [] : ["--force", "--only"];
  const done = step("tests");
  const tests = await runTool(turbo, ["run", "test", ...quiet, ...force], { env });
  done(tests.ok ? "ok" : "failed");
  if (!tests.ok) process.stderr.write(tests.output);

  const counts = { passed: 0, failed: 0 };
  const told = [];
  for (const name of tested) {
    if (!existsSync(report(name))) {
      failures.push(`${name}: its tests did not run`);
      continue;
    }
    const { passed, failed, skipped, lines } = JSON.parse(readFileSync(report(name), "utf8"));
    counts.passed += passed;
    counts.failed += failed;
    told.push(...lines);
    process.stdout.write(
      `${name}: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`,
    );
  }
  for (const line of new Set(told)) process.stdout.write(`${line}\n`);
  // Whatever turbo complains of beyond failed tests must not be lost.
  if (!tests.ok && counts.failed === 0 && failures.length === 0) failures.push("turbo run test");
  return counts;
}

function manifest(name) {
  return JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8"));
}

function report(name) {
  return join(root, "packages", name, "test-results.json");
}

/** `GOLDENS_DIR` as an absolute path: tests run in other folders than the one that it was written for. */
function goldensFolder() {
  const given = process.env.GOLDENS_DIR;
  if (given === undefined || given === "") return { folder: null, problem: null };
  const folder = resolve(process.env.INIT_CWD ?? process.cwd(), given);
  return existsSync(folder)
    ? { folder, problem: null }
    : { folder, problem: `GOLDENS_DIR: ${folder} does not exist` };
}

/** What changes results but is no source file: turbo's cache answers only for a machine like this one. */
function machineFingerprint() {
  const hash = createHash("sha256");
  const add = (name, value) => hash.update(`${name}=${value}\n`);
  add("node", process.version);
  add("cpu", cpus()[0]?.model ?? "");
  if (existsSync("/proc/cpuinfo"))
    add("flags", /^(flags|Features)\s*:.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "");
  add(
    "native",
    existsSync(nativeAddon) ? createHash("sha256").update(readFileSync(nativeAddon)).digest("hex") : "none",
  );
  for (const program of ["ffmpeg", "chromium", "chromium-browser", "google-chrome"])
    add(program, inPath(program));
  add("tfjs-node", existsSync(join(root, "packages/quant-core/node_modules/@tensorflow/tfjs-node")));
  const evaluation = join(root, "../shared/models/eval-asr");
  if (existsSync(evaluation)) {
    for (const name of readdirSync(evaluation).sort()) add(name, statSync(join(evaluation, name)).size);
  }
  return hash.digest("hex").slice(0, 16);
}

function inPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
}
