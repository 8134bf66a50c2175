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
import { readVoice } from "@voxquant/acoustic-model";
import { readWav, writeWav } from "@voxquant/audio";
import {
  Terminal,
  UsageError,
  runCommand,
  type Program,
  type Session,
  type TextStream,
} from "@voxquant/cli-core";
import { readTensors } from "@voxquant/goldens";
import { FakeModel, SAMPLE_RATE, TIMINGS, expectedSamples } from "../testing/fake-model.js";
import { synthesizeCommand } from "./synthesize.js";

class Pipe implements TextStream {
  readonly chunks: Buffer[] = [];
  constructor(readonly isTTY = false) {}
  write(content: string | Uint8Array): boolean {
    this.chunks.push(Buffer.from(content));
    return true;
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

let folder: string;
let model: FakeModel;
let stdout: Pipe;
let stderr: Pipe;
let controller: AbortController;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "voxquant-speak-"));
  writeFileSync(join(folder, "model"), "");
  model = new FakeModel();
  stdout = new Pipe();
  stderr = new Pipe();
  controller = new AbortController();
});
afterEach(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);

function run(...args: string[]): Promise<void> {
  const session: Session = { terminal: new Terminal(stdout, stderr), signal: controller.signal, env: {} };
  const program: Program = {
    name: "tts-cli",
    description: "",
    version: "0",
    commands: (given) => [synthesizeCommand(given, model.load)],
  };
  return runCommand(program, ["synthesize", "--model", path("model"), ...args], session);
}

function samplesOf(file: Uint8Array): number[] {
  const { sampleRate, channels } = readWav(file);
  expect({ sampleRate, channels: channels.length }).toEqual({ sampleRate: SAMPLE_RATE, channels: 1 });
  return [...channels[0]!];
}

test("a WAV file appears whole; the default speaker is said once, warnings once", async () => {
  await run("one|two", "-o", path("new/out.wav"), "--seed", "2");
  expect(samplesOf(readFileSync(path("new/out.wav")))).toEqual(expectedSamples(2, 2));
  expect(readFileSync(path("new/out.wav")).readUInt32LE(40)).toBe(4 * 50 * 2);
  expect(readdirSync(path("new"))).toEqual(["out.wav"]);
  const said = stderr.bytes.toString();
  expect(said.match(/speaker leo, the first of 2/g)).toHaveLength(1);
  expect(said.match(/warning: careful/g)).toHaveLength(1);
  expect(said).toMatch(/out\.wav: 0\.20 s of speech in .*first audio after \d+ ms, seed 2/);
  expect(stdout.bytes).toHaveLength(0);
  expect(model.disposed).toBe(1);
});

test("what the flags say reaches the model", async () => {
  const flags = { language: "English", instruct: "slowly", temperature: "0", "top-k": "5", "top-p": "0.5" };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const more = [
    "--repetition-penalty",
    "1.1",
    "--max-seconds",
    "3",
    "--normalize",
    "off",
    "--streaming-text",
  ];
  await run("a", "text", ...args, ...more, "--speaker", "Ava", "--from-sentence", "1", "-o", path("o.wav"));
  expect(model.requests).toHaveLength(1);
  expect(model.requests[0]).toMatchObject({
    text: "a text",
    options: {
      speaker: "Ava",
      language: "English",
      instruct: "slowly",
      temperature: 0,
      topK: 5,
      topP: 0.5,
      repetitionPenalty: 1.1,
      maxSeconds: 3,
      normalize: false,
      streamingText: true,
      fromSentence: 0,
    },
  });
  expect(stderr.bytes.toString()).not.toMatch(/speaker/);
  await run("text", "--backend", "cpu", "--threads", "2", "--precision", "exact", "-o", path("p.wav"));
  expect(model.loads[1]).toMatchObject({
    source: path("model"),
    options: { backend: "cpu", threads: 2, precision: "exact" },
  });
  // Not given: the checkpoint's own settings, and text that is normalized.
  const { options } = model.requests[1]!;
  expect(options).toMatchObject({ normalize: true, speaker: "leo", seed: expect.any(Number) as number });
  for (const name of ["temperature", "topK", "topP", "streamingText", "language", "maxSeconds"])
    expect(options).not.toHaveProperty(name);
});

test("stdout gets bare samples while they are made, or a WAV of unknown length", async () => {
  let seen = 0;
  model.beforeChunk = () => void (seen = Math.max(seen, stdout.bytes.length));
  await run("one|two", "-o", "-", "--seed", "0");
  expect(seen).toBe(3 * 50 * 2);
  const pcm = stdout.bytes;
  const decoded = Array.from({ length: pcm.length / 2 }, (_, i) => pcm.readInt16LE(2 * i) / 32768);
  expect(decoded).toEqual(expectedSamples(2, 0));
  stdout = new Pipe();
  await run("one", "-o", "-", "--format", "wav-float", "--seed", "1");
  expect(stdout.bytes.readUInt32LE(40)).toBe(0xffffffff);
  expect(samplesOf(stdout.bytes)).toEqual(expectedSamples(1, 1));
});

