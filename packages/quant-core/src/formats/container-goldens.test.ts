import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { VoxquantError } from "../errors.js";
import { openCheckpoint } from "./open.js";

interface FileCase {
  id: string;
  note: string;
  /** accept…, reject, either, or "accept or clear unsupported error". */
  expect: string;
  hex: string;
}

type Goldens = Record<"gguf" | "safetensors", Record<string, FileCase[]>>;

const path = goldensFolder("ggml-quants.json");
const goldens = path === null ? null : readGoldenJson<Goldens>(path);

/** Memory that a refused header of a few hundred bytes may cost at most, garbage included. */
const ALLOCATION_LIMIT = 16 * 2 ** 20;

const judged = { cases: 0, tensors: 0 };
afterAll(() => {
  if (goldens === null) return;
  process.stderr.write(
    `goldens: ggml-quants.json, GGUF and safetensors: ${judged.cases} files, ${judged.tensors} tensors read\n`,
  );
});

async function outcome(bytes: Uint8Array): Promise<"accept" | VoxquantError> {
  try {
    const checkpoint = await openCheckpoint(bytes);
    for (const { name, byteLength } of checkpoint.tensors.values()) {
      expect((await checkpoint.readRange(name, 0, byteLength)).length).toBe(byteLength);
      judged.tensors++;
    }
    return "accept";
  } catch (error) {
    if (error instanceof VoxquantError) return error;
    throw error;
  }
}

for (const format of ["gguf", "safetensors"] as const) {
  for (const [kind, cases] of Object.entries(goldens?.[format] ?? {})) {
    it.each(cases)(`${format} ${kind} $id: $expect`, async ({ expect: expected, hex }) => {
      judged.cases++;
      const before = process.memoryUsage();
      const found = await outcome(new Uint8Array(Buffer.from(hex, "hex")));
      const after = process.memoryUsage();
      expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(ALLOCATION_LIMIT);
      expect(after.heapUsed - before.heapUsed).toBeLessThan(ALLOCATION_LIMIT);
      if (expected === "reject") {
        expect(found).toBeInstanceOf(VoxquantError);
        expect((found as VoxquantError).message).toMatch(/^buffer: \S/); // names the file, and says something
      } else if (expected === "either" || expected.includes(" or ")) {
        if (found !== "accept") expect(found).toBeInstanceOf(VoxquantError);
      } else {
        expect(found).toBe("accept");
      }
    });
  }
}

const find = (format: "gguf" | "safetensors", id: string) =>
  Object.values(goldens?.[format] ?? {})
    .flat()
    .find((golden) => golden.id === id);

const basic = find("gguf", "v3_basic");
(basic === undefined ? it.skip : it)(
  "reads names, types, row-major shapes and values of v3_basic",
  async () => {
    const checkpoint = await openCheckpoint(new Uint8Array(Buffer.from(basic!.hex, "hex")));
    expect(checkpoint.gguf!.version).toBe(3);
    const norm = await checkpoint.read("norm.weight");
    expect(norm).toMatchObject({ dtype: "F32", shape: [2, 3] });
    expect([...new Float32Array(norm.bytes.slice().buffer)]).toEqual([1, 2, 3, 4, 5, 6]);
    const proj = await checkpoint.read("proj.weight");
    expect(proj).toMatchObject({ dtype: "Q4_0", shape: [2, 32] });
    expect(proj.bytes.length).toBe(36);
  },
);

const bf16 = find("safetensors", "bf16");
(bf16 === undefined ? it.skip : it)("reads the values of a bfloat16 safetensors file", async () => {
  const checkpoint = await openCheckpoint(new Uint8Array(Buffer.from(bf16!.hex, "hex")));
  const [info] = checkpoint.tensors.values();
  const weight = await checkpoint.read(info!.name);
  expect(weight.dtype).toBe("BF16");
  expect([...new Uint16Array(weight.bytes.slice().buffer)]).toEqual([0x3f80, 0xc0c0]);
});

if (goldens === null) it.skip("container goldens", () => undefined);
