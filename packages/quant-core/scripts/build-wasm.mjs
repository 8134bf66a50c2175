// Compiles assembly/ to wasm/, plain SIMD128 and relaxed SIMD, and puts the TensorFlow.js WASM binary beside them, so
// that a bundler finds all by URL; each also as a copy whose memory is shared between threads. Does nothing when wasm/
// is newer than its sources.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
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
const outputs = [...variants.map(({ file }) => file), "tfjs-backend-wasm-simd.wasm"]
  .flatMap((name) => [name, sharedName(name)])
  .map((name) => join(target, name));
if (outputs.every((file) => existsSync(file) && statSync(file).mtimeMs > newest)) process.exit(0);

mkdirSync(target, { recursive: true });
writeBoth("tfjs-backend-wasm-simd.wasm", readFileSync(engine));
const { default: asc } = await import("assemblyscript/asc");
for (const { file, features } of variants) {
  const compiled = new Map();
  const { error, stderr } = await asc.main(
    [
      "index.ts",
      ...["--runtime", "stub", "--importMemory", "--noExportMemory", "--initialMemory", "1"],
      ...["--maximumMemory", "65536"],
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
  writeBoth(file, compiled.get(file));
}

function sharedName(file) {
  return file.replace(/\.wasm$/, "-shared.wasm");
}

function writeBoth(file, binary) {
  writeFileSync(join(target, file), binary);
  writeFileSync(join(target, sharedName(file)), withSharedMemory(file, binary));
}

/**
 * The same code on a shared memory: what differs is one bit of the memory's declaration (WebAssembly threads proposal,
 * limits 0x03 instead of 0x01), be it the module's own or imported. Code without atomic instructions is valid on both.
 */
function withSharedMemory(file, binary) {
  const [IMPORT, MEMORY] = [2, 5];
  const bytes = Uint8Array.from(binary);
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  let shared = false;
  const share = () => {
    shared = true;
    if (bytes[at] !== 1) throw new Error(`${file}: its memory has no maximum (limits ${bytes[at]})`);
    bytes[at] = 3;
  };
  const skipLimits = () => {
    const flags = number();
    for (let i = 0; i < 1 + (flags & 1); i++) number();
  };
  while (at < bytes.length) {
    const section = bytes[at++];
    const end = number() + at;
    if (section === MEMORY && number() === 1) share();
    if (section === IMPORT) {
      for (let left = number(); left > 0; left--) {
        for (let name = 0; name < 2; name++) {
          const length = number();
          at += length;
        }
        const kind = bytes[at++];
        if (kind === 2) {
          share();
          break;
        }
        if (kind === 0) number();
        else if (kind === 3) at += 2;
        else {
          at++;
          skipLimits();
        }
      }
    }
    at = end;
  }
  if (!shared) throw new Error(`${file}: it has no memory`);
  return bytes;
}
