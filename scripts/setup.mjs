import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { root, run, runTool, step } from "./process.mjs";

export const turbo = "turbo/bin/turbo";
export const nativeAddon = join(root, "packages/quant-core/native/build/voxquant.node");
const stamp = join(root, "node_modules/.voxquant-install");

/** Packages of the workspace, by folder name. */
export function packages() {
  return readdirSync(join(root, "packages")).filter((name) =>
    existsSync(join(root, "packages", name, "package.json")),
  );
}

/** Installs what the lockfile says, unless that is what is there. */
export async function install() {
  const wanted = installFingerprint();
  const current = existsSync(stamp) ? readFileSync(stamp, "utf8") : null;
  if (current === wanted && existsSync(join(root, "node_modules", turbo))) return true;
  const done = step("Installing dependencies");
  const result = await pnpm(["install", "--frozen-lockfile"]);
  if (!result.ok) {
    done("failed");
    process.stderr.write(result.output);
    return false;
  }
  writeFileSync(stamp, wanted);
  done();
  return true;
}

function installFingerprint() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}\n`);
  const manifests = packages().map((name) => `packages/${name}/package.json`);
  for (const file of ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests]) {
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

/** The pnpm of the lockfile if it is installed already, else the pinned one through npm. */
async function pnpm(args) {
  const env = { ...process.env, CI: "true" }; // pnpm must not ask questions
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const installed = join(root, "node_modules/pnpm/package.json");
  if (
    existsSync(installed) &&
    packageManager === `pnpm@${JSON.parse(readFileSync(installed, "utf8")).version}`
  ) {
    return run(process.execPath, [join(root, "node_modules/pnpm/bin/pnpm.cjs"), ...args], { env });
  }
  const viaNpm = ["exec", "--yes", "--", packageManager, ...args];
  const npm = process.env.npm_execpath;
  if (npm !== undefined && basename(npm) === "npm-cli.js")
    return run(process.execPath, [npm, ...viaNpm], { env });
  return run("npm", viaNpm, { env, shell: process.platform === "win32" }); // npm is a .cmd there
}

/** Builds all packages and, where there is a compiler, the native kernels. */
export async function build() {
  const done = step("Building");
  const result = await runTool(turbo, [
    "run",
    "build",
    "build:native",
    "--output-logs=errors-only",
    "--concurrency=2",
  ]);
  done(result.ok ? "done" : "failed");
  if (!result.ok) {
    process.stderr.write(result.output);
    return false;
  }
  process.stderr.write(
    existsSync(nativeAddon)
      ? "Native kernels: built.\n"
      : "Native kernels: left out, there is no C++ compiler here; everything runs on the WASM backend.\n",
  );
  return true;
}
