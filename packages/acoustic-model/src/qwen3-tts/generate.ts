import { slice2d, tensor2d } from "@tensorflow/tfjs-core";
import { add, ConfigError, type KvCache, type Runtime } from "@voxquant/quant-core";
import { decodeGroups, EventLoopBreak, prefillGroups, within, type TraceSink } from "@voxquant/nn";
import type { StopReason } from "../tts-model.js";
import type { Qwen3TtsConfig } from "./config.js";
import type { Prompt, PromptRequest } from "./prompt.js";
import { embedPrompt, type EmbeddedPrompt } from "./prompt-embedding.js";
import { SpeechSequence } from "./speech-sequence.js";
import { resolveSampling, type SamplingRequest, type SpeechSampling } from "./speech-sampling.js";
import { SpeechTrace } from "./speech-trace.js";
import { rowsTensor, type TalkerOutput } from "./talker.js";
import type { Qwen3TtsNetwork } from "./weights.js";

/** One speech to generate. */
export interface SpeechRequest extends PromptRequest, SamplingRequest {
  /** Most frames; default: the checkpoint's limit and, with guards, what is plausible for the text. */
  readonly maxFrames?: number;
  /** Stop at a plausible length and when the codes loop. Default true. */
  readonly guards?: boolean;
  /**
   * Teacher forcing: frames, time-major `[frames · groups]`, that are fed back in place of the chosen codes. The result then
   * has what the model would have chosen at each place.
   */
  readonly forcedCodes?: Int32Array;
}

/** Sums over calls, in milliseconds and frames. */
export interface SpeechTimings {
  promptMs: number;
  promptPositions: number;
  talkerMs: number;
  predictorMs: number;
  frames: number;
}

export interface GenerateSpeechOptions {
  readonly signal?: AbortSignal;
  /**
   * Sees each frame when it is complete: index of the request, of the frame, and its codes (a copy). A promise holds the
   * generation back until it is settled.
   */
  readonly onFrame?: (request: number, frame: number, codes: Int32Array) => void | Promise<void>;
  /** Receives the stages; of several requests those of each under `INDEX.`, without the layers. */
  readonly trace?: TraceSink;
  /** Is added to. */
  readonly timings?: SpeechTimings;
}

export interface GeneratedSpeech {
  /** Time-major, `[frames · groups]`. */
  readonly codes: Int32Array;
  readonly frames: number;
  readonly stopReason: Exclude<StopReason, "silence">;
  /** Frames before the codes began to loop; all unless `stopReason` is `repetition`. */
  readonly usefulFrames: number;
  /** Codes of codebook 0 as they were drawn: one more than frames, the last being the end or a code without a frame. */
  readonly firstCodes: Int32Array;
  readonly promptPositions: number;
  /** Text tokens spoken. */
  readonly textTokens: number;
  readonly seed: number;
}

/** Speech of so many frames is long for any text … */
const PLAUSIBLE_FRAMES = 50;
/** … with so many more for each of its tokens: about a second, several times what is usual. */
const PLAUSIBLE_FRAMES_PER_TOKEN = 12;

/** Frames after which a generation for so many text tokens has lost its end. */
export function plausibleFrames(textTokens: number): number {
  return PLAUSIBLE_FRAMES + PLAUSIBLE_FRAMES_PER_TOKEN * textTokens;
}

interface Prepared {
  readonly request: SpeechRequest;
  readonly prompt: Prompt;
  readonly sampling: SpeechSampling;
  readonly maxFrames: number;
  readonly embedded: EmbeddedPrompt;
}

/**
 * Frames of several speeches in one pass: prompts are prefilled together without padding, then each step makes one frame of
 * every speech that still runs. Each result equals that request alone.
 *
 * At the limit of N frames one code more is drawn, to tell an end there from speech that was cut, as in the official
 * package, whose `max_new_tokens` is N + 1.
 * @throws ConfigError for a request that does not fit, the signal's reason when aborted
 */
