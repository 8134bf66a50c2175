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

describe("the mini model in headless Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-page-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("transcribes a sample on the WASM backend as Node does", async () => {
    if (chromium === undefined) {
      process.stderr.write("browser: no Chromium here (CHROMIUM_PATH), its test is skipped\n");
      return;
    }
    const model = join(folder, "model.gguf");
    const checkpoint = join(repository, "models/qwen3-asr-mini");
    await quantizeCheckpoint(
      { input: checkpoint, output: model, qtype: "q8_0", scope: "all" },
      await qwen3AsrQuantizeProfile(await openModelFiles(checkpoint)),
    );
    const sample = join(repository, "samples/kitchen-light-en.wav");
    const run = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "../page/run.mjs"), chromium, model, sample, join(folder, "page")],
      { encoding: "utf8", timeout: 180_000 },
    );
    expect(run.stderr + run.stdout).toContain('"status":"done"');
    const shown = JSON.parse((JSON.parse(run.stdout) as { result: string }).result) as {
      text: string;
      backend: string;
      tokens: number[];
    };
    expect(shown.backend).toBe("wasm");

    const inNode = await loadAsrModel(model, { backend: "wasm" });
    const expected = await inNode.transcribe(new Uint8Array(readFileSync(sample)));
    await inNode.dispose();
    expect(shown.text).toBe("Turn on the kitchen light.");
    expect(shown.tokens).toEqual([...expected.tokens]);
  });
});
