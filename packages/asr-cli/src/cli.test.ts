import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTensors } from "@voxquant/goldens";
import { runCli } from "./testing/cli.js";
import { MINI, SAMPLE, noise, pcmOf, wav } from "./testing/inputs.js";

const TEXT = "Turn on the kitchen light.";
const LONG = SAMPLE.replace("kitchen-light", "morning");
const LONG_TEXTS = [
  "Good morning.",
  "What time is it?",
  "Play some jazz music.",
  "Set the volume to forty percent.",
  "Where are my keys?",
  "Add coffee to the shopping list.",
  "Thank you very much.",
];

const folder = mkdtempSync(join(tmpdir(), "voxquant-cli-"));
const gguf = join(folder, "mini-q8_0.gguf");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  const { code, stdout, stderr } = await runCli([
    "quantize",
    "-i",
    MINI,
    "-o",
    gguf,
    "--scope",
    "all",
    "--quantize-embeddings",
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as string });
  expect(stdout).toMatch(/mini-q8_0\.gguf: .* MB, .* % of/);
  expect(stdout).toMatch(/BF16 -> Q8_0/);
});

describe("transcribe", () => {
  test("stdout has the text alone, notes go to stderr, --quiet has none", async () => {
    const result = await runCli(["transcribe", SAMPLE, "--model", gguf]);
    expect(result).toMatchObject({ code: 0, stdout: `${TEXT}\n` });
    expect(result.stderr).toMatch(/backend (native|wasm|cpu)/);
    const quiet = await runCli(["transcribe", SAMPLE, "--model", gguf, "--quiet"]);
    expect(quiet).toEqual({ code: 0, stdout: `${TEXT}\n`, stderr: "" });
  });

  test("several files give one JSON array in their order, those that fail too", async () => {
    const broken = join(folder, "broken.wav");
    writeFileSync(broken, "this is no audio at all, whatever its name says");
    const result = await runCli(["transcribe", SAMPLE, broken, LONG, "--model", MINI, "--json"]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/broken\.wav: /);
    expect(result.stderr).toMatch(/1 of 3 files failed/);
    const records = JSON.parse(result.stdout) as {
      file: string;
      text?: string;
      language?: string;
      error?: { name: string };
    }[];
    expect(records.map(({ file }) => file)).toEqual([SAMPLE, broken, LONG]);
    expect(records[0]).toMatchObject({ text: TEXT, language: "English", stopReason: "eos" });
    expect(records[1]!.error!.name).toBe("AudioError");
    expect(records[2]!.text).toBe(LONG_TEXTS.join(" "));
  });

  test("patterns are expanded, texts carry their file's name", async () => {
    for (const name of ["one.wav", "two.wav"]) writeFileSync(join(folder, name), readFileSync(SAMPLE));
    const { code, stdout } = await runCli([
      "transcribe",
      "--audio",
      join(folder, "???.wav"),
      "--model",
      gguf,
    ]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${join(folder, "one.wav")}: ${TEXT}\n${join(folder, "two.wav")}: ${TEXT}\n`,
    });
  });

  test("subtitles have a cue per sentence at its time; a folder gets one file per input", async () => {
    const output = join(folder, "subtitles");
    const result = await runCli([
      "transcribe",
      SAMPLE,
      LONG,
      "--model",
      gguf,
      "--format",
      "srt",
      "--output",
      `${output}/`,
    ]);
    expect(result).toMatchObject({ code: 0, stdout: "" });
    const srt = readFileSync(join(output, "morning-en.srt"), "utf8");
    const cues = srt
      .trim()
      .split("\n\n")
      .map((cue) => cue.split("\n"));
    expect(cues.map((cue) => cue[2])).toEqual(LONG_TEXTS);
    expect(cues[1]![1]).toMatch(/^00:00:0[12],\d{3} --> 00:00:0[234],\d{3}$/);
    expect(readdirSync(output).sort()).toEqual(["kitchen-light-en.srt", "morning-en.srt"]);
  });

  test("existing output is refused before the model is loaded, --force replaces it", async () => {
    const output = join(folder, "existing.txt");
    writeFileSync(output, "old");
    const args = ["transcribe", SAMPLE, "--model", gguf, "--output", output];
    const refused = await runCli(args);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/existing\.txt exists already.*--force/);
    expect(refused.stderr).not.toMatch(/backend/);
    expect((await runCli([...args, "--force"])).code).toBe(0);
    expect(readFileSync(output, "utf8")).toBe(`${TEXT}\n`);
  });

  test("audio comes from stdin too, as a file or as raw PCM with partial texts", async () => {
    const file = await runCli(["transcribe", "-", "--model", gguf, "--quiet"], {
      stdin: readFileSync(SAMPLE),
    });
    expect(file).toEqual({ code: 0, stdout: `${TEXT}\n`, stderr: "" });
    const raw = await runCli(["transcribe", "--stream", "-", "--model", gguf, "--json"], {
      stdin: pcmOf(SAMPLE),
    });
    expect(raw.code).toBe(0);
    const states = raw.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { text: string; final: boolean });
    expect(states.at(-1)).toMatchObject({ text: TEXT, final: true });
  });

  test("silence and noise give an empty transcript", async () => {
    const silence = join(folder, "silence.wav");
    writeFileSync(silence, wav(new Float32Array(32_000)));
    const hiss = join(folder, "hiss.wav");
    writeFileSync(hiss, wav(noise(48_000)));
    const result = await runCli(["transcribe", silence, hiss, "--model", gguf, "--json"]);
    expect(result.code).toBe(0);
    for (const record of JSON.parse(result.stdout) as object[]) {
      expect(record).toMatchObject({ text: "", segments: [], stopReason: "no-speech" });
    }
    expect(
      (await runCli(["transcribe", silence, "--model", gguf, "--format", "srt", "--quiet"])).stdout,
    ).toBe("");
  });

  test("--trace writes the stage tensors", async () => {
    const trace = join(folder, "trace.safetensors");
    const { code, stderr } = await runCli(["transcribe", SAMPLE, "--model", gguf, "--trace", trace]);
    expect({ code, stderr: stderr.includes("error") }).toEqual({ code: 0, stderr: false });
    expect(readTensors(trace).size).toBeGreaterThan(3);
  });

  test("nothing of it touches the network", async () => {
    const guard = join(folder, "no-network.mjs");
    writeFileSync(
      guard,
      `import dns from "node:dns"; import net from "node:net"; import { syncBuiltinESMExports } from "node:module";
       const refuse = (name) => () => { process.stderr.write("NETWORK " + name + "\\n"); throw new Error("network: " + name); };
       net.connect = net.createConnection = refuse("connect"); net.Socket.prototype.connect = refuse("socket");
       dns.lookup = refuse("lookup"); dns.promises.lookup = refuse("lookup"); globalThis.fetch = refuse("fetch");
       syncBuiltinESMExports();`,
    );
    for (const backend of ["auto", "wasm"]) {
      const result = await runCli(["transcribe", SAMPLE, "--model", gguf, "--backend", backend], {
        node: ["--import", guard],
      });
      expect(result.stderr).not.toMatch(/NETWORK/);
      expect(result).toMatchObject({ code: 0, stdout: `${TEXT}\n` });
    }
  });

  test("Ctrl-C ends with 130 and leaves nothing", async () => {
    const output = join(folder, "interrupted");
    mkdirSync(output);
    const long = join(folder, "long.wav");
    writeFileSync(long, wav(repeat(LONG, 40)));
    const result = await runCli(["transcribe", long, "--model", gguf, "--output", join(output, "out.txt")], {
      interruptAfter: /backend/,
    });
    expect(result.code).toBe(130);
    expect(result.stderr).toMatch(/interrupted/);
    expect(readdirSync(output)).toEqual([]);
  });
});

describe("quantize", () => {
  test("leaves nothing when the disk is full", async () => {
    const output = join(folder, "full");
    mkdirSync(output);
    const result = await runCli(["quantize", "-i", MINI, "-o", join(output, "x.gguf"), "--scope", "all"], {
      fileLimit: 1000,
    });
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/x\.gguf/);
    expect(readdirSync(output)).toEqual([]);
  });

  test("refuses an existing output, a scope that matches nothing and an unwritable place", async () => {
    const existing = await runCli(["quantize", "-i", MINI, "-o", gguf]);
    expect(existing).toMatchObject({ code: 1, stdout: "" });
    expect(existing.stderr).toMatch(/exists already.*--force/);
    const scope = await runCli(["quantize", "-i", MINI, "-o", join(folder, "s.gguf"), "--scope", "talker."]);
    expect(scope.code).toBe(1);
    expect(scope.stderr).toMatch(/scope "talker\." matches no tensor.*thinker\./);
    const unwritable = await runCli(["quantize", "-i", MINI, "-o", join(gguf, "x.gguf")]);
    expect(unwritable.code).toBe(1);
    expect(unwritable.stderr).toMatch(/x\.gguf cannot be written/);
    expect(existsSync(join(folder, "s.gguf"))).toBe(false);
  });

  test("reports types that had to be others, as text and as JSON", async () => {
    const output = join(folder, "typed.gguf");
    const args = [
      "quantize",
      "-i",
      MINI,
      "-o",
      output,
      "--qtype",
      "q6k",
      "--scope",
      "all",
      "--tensor-type",
      "embed_tokens=q4_0",
      "--force",
    ];
    expect((await runCli(args)).stdout).toMatch(/not stored as asked:(.|\n)*row length 288/);
    const report = JSON.parse((await runCli([...args, "--json"])).stdout) as {
      tensors: { name: string; to: string }[];
    };
    expect(report.tensors.find(({ name }) => name.endsWith("embed_tokens.weight"))!.to).toBe("Q4_0");
  });
});

describe("inspect and models", () => {
  test("inspect shows header, types and errors against the source", async () => {
    const { code, stdout } = await runCli(["inspect", gguf, "--compare", MINI, "--tensors"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/GGUF version 3/);
    expect(stdout).toMatch(/general\.architecture +string +"qwen3-asr"/);
    expect(stdout).toMatch(/Q8_0 +\d+ +[\d,]+ +[\d.]+ MB +8\.50/);
    expect(stdout).toMatch(/memory for 2048 tokens/);
    expect(stdout).toMatch(/thinker\.model\.embed_tokens\.weight +BF16 +Q8_0 +\d\.\d\de-3/);
    const record = JSON.parse((await runCli(["inspect", gguf, "--json"])).stdout) as {
      version: number;
      tensors: unknown[];
    };
    expect(record.version).toBe(3);
    expect(record.tensors.length).toBeGreaterThan(50);
  });

  test("models list and check", async () => {
    const list = await runCli(["models", "list", "--root", "models"]);
    expect(list).toMatchObject({
      code: 0,
      stdout:
        "qwen3-asr-mini: OK (safetensors: 1 file(s), gguf: - (0))\nqwen3-tts-mini: Qwen3-TTS, for tts-cli\n",
    });
    const ready = await runCli(["models", "check", "--model", MINI]);
    expect(ready.code).toBe(0);
    expect(ready.stdout).toMatch(/config\.json: OK(.|\n)*transcribe=OK \| quantize=OK\n$/);
    mkdirSync(join(folder, "empty"));
    const missing = await runCli(["models", "check", "--model", join(folder, "empty")]);
    expect(missing.code).toBe(1);
    expect(missing.stdout).toMatch(/config\.json: MISSING(.|\n)*transcribe=NO/);
  });

  test("a reader that stops reading is no failure", async () => {
    const { spawnSync } = await import("node:child_process");
    const script = `"${process.execPath}" packages/asr-cli/bin/asr-cli.mjs inspect "${gguf}" --json --quiet | head -c 20`;
    const result = spawnSync("bash", ["-o", "pipefail", "-c", script], {
      cwd: join(MINI, "../.."),
      encoding: "utf8",
    });
    expect(result).toMatchObject({ status: 0, stderr: "" });
  });

  test("--help and --version", async () => {
    expect((await runCli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const help = await runCli(["transcribe", "--help"]);
    expect(help.code).toBe(0);
    expect(help.stdout).toMatch(/--segment-seconds/);
  });
});

describe("imatrix", () => {
  test("measures from audio what quantize reads", async () => {
    const output = join(folder, "imatrix.gguf");
    const measured = await runCli(["imatrix", LONG, "--model", MINI, "-o", output]);
    expect(measured.code).toBe(0);
    expect(measured.stdout).toMatch(/imatrix\.gguf: \d+ tensors measured on 20\.5 s of audio/);
    const quantized = await runCli([
      "quantize",
      "-i",
      MINI,
      "-o",
      join(folder, "im.gguf"),
      "--qtype",
      "q4_k",
      "--scope",
      "all",
      "--imatrix",
      output,
    ]);
    expect(quantized.code).toBe(0);
  });
});

/** The samples of a WAV file, several times over. */
function repeat(path: string, times: number): Float32Array {
  const pcm = pcmOf(path);
  const samples = new Int16Array(
    pcm.buffer.slice(pcm.byteOffset, pcm.byteOffset + pcm.byteLength - (pcm.byteLength % 2)),
  );
  const out = new Float32Array(samples.length * times);
  for (let i = 0; i < out.length; i++) out[i] = samples[i % samples.length]! / 32768;
  return out;
}
