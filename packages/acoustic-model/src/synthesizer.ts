import { AsyncQueue, LinkedAbort } from "@voxquant/nn";
import { ConfigError } from "@voxquant/quant-core";
import type { LoadedQwen3Tts } from "./load.js";
import { VoiceCloner } from "./qwen3-tts/clone-prompt.js";
import { languagesOf, takesInstruct } from "./qwen3-tts/config.js";
import { checkRequest } from "./synthesizer-request.js";
import { speakBatch } from "./synthesizer-batch.js";
import { SynthesisClock } from "./synthesizer-clock.js";
import type { SpeechParts } from "./synthesizer-sentence.js";
import { speak } from "./synthesizer-stream.js";
import type {
  AudioChunk,
  BatchOptions,
  CreateVoiceOptions,
  SynthesizedSpeech,
  SynthesizeOptions,
  TracedSynthesizeOptions,
  TtsModel,
  TtsModelInfo,
  Voice,
} from "./tts-model.js";

/** Speech that is made before it is taken, at most: enough to play on while the machine is busy for a moment. */
const AHEAD_SECONDS = 2;

/** A loaded Qwen3-TTS model as a TtsModel. */
export class Qwen3TtsSynthesizer implements TtsModel {
  readonly info: TtsModelInfo;
  readonly #loaded: LoadedQwen3Tts;
  readonly #parts: SpeechParts;
  readonly #cloner: VoiceCloner;
  readonly #calls = new Map<LinkedAbort, Promise<unknown>>();
  #disposed = false;

  /** @param loaded belongs to the synthesizer from here on */
  constructor(loaded: LoadedQwen3Tts) {
    const { opened, runtime, model, codec, codecWeights } = loaded;
    const { location, codecConfig } = opened;
    this.#loaded = loaded;
    this.#parts = { model, codec };
    this.#cloner = new VoiceCloner(runtime, {
      location,
      config: model.config,
      weights: model.weights,
      codecConfig,
      codecWeights,
    });
    this.info = infoOf(loaded);
  }

  async *synthesize(
    text: string,
    options: TracedSynthesizeOptions = {},
  ): AsyncGenerator<AudioChunk, void, undefined> {
    const { sampleRate } = this.info;
    const queue = new AsyncQueue<AudioChunk>(({ samples }) => samples.length);
    const reader = new LinkedAbort(options.signal);
    const clock = new SynthesisClock();
    const running = this.#call([reader.signal], (signal) => {
      signal.addEventListener("abort", () => queue.cancel(signal.reason), { once: true });
      const request = this.#check(text, options);
      return speak(this.#parts, request, options, clock, signal, (chunk) => {
        queue.push(chunk);
        return queue.roomFor(AHEAD_SECONDS * sampleRate);
      });
    }).then(
      () => queue.close(),
      (error: unknown) => queue.fail(error),
    );
    try {
      yield* queue;
    } finally {
      reader.abort(); // of a reader that left the loop
      reader.release();
      await running;
    }
  }

  async synthesizeToBuffer(text: string, options: SynthesizeOptions = {}): Promise<SynthesizedSpeech> {
    const [speech] = await this.synthesizeBatch([{ ...options, text }]);
    return speech!;
  }

  synthesizeBatch(
    requests: readonly ({ readonly text: string } & SynthesizeOptions)[],
    options: BatchOptions = {},
  ): Promise<SynthesizedSpeech[]> {
    const clock = new SynthesisClock();
    const signals = [options.signal, ...requests.map(({ signal }) => signal)];
    return this.#call(signals, (signal) => {
      const texts = requests.map((request, i) => ({
        request: within(requests.length === 1 ? null : `text ${i + 1} of ${requests.length}`, () =>
          this.#check(request.text, request),
        ),
        options: request,
      }));
      return speakBatch(this.#parts, texts, options, clock, signal);
    });
  }

  createVoice(
    audio: { readonly samples: Float32Array; readonly sampleRate: number },
    options: CreateVoiceOptions = {},
  ): Promise<Voice> {
    return this.#call([options.signal], (signal) => this.#cloner.create(audio, { ...options, signal }));
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const call of this.#calls.keys()) call.abort(this.#disposedError());
    await Promise.allSettled(this.#calls.values());
    await this.#loaded.dispose();
  }

  #check(text: string, options: SynthesizeOptions) {
    const { model, codec } = this.#parts;
    return checkRequest(model, codec.frameRate, text, options);
  }

  #disposedError(): ConfigError {
    return new ConfigError(`${this.info.location}: the model was disposed of; load it again to go on`);
  }

  /** Runs work with a signal that is aborted by the caller's and by dispose. */
  async #call<T>(
    signals: readonly (AbortSignal | undefined)[],
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#disposed) throw this.#disposedError();
    const call = new LinkedAbort(...signals);
    const result = (async () => {
      call.signal.throwIfAborted();
      await this.#loaded.opened.verifyUnchanged();
      return work(call.signal);
    })();
    this.#calls.set(call, result);
    try {
      return await result;
    } finally {
      this.#calls.delete(call);
      call.release();
    }
  }
}

/** Says in a ConfigError where it comes from. */
function within<T>(place: string | null, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (place === null || !(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(`${place}: ${cause.message}`, { cause });
  }
}

function infoOf({ opened, runtime, backend, model, codec }: LoadedQwen3Tts): TtsModelInfo {
  const { config } = model;
  let parameterBytes = 0;
  for (const checkpoint of new Set([opened.weights, opened.codec])) {
    for (const { byteLength } of checkpoint.tensors.values()) parameterBytes += byteLength;
  }
  return {
    family: "qwen3-tts",
    variant: config.variant,
    size: config.size,
    location: opened.location,
    weights: model.weights.summary(),
    backend,
    precision: runtime.precision,
    sampleRate: codec.config.sampleRate,
    frameRate: codec.frameRate,
    codeGroups: config.codeGroups,
    speakers: config.speakers,
    languages: languagesOf(config),
    canClone: config.speakerEncoder !== null,
    takesInstruct: takesInstruct(config),
    parameterBytes,
  };
}