export async function generateSpeech(
  runtime: Runtime,
  network: Qwen3TtsNetwork,
  config: Qwen3TtsConfig,
  requests: readonly { readonly request: SpeechRequest; readonly prompt: Prompt }[],
  options: GenerateSpeechOptions = {},
): Promise<GeneratedSpeech[]> {
  const { talker, predictor } = network;
  const { trace, timings, signal } = options;
  signal?.throwIfAborted();
  const start = performance.now();
  const prepared = requests.map(({ request, prompt }): Prepared => {
    const sampling = resolveSampling(config.generation, request);
    const maxFrames = frameLimit(config, request, prompt);
    const voice = request.voice ?? null;
    const embedded = embedPrompt(runtime, talker, predictor, prompt, voice, config.codeGroups);
    return { request, prompt, sampling, maxFrames, embedded };
  });
  const caches: KvCache[] = [];
  try {
    const speeches = prepared.map(({ request, sampling, maxFrames, embedded }, i): Speech => {
      const cache = talker.createCache(embedded.length + maxFrames);
      caches.push(cache);
      const settings = {
        sampling,
        maxFrames,
        guardLoops: request.guards !== false,
        forcedCodes: request.forcedCodes ?? null,
      };
      const sequence = new SpeechSequence(config, settings, cache, embedded.length, embedded.trailing);
      const sink = trace && (requests.length === 1 ? trace : within(trace, String(i)));
      return { index: i, embedded, sequence, trace: sink ? new SpeechTrace(sink, sequence, config) : null };
    });
    const padding = talker.embedText([config.text.ttsPad]);
    trace?.("tts_pad", { shape: [padding.length], data: padding });
    for (const speech of speeches) speech.trace?.prompt(speech.embedded);

    const run: Run = { runtime, network, config, padding, options, pause: new EventLoopBreak(signal) };
    await prefill(run, speeches);
    if (timings !== undefined) {
      timings.promptMs += performance.now() - start;
      for (const { embedded } of prepared) timings.promptPositions += embedded.length;
    }

    const frameCaches: KvCache[] = [];
    let running = speeches.map((_, i) => i);
    for (;;) {
      running = running.filter((i) => speeches[i]!.sequence.begin());
      if (running.length === 0) break;
      for (const group of decodeGroups(running)) {
        while (frameCaches.length < group.length) {
          const cache = predictor.createCache();
          caches.push(cache);
          frameCaches.push(cache);
        }
        await makeFrames(
          run,
          group.map((i) => speeches[i]!),
          frameCaches.slice(0, group.length),
        );
      }
    }
    for (const speech of speeches) speech.trace?.flush();
    return speeches.map(({ sequence }, i) => resultOf(sequence, prepared[i]!));
  } finally {
    for (const cache of caches) runtime.releaseKvCache(cache);
  }
}

/** What all speeches of a call share. */
interface Run {
  readonly runtime: Runtime;
  readonly network: Qwen3TtsNetwork;
  readonly config: Qwen3TtsConfig;
  /** Goes along with the frames when the text is over. */
  readonly padding: Float32Array;
  readonly options: GenerateSpeechOptions;
  readonly pause: EventLoopBreak;
}

interface Speech {
  /** Of its request. */
  readonly index: number;
  readonly embedded: EmbeddedPrompt;
  readonly sequence: SpeechSequence;
  readonly trace: SpeechTrace | null;
}

/** The other codes of one frame of each speech, whose code 0 is drawn, and the talker's step after it. */
async function makeFrames(
  { runtime, network: { talker, predictor }, config, padding, options, pause }: Run,
  speeches: readonly Speech[],
  caches: readonly KvCache[],
): Promise<void> {
  const { timings, onFrame } = options;
  const dim = config.talker.hiddenSize;
  const sequences = speeches.map(({ sequence }) => sequence);
  const traces = speeches.flatMap(({ trace }) => trace ?? []);
  const start = performance.now();
  const [hidden, first] = runtime.run(() => [
    rowsTensor(
      sequences.map((sequence) => sequence.hidden),
      dim,
    ),
    talker.codecEmbedding.lookup(sequences.map(({ frame }) => frame[0]!)),
  ]);
  const sum = await predictor.predict(
    hidden!,
    first!,
    caches,
    (row, step, logits) => sequences[row]!.chooseCode(step + 1, logits),
    pause,
    traces.length === 0 ? undefined : SpeechTrace.ofFrames(traces),
  );
  const predicted = performance.now();
  try {
    for (const { index, sequence } of speeches) {
      sequence.endFrame();
      const held = onFrame?.(index, sequence.frames - 1, sequence.frame.slice());
      if (held !== undefined) await held;
    }
    const resumed = performance.now();
    runtime.run(() => {
      const texts = sequences.map(({ frames, trailing }) => trailing[frames - 1] ?? padding);
      const x = add(sum, rowsTensor(texts, dim));
      if (traces.length > 0) SpeechTrace.nextInputs(traces, x);
      const rows = sequences.map(({ cache, position }, at) => ({ cache, start: at, count: 1, position }));
      accept(speeches, talker.step(x, rows), config);
      return [];
    });
    for (const sequence of sequences) sequence.position++;
    if (timings !== undefined) {
      timings.predictorMs += predicted - start;
      timings.talkerMs += performance.now() - resumed;
      timings.frames += speeches.length;
    }
  } finally {
    sum.dispose();
  }
  await pause.pass();
}

