// Quantizes a checkpoint of the real 1.7B model's size (random weights, two shards) and prints memory and speed, each
// conversion in a process of its own. Needs 8 GB of disk.
//
//   node bench/large-checkpoint.mjs [--folder DIR] [--types q8_0,q6_k,q4_0] [--threads 1,2] [--runs 2] [--layout checkpoint]
//                                   [--scope all] [--python PYTHON] [--keep]
//
// --folder keeps the checkpoint (and with --keep the outputs) for the next time; --python is a Python with gguf-py, which
// then reads every output. MB are 10^6 bytes of the source's BF16 weights. Per core: divided by the processor time that
// the process took, which other load on the machine changes less than the time on the clock.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readOptions } from "./options.mjs";

const flags = readOptions(import.meta.url, {
  folder: { type: "string" },
  types: { type: "string", default: "q8_0,q6_k,q4_0" },
  threads: { type: "string", default: [...new Set([1, availableParallelism()])].join(",") },
  runs: { type: "string", default: "2" },
  layout: { type: "string", default: "checkpoint" },
  scope: { type: "string", default: "all" },
  python: { type: "string" },
  keep: { type: "boolean", default: false },
  convert: { type: "string" }, // the child process: options of quantizeCheckpoint as JSON
});
if (flags.convert !== undefined) await convert(JSON.parse(flags.convert));
else measure();

async function convert(options) {
  const { qwen3AsrQuantizeProfile } = await import("@voxquant/asr-model");
  const { openModelFiles, quantizeCheckpoint } = await import("@voxquant/quant-core");
  const profile = await qwen3AsrQuantizeProfile(await openModelFiles(options.input));
  const before = process.cpuUsage();
  const report = await quantizeCheckpoint(options, profile);
  const { user, system } = process.cpuUsage(before);
  const { inputBytes, outputBytes, seconds } = report;
  const peak = process.resourceUsage().maxRSS * 1024;
  console.log(
    JSON.stringify({ inputBytes, outputBytes, seconds, user: user / 1e6, system: system / 1e6, peak }),
  );
}

function measure() {
  const temporary = flags.folder === undefined ? mkdtempSync(join(tmpdir(), "voxquant-large-")) : null;
  try {
    const folder = temporary ?? flags.folder;
    if (!existsSync(join(folder, "config.json"))) {
      run(process.execPath, [script("synthetic-checkpoint.mjs"), "qwen3-asr-1.7b", folder]);
    }
    console.log(`${cpus()[0].model}, ${availableParallelism()} cores, load ${loadavg()[0].toFixed(1)}`);
    printRow(["type", "threads", "peak RSS MB", "seconds", "MB/s", "MB/s per core", "output MB", "gguf-py"]);
    for (const qtype of list(flags.types)) {
      const output = join(folder, `${qtype}.gguf`);
      for (const threads of list(flags.threads).map(Number)) {
        const { layout, scope } = flags;
        const options = { input: folder, output, qtype, layout, threads, force: true };
        if (layout === "checkpoint") options.scope = scope;
        const results = Array.from({ length: Number(flags.runs) }, () =>
          JSON.parse(
            run(process.execPath, [script("large-checkpoint.mjs"), "--convert", JSON.stringify(options)]),
          ),
        );
        // The fastest run is the one that other programs disturbed least; memory is the worst of all.
        const best = results.reduce((a, b) => (b.user + b.system < a.user + a.system ? b : a));
        const wall = Math.min(...results.map(({ seconds }) => seconds));
        const megabytes = best.inputBytes / 1e6;
        printRow([
          qtype,
          threads,
          (Math.max(...results.map(({ peak }) => peak)) / 1e6).toFixed(0),
          wall.toFixed(1),
          (megabytes / wall).toFixed(0),
          (megabytes / (best.user + best.system)).toFixed(0),
          (best.outputBytes / 1e6).toFixed(0),
          flags.python === undefined ? "–" : readByPython(output),
        ]);
      }
      if (!flags.keep) rmSync(output, { force: true });
    }
  } finally {
    if (temporary !== null) rmSync(temporary, { recursive: true });
  }
}

/** Opens the file, and dequantizes one tensor of each type. */
function readByPython(file) {
  const program = `
import sys, gguf, numpy
reader = gguf.GGUFReader(sys.argv[1])
seen = {}
for tensor in sorted(reader.tensors, key=lambda tensor: tensor.n_bytes):
    if tensor.tensor_type not in seen:
        seen[tensor.tensor_type] = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert numpy.isfinite(seen[tensor.tensor_type]).all()
print(len(reader.tensors), "tensors:", " ".join(sorted(kind.name for kind in seen)))
`;
  return run(flags.python, ["-c", program, file]).trim();
}

function run(command, args) {
  const result = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (result.status !== 0) {
    console.error(`${command} ${args.join(" ")} failed`);
    process.exit(1);
  }
  return result.stdout;
}

function script(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}

function list(text) {
  return text.split(",").filter((part) => part !== "");
}

function printRow(cells) {
  console.log(cells.map((cell) => String(cell).padStart(13)).join(" "));
}
