// Builds the native addon with the C++ compiler alone:
//
//   node native/build.mjs                    for this machine, into native/build
//   node native/build.mjs --prebuild         and into prebuilds/PLATFORM-ARCH, to be packed
//   node native/build.mjs --remove-prebuilds
//   node native/build.mjs --kernel-check PROGRAM [--arch arm64]
//                                            the test program of the kernels (native/test) instead, for another
//                                            architecture where CXX is a compiler for it
//
// Without a compiler, or where it fails, it says so and succeeds; the library then runs on WebAssembly. With CI set in
// the environment a failure is one.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));
const output = join(folder, "build");
const prebuilds = join(folder, "../prebuilds");
const target = join(output, "voxquant.node");
const prebuild = process.argv.includes("--prebuild");

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
function fileFlags(file, arch) {
  const x64 = arch === "x64";
  const arm64 = arch === "arm64";
  switch (file) {
    case "kernels_avx2.cpp":
    case "unpack_avx2.cpp":
      return x64 ? ["-mavx2", "-mfma", "-mf16c", "-fno-exceptions"] : null;
    case "kernels_avxvnni.cpp":
      return x64
        ? ["-mavx2", "-mfma", "-mf16c", "-mavxvnni", "-fno-tree-vectorize", "-fno-exceptions"]
        : null;
    // No auto-vectorizer with VNNI: GCC 12 makes dot products of the wrong signedness from byte loops.
    case "kernels_avx512.cpp":
      return x64 ? [...AVX512, "-fno-tree-vectorize", "-fno-exceptions", "-Wno-maybe-uninitialized"] : null;
    case "kernels_avx512bf16.cpp":
      return x64
        ? [...AVX512, "-mavx512bf16", "-fno-tree-vectorize", "-fno-exceptions", "-Wno-maybe-uninitialized"]
        : null;
    case "kernels_amx.cpp":
      return x64
        ? [
            ...AVX512,
            "-mavx512bf16",
            "-mamx-tile",
            "-mamx-bf16",
            "-mamx-int8",
            "-fno-tree-vectorize",
            "-fno-exceptions",
          ]
        : null;
    case "kernels_neon.cpp":
      return arm64 ? [] : null;
    case "kernels_neon_dotprod.cpp":
      return arm64 ? ["-march=armv8.2-a+dotprod"] : null;
    case "kernels_neon_i8mm.cpp":
      return arm64 ? ["-march=armv8.2-a+dotprod+i8mm"] : null;
    default:
      return [];
  }
}

/** Instruction sets younger than some compilers in use: without them the others still work. */
const YOUNG = new Set([
  "kernels_avxvnni.cpp",
  "kernels_avx512.cpp",
  "kernels_avx512bf16.cpp",
  "kernels_amx.cpp",
  "kernels_neon_dotprod.cpp",
  "kernels_neon_i8mm.cpp",
]);

/** The flags of a file, or those that make it a level that no machine has where the compiler does not know its flags. */
function knownFlags(compiler, file, flags) {
  if (!YOUNG.has(file)) return flags;
  const probe = [...compiler.args, ...flags, "-fsyntax-only", "-x", "c++", "-"];
  const { status } = spawnSync(compiler.command, probe, { input: "" });
  return status === 0 ? flags : ["-DVOXQUANT_LEVEL_MISSING"];
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

/** Jobs (functions), as many at a time as there are processors; empties the list. */
async function runAll(jobs) {
  const lane = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(availableParallelism(), 8)) }, lane));
}

