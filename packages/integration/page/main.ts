import { loadAsrModel } from "@voxquant/asr-model";

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const status = element("status");
const result = element("result");

/** Fetches the audio of the form, loads the model of the form, and shows the transcript as JSON. */
async function transcribe(): Promise<void> {
  const base = new URL(".", location.href);
  status.textContent = "loading the model";
  const model = await loadAsrModel(new URL(element<HTMLInputElement>("model").value, base), {
    backend: "wasm",
  });
  try {
    status.textContent = "transcribing";
    const audio = await (await fetch(new URL(element<HTMLInputElement>("audio").value, base))).blob();
    const transcript = await model.transcribe(audio);
    result.textContent = JSON.stringify({ ...transcript, backend: model.backend }, null, 1);
    status.textContent = "done";
  } finally {
    await model.dispose();
  }
}

element("run").addEventListener("click", () => {
  transcribe().catch((error: unknown) => {
    result.textContent =
      error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error);
    status.textContent = "failed";
  });
});