test("--json tells sentences with their codes, times and the seed", async () => {
  await run("one|two", "-o", path("out.wav"), "--json", "--seed", "7");
  const record = JSON.parse(stdout.bytes.toString()) as Record<string, unknown>;
  expect(record).toMatchObject({
    output: path("out.wav"),
    model: "fake",
    speaker: "leo",
    language: "auto",
    seed: 7,
    sampleRate: SAMPLE_RATE,
    duration: 0.2,
    warnings: ["careful"],
    timings: TIMINGS,
  });
  expect(record["sentences"]).toEqual([
    {
      text: "one",
      start: 0,
      end: 0.1,
      stopReason: "eos",
      frames: 2,
      codes: [
        [0, 1],
        [0, 2],
      ],
    },
    expect.objectContaining({
      text: "two",
      codes: [
        [1, 1],
        [1, 2],
      ],
    }),
  ]);
});

test("an interrupted file leaves nothing", async () => {
  model.beforeChunk = (sentence) => {
    if (sentence === 1) controller.abort();
  };
  await expect(run("one|two", "-o", path("out.wav"))).rejects.toMatchObject({ name: "AbortError" });
  expect(readdirSync(folder)).toEqual(["model"]);
  expect(model.disposed).toBe(1);
});

test("--resume keeps the complete sentences, and the next run continues with the same seed", async () => {
  const output = path("out.wav");
  let interruptAt = 0;
  model.beforeChunk = (sentence) => {
    if (sentence === interruptAt) controller.abort();
  };
  const args = ["one|two|three", "-o", output, "--resume", "--format", "wav-float"];
  await expect(run(...args)).rejects.toMatchObject({ name: "AbortError" });
  expect(readdirSync(folder)).toEqual(["model"]);

  controller = new AbortController();
  interruptAt = 2;
  await expect(run(...args)).rejects.toMatchObject({ name: "AbortError" });
  expect(stderr.bytes.toString()).toMatch(/out\.wav\.part: the first sentence; the same command continues/);
  expect(readdirSync(folder).sort()).toEqual(["model", "out.wav.part", "out.wav.part.json"]);
  const { seed } = model.requests[1]!.options;
  expect(samplesOf(readFileSync(`${output}.part`))).toEqual(expectedSamples(1, seed!));

  controller = new AbortController();
  await expect(run("other", ...args.slice(1))).rejects.toThrow(/is of another text, .*--force/);
  await expect(run(...args, "--temperature", "0")).rejects.toThrow(/is of another text/);

  interruptAt = -1;
  await run(...args, "--json");
  expect(model.requests.at(-1)!.options).toMatchObject({ seed, fromSentence: 1 });
  expect(samplesOf(readFileSync(output))).toEqual(expectedSamples(3, seed!));
  expect(readdirSync(folder).sort()).toEqual(["model", "out.wav"]);
  expect(JSON.parse(stdout.bytes.toString())).toMatchObject({ duration: 0.2, resumedAfter: 0.1 });
});

test("--resume after a crash continues from the last complete sentence; --force begins anew", async () => {
  const output = path("out.wav");
  model.beforeChunk = (sentence) => {
    if (sentence === 2) controller.abort();
  };
  const args = ["one|two|three", "-o", output, "--resume", "--seed", "1"];
  await expect(run(...args)).rejects.toMatchObject({ name: "AbortError" });
  // As if the process had been killed in the middle of the second sentence.
  writeFileSync(`${output}.part`, Buffer.alloc(30, 1), { flag: "a" });
  controller = new AbortController();
  model.beforeChunk = () => undefined;
  await run(...args);
  expect(samplesOf(readFileSync(output))).toEqual(expectedSamples(3, 1));

  writeFileSync(`${output}.part`, "");
  writeFileSync(`${output}.part.json`, '{"version":1,"identity":"x","seed":1,"sentences":1,"samples":5}');
  await run("new", "-o", output, "--resume", "--force", "--seed", "2");
  expect(samplesOf(readFileSync(output))).toEqual(expectedSamples(1, 2));

  writeFileSync(`${output}.part`, "");
  writeFileSync(`${output}.part.json`, "{");
  await expect(run("new", "-o", output, "--resume", "--force")).rejects.toThrow(/part\.json: is not JSON/);
});

test("an output that cannot get its name is an error; what is complete stays to be resumed", async () => {
  const output = path("out.wav");
  let blocked = true;
  model.beforeChunk = (sentence) => {
    if (sentence === 1 && blocked) mkdirSync(join(output, "full"), { recursive: true });
  };
  const args = ["one|two", "-o", output, "--seed", "3"];
  await expect(run(...args)).rejects.toThrow(/out\.wav could not be written, nothing was left there/);
  expect(readdirSync(folder).sort()).toEqual(["model", "out.wav"]);
  rmSync(output, { recursive: true });
  await expect(run(...args, "--resume")).rejects.toThrow(/out\.wav could not be written/);
  rmSync(output, { recursive: true });
  blocked = false;
  await run(...args, "--resume");
  expect(model.requests.at(-1)!.options).toMatchObject({ fromSentence: 1 });
  expect(samplesOf(readFileSync(output))).toEqual(expectedSamples(2, 3));
});