/** Compiles everything but the bindings with the test program into one static executable. */
async function buildKernelCheck(program, arch) {
  const compiler = findCompiler();
  if (compiler === null) throw new Error("no C++ compiler; set CXX");
  const place = `${program}.objects`;
  mkdirSync(place, { recursive: true });
  const sources = readdirSync(folder)
    .filter((file) => file.endsWith(".cpp") && !/^(addon|bind_|napi_|mapping)/.test(file))
    .map((file) => ({ path: join(folder, file), flags: fileFlags(file, arch) }))
    .filter(({ flags }) => flags !== null);
  // Few machines have AVX-VNNI: where it is missing its file runs with AVX-512's form of the same instruction.
  const path = join(folder, "kernels_avxvnni.cpp");
  if (arch === "x64")
    sources.push({ path, flags: [...AVX512, "-fno-tree-vectorize", "-DVOXQUANT_AVXVNNI_OF_AVX512"] });
  for (const source of sources) source.flags = [...source.flags, "-DVOXQUANT_KERNEL_CHECK"];
  sources.push({ path: join(folder, "test/kernel_check.cpp"), flags: [] });
  const objects = sources.map((_, i) => join(place, `${i}.o`));
  await runAll(
    sources.map(({ path, flags }, i) => () => {
      const all = [...compiler.args, ...COMMON, ...flags, "-c", path, "-o", objects[i]];
      return run(compiler.command, all);
    }),
  );
  await run(compiler.command, [...compiler.args, ...objects, "-static", "-pthread", "-o", program]);
  rmSync(place, { recursive: true });
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
  const missing = [];
  const next = {};
  for (const file of files.filter((name) => name.endsWith(".cpp"))) {
    const wanted = fileFlags(file, process.arch);
    if (wanted === null) continue;
    const own = knownFlags(compiler, file, wanted);
    if (own !== wanted) missing.push(file.replace(/^kernels_|\.cpp$/g, ""));
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
  if (missing.length > 0) console.log(`native: ${compiler.version} is too old for ${missing.join(", ")}`);
  if (pending.length === 0 && existsSync(target) && !prebuild) {
    console.log("native: up to date");
    return;
  }
  rmSync(statePath, { force: true });
  const started = performance.now();
  const compiled = pending.length;
  await runAll(pending);
  const temporary = `${target}.${process.pid}`;
  await run(compiler.command, [...compiler.args, ...linkFlags(), ...objects, "-pthread", "-o", temporary]);
  renameSync(temporary, target);
  writeFileSync(statePath, JSON.stringify(next));
  console.log(
    `native: ${compiled} files compiled with ${compiler.version} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  if (prebuild) {
    const place = join(prebuilds, `${process.platform}-${process.arch}`);
    mkdirSync(place, { recursive: true });
    // Other machines may have an older C++ library, or none.
    const alone = process.platform === "linux" ? ["-static-libstdc++", "-static-libgcc"] : [];
    const packed = join(place, "voxquant.node");
    await run(compiler.command, [
      ...compiler.args,
      ...linkFlags(),
      ...alone,
      ...objects,
      "-pthread",
      "-o",
      packed,
    ]);
    console.log(`native: ${packed}`);
  }
}

function linkFlags() {
  return process.platform === "darwin"
    ? ["-bundle", "-undefined", "dynamic_lookup"]
    : ["-shared", "-Wl,--gc-sections", "-Wl,--exclude-libs,ALL", "-s"];
}

const checkAt = process.argv.indexOf("--kernel-check");
if (process.argv.includes("--remove-prebuilds")) {
  rmSync(prebuilds, { recursive: true, force: true });
} else if (checkAt > 0) {
  const archAt = process.argv.indexOf("--arch");
  await buildKernelCheck(process.argv[checkAt + 1], archAt > 0 ? process.argv[archAt + 1] : process.arch);
} else {
  try {
    await main();
  } catch (error) {
    const log = join(output, "build.log");
    mkdirSync(output, { recursive: true });
    writeFileSync(log, `${error instanceof Error ? error.message : String(error)}\n`);
    rmSync(target, { force: true }); // an older one need not fit these sources
    console.log(
      `native: the compiler failed (${log}), the native backend is left out (everything runs on WebAssembly)`,
    );
    if (process.env.CI) process.exitCode = 1;
  }
}
