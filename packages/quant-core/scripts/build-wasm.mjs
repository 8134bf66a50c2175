// Compiles assembly/ to wasm/, plain SIMD128 and relaxed SIMD, and puts the TensorFlow.js WASM binary beside them, so
// that a bundler finds all three by URL. Does nothing when wasm/ is newer than its sources.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(import.meta.url);
const root = join(dirname(script), "..");
const assembly = join(root, "assembly");
const target = join(root, "wasm");
const require = createRequire(import.meta.url);

const engine = join(dirname(require.resolve("@tensorflow/tfjs-backend-wasm")), "tfjs-backend-wasm-simd.wasm");
const compiler = fileURLToPath(import.meta.resolve("assemblyscript/asc"));
const variants = [
  { file: "voxquant-simd.wasm", features: ["--enable", "simd"] },
  { file: "voxquant-relaxed-simd.wasm", features: ["--enable", "simd", "--enable", "relaxed-simd"] },
];

const sources = readdirSync(assembly)
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(assembly, name));
const newest = Math.max(...[script, compiler, engine, ...sources].map((file) => statSync(file).mtimeMs));
const outputs = [...variants.map(({ file }) => file), "tfjs-backend-wasm-simd.wasm"].map((name) =>
  join(target, name),
);
if (outputs.every((file) => existsSync(file) && statSync(file).mtimeMs > newest)) process.exit(0);

mkdirSync(target, { recursive: true });
copyFileSync(engine, join(target, "tfjs-backend-wasm-simd.wasm"));
const { default: asc } = await import("assemblyscript/asc");
for (const { file, features } of variants) {
  const compiled = new Map();
  const { error, stderr } = await asc.main(
    [
      "index.ts",
      ...["--runtime", "stub", "--importMemory", "--noExportMemory", "--initialMemory", "1"],
      ...["-O3", "--noAssert", "--outFile", file, ...features],
    ],
    {
      readFile: (name) =>
        existsSync(join(assembly, name)) ? readFileSync(join(assembly, name), "utf8") : null,
      writeFile: (name, contents) => void compiled.set(name, contents),
      listFiles: () => [],
    },
  );
  if (error !== null) {
    console.error(stderr.toString());
    process.exit(1);
  }
  writeFileSync(join(target, file), compiled.get(file));
}