test("a voice is made of reference audio, saved, and used again", async () => {
  const samples = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i / 5) / 2);
  writeFileSync(path("ref.wav"), writeWav({ sampleRate: SAMPLE_RATE, channels: [samples] }));
  const reference = ["--reference-audio", path("ref.wav"), "--reference-text", "what is said"];
  await run("text", ...reference, "--save-voice", path("a.voice"), "-o", path("a.wav"));
  expect(model.references).toEqual([{ samples: 500, text: "what is said" }]);
  const voice = {
    xVector: Float32Array.of(0.5, -0.25),
    referenceCodes: Int32Array.of(1, 2),
    referenceText: "what is said",
  };
  expect(model.requests[0]!.options.voice).toEqual(voice);
  expect(model.requests[0]!.options).not.toHaveProperty("speaker");
  expect(await readVoice(path("a.voice"))).toEqual(voice);
  await run("text", "--voice", path("a.voice"), "-o", path("b.wav"));
  expect(model.references).toHaveLength(1);
  expect(model.requests[1]!.options.voice).toEqual(voice);
  // The voice alone: nothing is spoken.
  await run("--reference-audio", path("ref.wav"), "--save-voice", path("c.voice"));
  expect(model.requests).toHaveLength(2);
  expect(existsSync(path("c.voice"))).toBe(true);
});

test("digits stay as they are written, and what begins with a dash follows --", async () => {
  await run("007", "-o", path("a.wav"));
  await run("-o", path("b.wav"), "--", "--force", "-5");
  expect(model.requests.map(({ text }) => text)).toEqual(["007", "--force -5"]);
});

test("text comes from a file too; what is no text is refused", async () => {
  writeFileSync(path("text.txt"), "Привет | мир");
  await run("--text-file", path("text.txt"), "-o", path("o.wav"));
  expect(model.requests[0]!.text).toBe("Привет | мир");
  writeFileSync(path("binary"), Uint8Array.of(0xff, 0xfe, 0x41));
  await expect(run("--text-file", path("binary"), "-o", path("p.wav"))).rejects.toThrow(
    /binary: is not UTF-8/,
  );
  await expect(run("--text-file", path("none"), "-o", path("p.wav"))).rejects.toThrow(/none: ENOENT/);
  expect(existsSync(path("p.wav"))).toBe(false);
});

test("--trace writes the stage tensors", async () => {
  model.beforeChunk = () => {
    const { options } = model.requests[0]!;
    options.trace!("stage", { shape: [2], data: Float32Array.of(1, 2) });
  };
  await run("one", "-o", path("o.wav"), "--trace", path("t.safetensors"));
  expect([...readTensors(path("t.safetensors")).keys()]).toEqual(["stage", "stage#2"]);
});

test("what stands in the way is said before the model is loaded", async () => {
  writeFileSync(path("old.wav"), "old");
  await expect(run("a", "-o", path("old.wav"))).rejects.toThrow(/old\.wav exists already.*--force/);
  await expect(run("a", "-o", path("model/x.wav"))).rejects.toThrow(/x\.wav cannot be written/);
  await expect(run("a", "--reference-audio", path("none.wav"), "-o", path("o.wav"))).rejects.toThrow(
    /none\.wav: no such file/,
  );
  await expect(run("a", "--voice", path("none.voice"), "-o", path("o.wav"))).rejects.toThrow(/none\.voice/);
  expect(model.loads).toEqual([]);
});

const wrong: [string[], RegExp][] = [
  [[], /no text/],
  [["a", "--text-file", "b"], /given twice/],
  [["a", "-o", "x.mp3"], /\.mp3 files cannot be written.*wav, wav-float, pcm/],
  [["a", "--format", "flac"], /--format "flac" is not known/],
  [["a", "--seed", "-1"], /--seed "-1" is not a whole number of 0 to 4294967295/],
  [["a", "--temperature", "warm"], /--temperature/],
  [["a", "--top-p", "2"], /--top-p/],
  [["a", "--normalize", "yes"], /Choose one of: on, off/],
  [["a", "--backend", "cuda"], /"cuda" is not known/],
  [["a", "-o", "-", "--json"], /both write to stdout/],
  [["a", "-o", "-", "--resume"], /--resume needs a file/],
  [["a", "--resume", "--from-sentence", "2"], /leave out --from-sentence/],
  [["a", "--resume", "--trace", "t"], /--trace does not go with --resume/],
  [["a", "--from-sentence", "0"], /--from-sentence/],
  [["a", "--reference-text", "b"], /--reference-text needs --reference-audio/],
  [["a", "--voice", "v", "--reference-audio", "r"], /give one/],
  [["a", "--faster"], /Unknown argument: faster/],
];

test.each(wrong)("tts-cli synthesize %j is no command line", async (args, message) => {
  const error: unknown = await run(...args).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toMatch(message);
  expect(model.loads).toEqual([]);
});

test("audio is not written to a terminal", async () => {
  stdout = new Pipe(true);
  await expect(run("a", "-o", "-")).rejects.toThrow(/is a terminal/);
});
