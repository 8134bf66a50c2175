// Builds the native addon with the C++ compiler alone: node native/build.mjs. Without one it says so and succeeds; the
// library then runs on WebAssembly.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));
const output = join(folder, "build");

const COMMON = [
  "-std=c++17",
  "-O3",
  "-fPIC",
  "-fvisibility=hidden",
  "-ffp-contract=off",
  "-Wall",
  "-Wextra",
  "-DNAPI_VERSION=8",
];
const AVX512 = [
  "-mavx2",
  "-mfma",
  "-mf16c",
  "-mavx512f",
  "-mavx512bw",
  "-mavx512dq",
  "-mavx512vl",
  "-mavx512vnni",
];

/** Flags of the files that need other than the baseline; a file of another architecture is left out (null). */
function fileFlags(file) {
  const x64 = process.arch === "x64";
  switch (file) {
    case "kernels_avx2.cpp":
    case "unpack_avx2.cpp":
      return x64 ? ["-mavx2", "-mfma", "-mf16c", "-fno-exceptions"] : null;
    // No auto-vectorizer with VNNI: GCC 12 makes dot products of the wrong signedness from byte loops.
    case "kernels_avx512.cpp":
      return x64 ? [...AVX512, "-fno-tree-vectorize", "-fno-exceptions", "-Wno-maybe-uninitialized"] : null;
    case "kernels_avx512bf16.cpp":
      return x64
        ? [...AVX512, "-mavx512bf16", "-fno-tree-vectorize", "-fno-exceptions", "-Wno-maybe-uninitialized"]
        : null;
    default:
      return [];
  }
}

function findCompiler() {
  if (process.platform === "win32") return null;
  const candidates = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  for (const candidate of candidates) {
    const [command, ...args] = candidate.split(" ");
    const { status, stdout } = spawnSync(command, [...args, "--version"], { encoding: "utf8" });
    if (status === 0) return { command, args, version: stdout.split("\n")[0] };
  }
  return null;
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    child.stdout.on("data", (data) => (text += data));
    child.stderr.on("data", (data) => (text += data));
    child.on("error", reject);
    child.on("close", (status) =>
      status === 0 ? resolve(text) : reject(new Error(`${command} failed:\n${text}`)),
    );
  });
}

const digest = (...parts) => createHash("sha256").update(parts.join("\0")).digest("hex");

async function main() {
  const compiler = findCompiler();
  if (compiler === null) {
    console.log(
      "native: no C++ compiler here, the native backend is left out (everything runs on WebAssembly)",
    );
    return;
  }
  let headers;
  try {
    headers = createRequire(import.meta.url)("node-api-headers").include_dir;
  } catch {
    console.log("native: the package node-api-headers is not installed, the native backend is left out");
    return;
  }
  mkdirSync(output, { recursive: true });
  const files = readdirSync(folder);
  const shared = files
    .filter((file) => file.endsWith(".h"))
    .map((file) => readFileSync(join(folder, file), "utf8"));
  const quantize = files.includes("bind_quantize.cpp");
  const statePath = join(output, "state.json");
  let state = {};
  try {
    state = JSON.parse(readFileSync(statePath, "utf8"));
  } catch {
    // first build
  }

  const objects = [];
  const pending = [];
  const next = {};
  for (const file of files.filter((name) => name.endsWith(".cpp"))) {
    const own = fileFlags(file);
    if (own === null) continue;
    const flags = [...compiler.args, ...COMMON, ...own];
    if (quantize) flags.push("-DVOXQUANT_HAS_QUANTIZE");
    const object = join(output, file.replace(/\.cpp$/, ".o"));
    const key = digest(
      compiler.command,
      compiler.version,
      process.arch,
      ...flags,
      readFileSync(join(folder, file), "utf8"),
      ...shared,
    );
    objects.push(object);
    next[file] = key;
    if (state[file] !== key || !existsSync(object)) {
      pending.push(() =>
        run(compiler.command, [...flags, "-I", headers, "-c", join(folder, file), "-o", object]),
      );
    }
  }
  const target = join(output, "voxquant.node");
  if (pending.length === 0 && existsSync(target)) {
    console.log("native: up to date");
    return;
  }
  rmSync(statePath, { force: true });
  const started = performance.now();
  const compiled = pending.length;
  const lane = async () => {
    for (let job = pending.shift(); job !== undefined; job = pending.shift()) await job();
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(availableParallelism(), 8)) }, lane));
  const link =
    process.platform === "darwin"
      ? ["-bundle", "-undefined", "dynamic_lookup"]
      : ["-shared", "-Wl,--gc-sections", "-s"];
  const temporary = `${target}.${process.pid}`;
  await run(compiler.command, [...compiler.args, ...link, ...objects, "-pthread", "-o", temporary]);
  renameSync(temporary, target);
  writeFileSync(statePath, JSON.stringify(next));
  console.log(
    `native: ${compiled} files compiled with ${compiler.version} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
}

await main();
