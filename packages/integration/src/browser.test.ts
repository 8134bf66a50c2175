import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadTtsModel, qwen3TtsQuantizeProfile } from "@voxquant/acoustic-model";
import { loadAsrModel, qwen3AsrQuantizeProfile } from "@voxquant/asr-model";
import { readWav } from "@voxquant/audio";
import { openModelFiles, quantizeCheckpoint } from "@voxquant/quant-core";

const repository = resolve(import.meta.dirname, "../../..");
const sample = join(repository, "samples/kitchen-light-en.wav");
const chromium = [
  process.env["CHROMIUM_PATH"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

/** What the page shows after a click. */
interface Shown {
  readonly status: string;
  readonly result: string;
}

/** Both run the same WebAssembly; only the compilers of the two JavaScript engines could differ. */
const SAMPLE_TOLERANCE = 1e-6;

(chromium === undefined ? describe.skip : describe)("the mini models in headless Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-page-"));
  const recogniser = join(folder, "recogniser.gguf");
  const synthesizer = join(folder, "synthesizer.gguf");
  let page: { readonly transcribe: Shown; readonly speak: Shown & { readonly wav: string | null } };
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(async () => {
    for (const [name, output, profileOf] of [
      ["qwen3-asr-mini", recogniser, qwen3AsrQuantizeProfile],
      ["qwen3-tts-mini", synthesizer, qwen3TtsQuantizeProfile],
    ] as const) {
      const input = join(repository, "models", name);
      const options = { input, output, qtype: "q8_0", scope: "all" } as const;
      await quantizeCheckpoint(options, await profileOf(await openModelFiles(input)));
    }
    const run = spawnSync(
      process.execPath,
      [
        join(import.meta.dirname, "../page/run.mjs"),
        ...[chromium!, recogniser, sample, synthesizer, join(folder, "page")],
      ],
      { encoding: "utf8", timeout: 280_000, maxBuffer: 2 ** 28 },
    );
    expect(run.stderr + run.stdout).toContain('"transcribe"');
    page = JSON.parse(run.stdout) as typeof page;
  }, 300_000);

  it("transcribe a sample on the WASM backend as Node does", async () => {
    expect(page.transcribe).toMatchObject({ status: "done" });
    const shown = JSON.parse(page.transcribe.result) as { text: string; backend: string; tokens: number[] };
    expect(shown.backend).toBe("wasm");

    const inNode = await loadAsrModel(recogniser, { backend: "wasm" });
    const expected = await inNode.transcribe(new Uint8Array(readFileSync(sample)));
    await inNode.dispose();
    expect(shown.text).toBe("Turn on the kitchen light.");
    expect(shown.tokens).toEqual([...expected.tokens]);
  });

  it("speak a sentence on the WASM backend as Node does", async () => {
    expect(page.speak).toMatchObject({ status: "done" });
    const shown = JSON.parse(page.speak.result) as {
      backend: string;
      sentences: { text: string; codes: number[] }[];
    };
    expect(shown.backend).toBe("wasm");
    const [sentence] = shown.sentences;

    const inNode = await loadTtsModel(synthesizer, { backend: "wasm", precision: "exact" });
    const expected = await inNode.synthesizeToBuffer(sentence!.text, { temperature: 0 });
    await inNode.dispose();
    expect(shown.sentences.map(({ codes }) => codes)).toEqual(
      expected.sentences.map(({ codes }) => [...codes]),
    );
    const { channels, sampleRate } = readWav(Buffer.from(page.speak.wav!, "base64"));
    const played = channels[0]!;
    expect(sampleRate).toBe(expected.sampleRate);
    expect(played.length).toBe(expected.samples.length);
    const difference = played.reduce((most, x, i) => Math.max(most, Math.abs(x - expected.samples[i]!)), 0);
    expect(difference).toBeLessThan(SAMPLE_TOLERANCE);
  });
});

if (chromium === undefined) {
  process.stderr.write("browser: no Chromium here (CHROMIUM_PATH), its tests are skipped\n");
}
