import { join, resolve } from "node:path";
import { loadAsrModel } from "@voxquant/asr-model";

const repository = resolve(import.meta.dirname, "../../..");
const folder = join(repository, "models/qwen3-asr-mini");
const recording = join(repository, "samples/timer-en.wav");

// TensorFlow.js has one active backend for the whole process; models on several of them must not notice each other.
describe("models on two backends in one process", () => {
  it("load and transcribe at the same time", async () => {
    const first = await loadAsrModel(folder, { backend: "cpu" });
    const alone = await first.transcribe(recording);
    const both = first.transcribe(recording);
    const second = await loadAsrModel(folder, { backend: "wasm" });
    const [again, other] = await Promise.all([both, second.transcribe(recording)]);
    expect(again.tokens).toEqual(alone.tokens);
    expect(other.tokens).toEqual(alone.tokens);
    await first.dispose();
    await second.dispose();
  });
});
