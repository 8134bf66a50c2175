import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** A compiler with its libraries, those to link statically too. */
function foundCompiler(command: string): string | null {
  const args = ["-static", "-x", "c++", "-", "-o", "/dev/null"];
  return found(command, args, "#include <vector>\nint main() {}\n");
}

const folder = mkdtempSync(join(tmpdir(), "voxquant-kernels-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Compiles the program of `native/test` for an architecture and returns its path. */
function buildKernelCheck(compiler: string, arch: string): string {
  const program = join(folder, `kernel_check-${arch}`);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [build, "--kernel-check", program, "--arch", arch],
    { encoding: "utf8", env: { ...process.env, CXX: compiler } },
  );
  expect(`${status} ${stdout}${stderr}`).toMatch(/^0 /);
  expect(existsSync(program)).toBe(true);
  return program;
}

/** Runs it with the goldens' vectors, expects no failure and returns the names of the levels. */
function checkedLevels(command: string, ...args: string[]): string[] {
  const vectors = join(folder, "vectors.bin");
  const all = [...args, ...(writeVectors(vectors) ? [vectors] : [])];
  const { stdout, status } = spawnSync(command, all, { encoding: "utf8" });
  const lines = stdout.trim().split("\n");
  expect(lines.filter((line) => !/: \d+ checks, 0 failed$/.test(line))).toEqual([]);
  expect(status).toBe(0);
  return lines.map((line) => line.replace(/:.*/, ""));
}

describe("kernels of this machine", () => {
  const compiler = foundCompiler("c++");
  const cpu = existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "";
  const { arch } = process;

  (compiler === null ? test.skip : test)(
    "every level gives the right results",
    () => {
      const levels = checkedLevels(buildKernelCheck(compiler!, arch));
      expect(levels[0]).toBe("baseline");
      // with these the program can do those levels' arithmetic even where it lacks their instructions
      if (/ avx512_vnni /.test(cpu)) expect(levels).toContain("avxvnni");
      if (/ avx512_vnni .* avx512_bf16 | avx512_bf16 .* avx512_vnni /.test(cpu))
        expect(levels).toContain("amx");
    },
    600_000,
  );
});

/** A cross compiler. */
const CXX = "aarch64-linux-gnu-g++";

/** CPU models of QEMU: without dot products, with them. `max` has int8 matrix products too. */
const LESSER_CPUS = [
  { cpu: "cortex-a72", levels: ["baseline", "neon"] },
  { cpu: "cortex-a76", levels: ["baseline", "neon", "neondotprod"] },
];

describe("kernels on AArch64, emulated", () => {
  const compiler = foundCompiler(CXX);
  const emulator = found("qemu-aarch64", ["--version"]);
  if (compiler === null || emulator === null) {
    const missing = compiler === null ? CXX : "qemu-aarch64";
    process.stderr.write(`kernels on AArch64: ${missing} is not installed, skipped\n`);
    test.skip("every level gives the right results", () => undefined);
    return;
  }

  let program = "";
  beforeAll(() => {
    program = buildKernelCheck(compiler, "arm64");
  }, 600_000);

  test("every level gives the right results", () => {
    const levels = checkedLevels(emulator, "-cpu", "max", program);
    expect(levels).toEqual(["baseline", "neon", "neondotprod", "neoni8mm"]);
  }, 600_000);

  test.each(LESSER_CPUS)("a $cpu gets the levels that it can run", ({ cpu, levels }) => {
    const { stdout } = spawnSync(emulator, ["-cpu", cpu, program, "--levels"], { encoding: "utf8" });
    expect(stdout.trim().split("\n")).toEqual(levels);
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
