// Builds the optional package @tensorflow/tfjs-node for the tests of the tensorflow backend, on a machine that reaches
// package registries only: its own install step downloads TensorFlow from elsewhere. Linux on x64 with npm, Python's pip
// and a C++ compiler. Takes some minutes and 1 GB, and is never part of an install.
//
//   node packages/quant-core/scripts/build-tensorflow.mjs [FOLDER]     (default: packages/quant-core/.tensorflow)
//   VOXQUANT_TENSORFLOW=FOLDER npm test
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const TFJS_NODE = "@tensorflow/tfjs-node@4.22.0";
/** The oldest TensorFlow whose Python package holds the whole C API that tfjs-node 4.22 links. */
const TENSORFLOW = "tensorflow-cpu==2.15.1";
/** The parts of TensorFlow's Python package that are needed: headers of the C API and the two libraries. */
const UNPACK = `
import sys, zipfile
wanted = ("tensorflow/include/tensorflow/", "tensorflow/include/tsl/", "tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name.startswith(wanted):
            wheel.extract(name, sys.argv[2])
`;

const folder = resolve(process.argv[2] ?? join(import.meta.dirname, "../.tensorflow"));
const tfjsNode = join(folder, "node_modules/@tensorflow/tfjs-node");
const addon = join(tfjsNode, "lib/napi-v8/tfjs_binding.node");

if (process.platform !== "linux" || process.arch !== "x64") {
  fail(`this recipe is for Linux on x64, here is ${process.platform} on ${process.arch}`);
}
if (existsSync(addon)) {
  console.log(`tensorflow: already built in ${folder}`);
} else {
  const python = first(["python3", "python"], "Python with pip");
  const compiler = first(
    [...(process.env.CXX ? [process.env.CXX] : []), "c++", "g++", "clang++"],
    "a C++ compiler",
  );
  mkdirSync(folder, { recursive: true });
  installPackage();
  unpackTensorflow(python);
  compile(compiler);
}
check();

function installPackage() {
  console.log(`tensorflow: npm install ${TFJS_NODE}`);
  writeFileSync(join(folder, ".gitignore"), "*\n");
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "voxquant-tensorflow", private: true }));
  run(
    "npm",
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", TFJS_NODE],
    folder,
  );
}

function unpackTensorflow(python) {
  console.log(`tensorflow: pip download ${TENSORFLOW} (207 MB)`);
  const download = mkdtempSync(join(folder, "download-"));
  // The libraries in the package do not depend on Python: any Python of this machine may fetch the one for 3.11.
  const target = [
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_17_x86_64",
  ];
  const quiet = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", download];
  run(python, ["-m", "pip", "download", ...quiet, ...target, TENSORFLOW], folder);
  const wheel = readdirSync(download).find((name) => name.endsWith(".whl"));
  if (wheel === undefined) fail(`pip left no wheel of ${TENSORFLOW} in ${download}`);
  run(python, ["-c", UNPACK, join(download, wheel), download], folder);

  const deps = join(tfjsNode, "deps");
  rmSync(deps, { recursive: true, force: true });
  mkdirSync(join(deps, "lib"), { recursive: true });
  renameSync(join(download, "tensorflow/include"), join(deps, "include"));
  for (const [library, linked] of [
    ["libtensorflow_cc.so.2", "libtensorflow.so"],
    ["libtensorflow_framework.so.2", "libtensorflow_framework.so"],
  ]) {
    renameSync(join(download, "tensorflow", library), join(deps, "lib", library));
    symlinkSync(library, join(deps, "lib", linked));
  }
  rmSync(download, { recursive: true });
}

/** As the package's binding.gyp does, without node-gyp: only Node's C headers are needed, and they are an npm package. */
function compile(compiler) {
  console.log(`tensorflow: compiling the addon with ${compiler}`);
  const headers = createRequire(import.meta.url)("node-api-headers").include_dir;
  mkdirSync(join(tfjsNode, "lib/napi-v8"), { recursive: true });
  const includes = ["-I", headers, "-I", "deps/include", "-I", "."];
  const sources = ["binding/tfjs_backend.cc", "binding/tfjs_binding.cc"];
  const libraries = [
    "-Ldeps/lib",
    "-ltensorflow",
    "-ltensorflow_framework",
    "-Wl,-rpath,$ORIGIN/../../deps/lib",
  ];
  const flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-pthread", "-DNAPI_VERSION=8"];
  const temporary = `${addon}.${process.pid}`;
  run(compiler, [...flags, ...includes, ...sources, ...libraries, "-o", temporary], tfjsNode);
  renameSync(temporary, addon);
}

/** Loads it in a process of its own and multiplies two matrices. */
function check() {
  const script = `
    const tf = require(${JSON.stringify(tfjsNode)});
    const product = tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0];
    if (tf.getBackend() !== "tensorflow" || product !== 11) throw new Error(tf.getBackend() + " gives " + product);
    console.log("tensorflow: works, TensorFlow " + tf.backend().binding.TF_Version);`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  if (status !== 0) fail(`the addon was built but does not load:\n${stderr}`);
  console.log(`${stdout}tensorflow: use it with VOXQUANT_TENSORFLOW=${folder}`);
}

function first(candidates, what) {
  const found = candidates.find(
    (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0,
  );
  if (found === undefined) fail(`${what} is needed and not here (tried ${candidates.join(", ")})`);
  return found;
}

function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0)
    fail(`${command} ${args.slice(0, 3).join(" ")} … failed:\n${error?.message ?? stdout + stderr}`);
}

function fail(message) {
  console.error(`tensorflow: ${message}`);
  process.exit(1);
}
