import { loadAsrModel } from "@voxquant/asr-model";
import { describeBackend, setThreads } from "@voxquant/quant-core";

const show = (id: string, text: string) => (document.getElementById(id)!.textContent = text);

/** Transcribes the served sample on one thread and on three. */
async function transcribe(): Promise<object> {
  const model = await loadAsrModel(new URL("model.gguf", location.href), { backend: "wasm" });
  const audio = await (await fetch("sample.wav")).blob();
  const runs = [];
  for (const wanted of [1, 3]) {
    setThreads(wanted);
    const { text, tokens } = await model.transcribe(audio);
    runs.push({ text, tokens, threads: describeBackend("wasm").threads });
  }
  await model.dispose();
  return { isolated: crossOriginIsolated, runs };
}

transcribe().then(
  (result) => {
    show("result", JSON.stringify(result, null, 1));
    show("status", "done");
  },
  (error: unknown) => {
    show("result", String(error));
    show("status", "failed");
  },
);
