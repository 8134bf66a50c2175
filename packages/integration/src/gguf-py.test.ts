import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { qwen3AsrQuantizeProfile } from "@voxquant/asr-model";
import {
  dequantize,
  elementCount,
  openCheckpoint,
  openModelFiles,
  quantizeCheckpoint,
} from "@voxquant/quant-core";

const mini = resolve(import.meta.dirname, "../../../models/qwen3-asr-mini");

/** What gguf-py reads of a file: metadata, and per tensor its type, shape, a digest of its bytes and the sums of its values. */
const READ = `
import hashlib, json, sys
import gguf, numpy
reader = gguf.GGUFReader(sys.argv[1])
metadata = {name: field.contents() for name, field in reader.fields.items() if field.types[0] == gguf.GGUFValueType.STRING}
tensors = {}
for tensor in reader.tensors:
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float64)
    tensors[tensor.name] = {
        "dtype": tensor.tensor_type.name,
        "shape": [int(size) for size in reversed(tensor.shape)],
        "digest": hashlib.sha256(tensor.data.tobytes()).hexdigest(),
        "sum": float(values.sum()),
        "squares": float((values * values).sum()),
    }
print(json.dumps({"metadata": metadata, "tensors": tensors}))
`;

interface ReadByPython {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: Readonly<
    Record<string, { dtype: string; shape: number[]; digest: string; sum: number; squares: number }>
  >;
}

/** A Python that has gguf-py, or null with a line on stderr. */
function pythonWithGguf(): string | null {
  const python = process.env["VOXQUANT_PYTHON"] ?? "python3";
  const run = spawnSync(python, ["-c", "import gguf"], { encoding: "utf8" });
  if (run.status === 0) return python;
  process.stderr.write(
    `gguf-py: ${python} does not have it (pip install gguf; VOXQUANT_PYTHON names another Python), its tests are skipped\n`,
  );
  return null;
}

describe("files for gguf-py", () => {
  const python = pythonWithGguf();
  const folder = mkdtempSync(join(tmpdir(), "voxquant-gguf-py-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ["q8_0", "all", "checkpoint"],
    ["q6_k", "all", "checkpoint"],
    ["q4_k", "all", "checkpoint"],
    ["q4_0", undefined, "checkpoint"],
    ["iq4_nl", undefined, "llama.cpp"],
  ] as const)("%s, scope %s, layout %s: read the same there", async (qtype, scope, layout) => {
    if (python === null) return;
    const output = join(folder, `${qtype}.gguf`);
    await quantizeCheckpoint(
      { input: mini, output, qtype, layout, ...(scope && { scope }) },
      await qwen3AsrQuantizeProfile(await openModelFiles(mini)),
    );
    const run = spawnSync(python, ["-c", READ, output], { encoding: "utf8", maxBuffer: 2 ** 28 });
    expect(run.stderr).toBe("");
    const { metadata, tensors } = JSON.parse(run.stdout) as ReadByPython;

    const ours = await openCheckpoint(output);
    expect(Object.keys(tensors).sort()).toEqual([...ours.tensors.keys()].sort());
    for (const [name, value] of ours.metadata) {
      if (typeof value === "string") expect(metadata[name]).toBe(value);
    }
    for (const { name } of ours.tensors.values()) {
      const { dtype, shape, bytes } = await ours.read(name);
      const values = new Float32Array(elementCount(shape));
      dequantize(dtype, bytes, values);
      let sum = 0;
      let squares = 0;
      for (const value of values) {
        sum += value;
        squares += value * value;
      }
      const theirs = tensors[name]!;
      const digest = createHash("sha256").update(bytes).digest("hex");
      expect({ name, dtype: theirs.dtype, shape: theirs.shape, digest: theirs.digest }).toEqual({
        name,
        dtype,
        shape: [...shape],
        digest,
      });
      expect(theirs.squares / squares).toBeCloseTo(1, 6);
      expect(Math.abs(theirs.sum - sum)).toBeLessThan(1e-6 * Math.sqrt(squares * values.length));
    }
    await ours.close();
  });
});