/** Takes all prompts through the talker. */
async function prefill(
  { runtime, network: { talker }, config, options, pause }: Run,
  speeches: readonly Speech[],
): Promise<void> {
  const dim = config.talker.hiddenSize;
  for (const group of prefillGroups(speeches.map(({ embedded }) => embedded.length))) {
    let total = 0;
    const rows = group.map((i) => {
      const { embedded, sequence } = speeches[i]!;
      const start = total;
      total += embedded.length;
      return { cache: sequence.cache, start, count: embedded.length, position: 0 };
    });
    const all = new Float32Array(total * dim);
    group.forEach((i, at) => all.set(speeches[i]!.embedded.rows, rows[at]!.start * dim));
    const embeds = runtime.run(() => tensor2d(all, [total, dim]));
    const trace = speeches.length === 1 ? options.trace : undefined;
    const last = await talker.prefill(embeds, rows, pause, trace);
    try {
      for (const part of decodeGroups(group)) {
        runtime.run(() => {
          const hidden = slice2d(last, [group.indexOf(part[0]!), 0], [part.length, dim]);
          const members = part.map((i) => speeches[i]!);
          accept(members, talker.output(hidden), config);
          return [];
        });
      }
    } finally {
      last.dispose();
    }
  }
}

/** Hands the talker's output to the speeches, one row each. */
function accept(speeches: readonly Speech[], output: TalkerOutput, { talker }: Qwen3TtsConfig): void {
  speeches.forEach(({ sequence, trace }, row) => {
    sequence.hidden = output.hidden.subarray(row * talker.hiddenSize, (row + 1) * talker.hiddenSize);
    sequence.logits = output.logits.subarray(row * talker.codecVocabSize, (row + 1) * talker.codecVocabSize);
    trace?.talker();
  });
}

/** @throws ConfigError for a limit out of range, or a prompt that leaves no room */
function frameLimit(config: Qwen3TtsConfig, request: SpeechRequest, prompt: Prompt): number {
  const { maxPositions, codeCount } = config.talker;
  const { forcedCodes, maxFrames } = request;
  const room = maxPositions - prompt.positions.length;
  if (room < 1) {
    throw new ConfigError(
      `the prompt takes ${prompt.positions.length} positions, the model has ${maxPositions}: shorten the text or the reference`,
    );
  }
  if (forcedCodes !== undefined) {
    const { codeGroups, predictor } = config;
    const fits = (code: number, i: number) =>
      code >= 0 && code < (i % codeGroups === 0 ? codeCount : predictor.vocabSize);
    if (forcedCodes.length % codeGroups !== 0 || !forcedCodes.every(fits)) {
      throw new ConfigError(`forcedCodes are no frames of ${codeGroups} codes of this model`);
    }
    return Math.min(room, forcedCodes.length / codeGroups);
  }
  if (maxFrames !== undefined && !(Number.isSafeInteger(maxFrames) && maxFrames >= 1)) {
    throw new ConfigError(`maxFrames is ${maxFrames}, it must be a whole number above 0`);
  }
  const plausible = request.guards === false ? Infinity : plausibleFrames(prompt.textIds.length);
  const most = Math.max(1, config.generation.maxNewTokens - 1);
  return Math.min(room, maxFrames ?? Math.min(most, plausible));
}

function resultOf(sequence: SpeechSequence, { prompt, sampling }: Prepared): GeneratedSpeech {
  return {
    codes: Int32Array.from(sequence.codes),
    frames: sequence.frames,
    stopReason: sequence.stopReason as Exclude<StopReason, "silence">,
    usefulFrames: sequence.usefulFrames ?? sequence.frames,
    firstCodes: Int32Array.from(sequence.firstCodes),
    promptPositions: prompt.positions.length,
    textTokens: prompt.textIds.length,
    seed: sampling.seed,
  };
}
