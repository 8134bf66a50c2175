import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadAsrModel, qwen3AsrQuantizeProfile } from "@voxquant/asr-model";
import { openModelFiles, quantizeCheckpoint } from "@voxquant/quant-core";

const repository = resolve(import.meta.dirname, "../../..");
const chromium = [
  process.env["CHROMIUM_PATH"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

/** What the page shows. */
interface Shown {
  readonly isolated: boolean;
  readonly runs: readonly { readonly text: string; readonly tokens: number[]; readonly threads: number }[];
}

(chromium === undefined ? describe.skip : describe)("a cross-origin isolated page", () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-threads-page-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("transcribes on several threads as on one, and as Node does", async () => {
    const model = join(folder, "model.gguf");
    const checkpoint = join(repository, "models/qwen3-asr-mini");
    await quantizeCheckpoint(
      { input: checkpoint, output: model, qtype: "q8_0", scope: "all" },
      await qwen3AsrQuantizeProfile(await openModelFiles(checkpoint)),
    );
    const sample = join(repository, "samples/kitchen-light-en.wav");
    const run = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "../threads-page/run.mjs"), chromium!, model, sample, join(folder, "page")],
      { encoding: "utf8", timeout: 180_000 },
    );
    expect(run.stderr + run.stdout).toContain('"status":"done"');
    const { result, workers } = JSON.parse(run.stdout) as { result: string; workers: number };
    const { isolated, runs } = JSON.parse(result) as Shown;
    expect(isolated).toBe(true);
    expect(runs.map(({ threads }) => threads)).toEqual([1, 3]);
    expect(workers).toBeGreaterThanOrEqual(2);

    const inNode = await loadAsrModel(model, { backend: "wasm" });
    const expected = await inNode.transcribe(new Uint8Array(readFileSync(sample)));
    await inNode.dispose();
    for (const { text, tokens } of runs) {
      expect(text).toBe("Turn on the kitchen light.");
      expect(tokens).toEqual([...expected.tokens]);
    }
  });
});

if (chromium === undefined) {
  process.stderr.write("browser: no Chromium here (CHROMIUM_PATH), the test of its threads is skipped\n");
}
