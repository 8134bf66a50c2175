import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sharedFolder } from "@voxquant/goldens";
import type { AsrModel } from "./asr-model.js";
import { loadAsrModel } from "./load.js";

const MINI = fileURLToPath(new URL("../../../models/qwen3-asr-mini", import.meta.url));

interface Recording {
  readonly file: string;
  readonly kind: string;
  readonly sample_rate: number;
}

interface Expected {
  readonly ids: readonly number[];
  readonly text: string;
  readonly segments?: readonly { readonly text: string }[];
}

/** Recordings that may differ from the reference where it used another resampler, and segments of long ones. */
const ALLOWED = 2;

const folder = sharedFolder("models", "eval-asr");

if (folder === null) {
  test.skip("the evaluation set is not beside the repository", () => undefined);
} else {
  describe("the mini model on its evaluation set, against the official package", () => {
    const recordings = readFileSync(join(folder, "manifest.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Recording)
      .filter(({ file }) => existsSync(join(folder, file)));
    const { files } = JSON.parse(readFileSync(join(MINI, "expected.json"), "utf8")) as {
      files: Record<string, Expected>;
    };
    const clips = recordings.filter(({ kind }) => kind !== "long");
    let model: AsrModel;
    beforeAll(async () => {
      model = await loadAsrModel(MINI, { precision: "exact" });
    });
    afterAll(() => model.dispose());

    /** Files whose generated ids differ. */
    async function differing(of: readonly Recording[]): Promise<string[]> {
      const names: string[] = [];
      for (const { file } of of) {
        const { tokens, text } = await model.transcribe(join(folder!, file), { vad: false });
        const same =
          tokens.length === files[file]!.ids.length && tokens.every((id, i) => id === files[file]!.ids[i]);
        if (!same) names.push(`${file}: ${JSON.stringify(text)} for ${JSON.stringify(files[file]!.text)}`);
      }
      return names;
    }

    test("16 kHz: the same ids", async () => {
      expect(await differing(clips.filter(({ sample_rate }) => sample_rate === 16000))).toEqual([]);
    });

    test("8 kHz: the same ids but for a few", async () => {
      const names = await differing(clips.filter(({ sample_rate }) => sample_rate !== 16000));
      if (names.length > ALLOWED) throw new Error(names.join("\n"));
    });

    test("long recordings, cut at pauses", async () => {
      let differences = 0;
      for (const { file } of recordings.filter(({ kind }) => kind === "long")) {
        const { segments } = await model.transcribe(join(folder, file));
        const expected = files[file]!.segments!;
        const texts = segments.map(({ text }) => text);
        differences += Math.abs(texts.length - expected.length);
        differences += expected.filter(({ text }) => !texts.includes(text)).length;
      }
      expect(differences).toBeLessThanOrEqual(ALLOWED);
    });

    test("no speech: no words", async () => {
      for (const { file } of clips.filter(({ kind }) => kind === "no-speech")) {
        expect(await model.transcribe(join(folder, file))).toMatchObject({
          text: "",
          stopReason: "no-speech",
        });
      }
    });
  });
}
