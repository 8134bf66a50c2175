import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { GGML_TYPES, type GgmlType } from "../../weight.js";
import { dequantize } from "../../quantize/dequantize.js";
import { quantizeRows } from "../../quantize/quantize-rows.js";

interface Goldens {
  inputs: { id: string; f32_le_hex: string }[];
  vec_dot: { weight_type: GgmlType; weight_input: string; act_input: string; n: number }[];
}

const native = join(dirname(fileURLToPath(import.meta.url)), "../../../native");
const build = join(native, "build.mjs");

/** The goldens' dot products as `kernel_check` reads them: weights as the quantizers write them, answers in double precision. */
function writeVectors(path: string): boolean {
  const file = goldensFolder("ggml-quants.json");
  if (file === null) return false;
  const goldens = readGoldenJson<Goldens>(file);
  const inputs = new Map(
    goldens.inputs.map(({ id, f32_le_hex: hex }) => [
      id,
      new Float32Array(new Uint8Array(Buffer.from(hex, "hex")).buffer),
    ]),
  );
  const parts: Uint8Array[] = [];
  for (const { weight_type: type, weight_input: from, act_input: to, n } of goldens.vec_dot) {
    const bytes = quantizeRows(type, inputs.get(from)!.subarray(0, n), n);
    const weights = new Float32Array(n);
    dequantize(type, bytes, weights);
    const x = inputs.get(to)!.slice(0, n);
    let sum = 0;
    let size = 0;
    for (let i = 0; i < n; i++) {
      sum += weights[i]! * x[i]!;
      size += Math.abs(weights[i]! * x[i]!);
    }
    parts.push(
      new Uint8Array(Int32Array.of(GGML_TYPES[type].id, n).buffer),
      new Uint8Array(x.buffer),
      new Uint8Array(Int32Array.of(bytes.length).buffer),
      bytes,
      new Uint8Array(Float64Array.of(sum, 2e-6 * size).buffer),
    );
  }
  writeFileSync(path, Buffer.concat(parts));
  return true;
}

/** A tool of the search path that works with these arguments, or null. */
function found(command: string, args: string[], input = ""): string | null {
  return spawnSync(command, args, { input }).status === 0 ? command : null;
}

/** A cross compiler with its libraries. */
const CXX = "aarch64-linux-gnu-g++";
const COMPILES = ["-static", "-x", "c++", "-", "-o", "/dev/null"];

/** CPU models of QEMU: without dot products, with them. `max` has int8 matrix products too. */
const LESSER_CPUS = [
  { cpu: "cortex-a72", levels: ["baseline", "neon"] },
  { cpu: "cortex-a76", levels: ["baseline", "neon", "neondotprod"] },
];

describe("kernels on AArch64, emulated", () => {
  const compiler = found(CXX, COMPILES, "#include <vector>\nint main() {}\n");
  const emulator = found("qemu-aarch64", ["--version"]);
  if (compiler === null || emulator === null) {
    const missing = compiler === null ? CXX : "qemu-aarch64";
    process.stderr.write(`kernels on AArch64: ${missing} is not installed, skipped\n`);
    test.skip("every level gives the right results", () => undefined);
    return;
  }

  const folder = mkdtempSync(join(tmpdir(), "voxquant-kernels-"));
  const program = join(folder, "kernel_check");
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("they compile", () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [build, "--kernel-check", program, "--arch", "arm64"],
      { encoding: "utf8", env: { ...process.env, CXX: compiler } },
    );
    expect(`${status} ${stdout}${stderr}`).toMatch(/^0 /);
    expect(existsSync(program)).toBe(true);
  }, 600_000);

  const emulated = (cpu: string, ...args: string[]) =>
    spawnSync(emulator, ["-cpu", cpu, program, ...args], { encoding: "utf8" })
      .stdout.trim()
      .split("\n");

  test("every level gives the right results", () => {
    const vectors = join(folder, "vectors.bin");
    const lines = emulated("max", ...(writeVectors(vectors) ? [vectors] : []));
    expect(lines.filter((line) => line.startsWith("FAILED"))).toEqual([]);
    expect(lines.map((line) => line.replace(/: \d+ checks, 0 failed$/, ""))).toEqual([
      "baseline",
      "neon",
      "neondotprod",
      "neoni8mm",
    ]);
  }, 600_000);

  test.each(LESSER_CPUS)("a $cpu gets the levels that it can run", ({ cpu, levels }) => {
    expect(emulated(cpu, "--levels")).toEqual(levels);
  });
});

/** Levels that a compiler may be too old for. */
const YOUNG = ["avxvnni", "avx512", "avx512bf16", "amx", "neon_dotprod", "neon_i8mm"];
const compiler = found("c++", ["-fsyntax-only", "-x", "c++", "-"]);

(compiler === null ? test.skip : test)("a level that the compiler is too old for is null", () => {
  for (const name of YOUNG) {
    const args = ["-std=c++17", "-S", "-O1", "-DVOXQUANT_LEVEL_MISSING", "-o", "-"];
    const { status, stdout } = spawnSync(compiler!, [...args, join(native, `kernels_${name}.cpp`)], {
      encoding: "utf8",
    });
    expect([name, status]).toEqual([name, 0]);
    expect(stdout.match(/isa\w+/)?.[0].toLowerCase()).toContain(name.replace("_", ""));
    expect(stdout.split("\n").length).toBeLessThan(60);
  }
});
