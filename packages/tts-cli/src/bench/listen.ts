import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeWav } from "@voxquant/audio";

const RECOGNISE = fileURLToPath(new URL("./recognise.js", import.meta.url));

/**
 * What a recogniser hears in recordings. It runs in a process of its own, so that its memory is not counted with the
 * synthesizer's.
 * @param model folder or file of a speech recognition model
 * @throws Error with that process's message
 */
export async function hear(
  model: string,
  recordings: readonly Float32Array[],
  sampleRate: number,
): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "voxquant-heard-"));
  try {
    const files = recordings.map((samples, i) => {
      const file = join(folder, `${i}.wav`);
      writeFileSync(file, writeWav({ sampleRate, channels: [samples] }));
      return file;
    });
    const { stdout } = await promisify(execFile)(process.execPath, [RECOGNISE, model, ...files]);
    return JSON.parse(stdout) as string[];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
