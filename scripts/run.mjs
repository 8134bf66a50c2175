// `npm run demo` and `npm test` on a machine that has Node and npm and perhaps nothing else: no pnpm, compiler, Python or git.
// Brings the pinned pnpm, installs, builds, then does the job. What is done already is not done again.
import { existsSync, readFileSync } from "node:fs";
import { build, install } from "./setup.mjs";

const jobs = { demo: "./demo.mjs", test: "./test.mjs" };
const job = process.argv[2];

if (!Object.hasOwn(jobs, job)) {
  process.stderr.write(`usage: node scripts/run.mjs ${Object.keys(jobs).join("|")}\n`);
  process.exit(2);
}
checkNode();
if (!(await install())) process.exit(1);
const built = await build();
if (!built && job !== "test") process.exit(1);
process.exitCode = await (await import(jobs[job])).run({ built });

function checkNode() {
  const { engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [needMajor, needMinor] = engines.node.match(/\d+/g).map(Number);
  // Some releases of 21 and 22 are newer than the floor by number only.
  const old =
    major < needMajor || (major === needMajor && minor < needMinor) || process.getBuiltinModule === undefined;
  if (old) {
    process.stderr.write(
      `Node ${process.versions.node} is too old: this project needs ${engines.node} (20.19, 22.13, or 24 and later).\n`,
    );
    process.exit(1);
  }
  if (!existsSync(new URL("../pnpm-lock.yaml", import.meta.url))) {
    process.stderr.write("pnpm-lock.yaml is missing: this is not a complete copy of the repository.\n");
    process.exit(1);
  }
}
