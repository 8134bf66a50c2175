import { loadTtsModel } from "@voxquant/acoustic-model";
import { loadAsrModel } from "@voxquant/asr-model";
import { writeWav } from "@voxquant/audio";

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
/** The address that a field of the form has, seen from this page. */
const address = (id: string) => new URL(element<HTMLInputElement>(id).value, new URL(".", location.href));

/** Fetches the audio of the form, loads the model of the form, and gives the transcript. */
async function transcribe(say: (status: string) => void): Promise<object> {
  say("loading the model");
  const model = await loadAsrModel(address("recogniser"), { backend: "wasm" });
  try {
    say("transcribing");
    const audio = await (await fetch(address("audio"))).blob();
    return { ...(await model.transcribe(audio)), backend: model.backend };
  } finally {
    await model.dispose();
  }
}

/** Loads the model of the form, speaks the text of the form, puts the sound into the player, and gives what was made. */
async function speak(say: (status: string) => void): Promise<object> {
  say("loading the model");
  const model = await loadTtsModel(address("synthesizer"), { backend: "wasm", precision: "exact" });
  try {
    say("speaking");
    const text = element<HTMLInputElement>("text").value;
    const speech = await model.synthesizeToBuffer(text, { temperature: 0 });
    const { samples, sampleRate, sentences, timings } = speech;
    const wav = writeWav({ sampleRate, channels: [samples] }, { format: "float32" });
    element<HTMLAudioElement>("player").src = URL.createObjectURL(new Blob([wav], { type: "audio/wav" }));
    const spoken = sentences.map(({ codes, ...sentence }) => ({ ...sentence, codes: [...codes] }));
    return { sentences: spoken, timings, backend: model.info.backend };
  } finally {
    await model.dispose();
  }
}

/** Runs the work when the button is clicked, and shows its result as JSON. */
function onClick(
  button: "transcribe" | "speak",
  result: HTMLElement,
  work: (say: (status: string) => void) => Promise<object>,
): void {
  const status = element(`${button}-status`);
  const say = (text: string) => (status.textContent = text);
  element(button).addEventListener("click", () => {
    work(say).then(
      (value) => {
        result.textContent = JSON.stringify(value, null, 1);
        say("done");
      },
      (error: unknown) => {
        result.textContent =
          error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error);
        say("failed");
      },
    );
  });
}

onClick("transcribe", element("transcript"), transcribe);
onClick("speak", element("speech"), speak);
