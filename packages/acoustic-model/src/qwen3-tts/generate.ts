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
   * generation back until it is settled. "silence" ends the speech after this frame.
   */
  readonly onFrame?: (
    request: number,
    frame: number,
    codes: Int32Array,
  ) => FrameVerdict | Promise<FrameVerdict>;
  /** Sees each speech when it has ended, and holds the others back like `onFrame`. */
  readonly onSpeech?: (request: number, speech: GeneratedSpeech) => void | Promise<void>;
  /** Receives the stages; of several requests those of each under `INDEX.`, without the layers. */
  readonly trace?: TraceSink;
  /** Is added to. */
  readonly timings?: SpeechTimings;
}

/** What whoever hears a frame says to it. */
export type FrameVerdict = "silence" | null | void;

export interface GeneratedSpeech {
  /** Time-major, `[frames · groups]`. */
  readonly codes: Int32Array;
  readonly frames: number;
  readonly stopReason: StopReason;
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

/** Speeches that are made together: as many as go through the fast products of few rows in one step. */
const MOST_AT_ONCE = 8;
/** Keys and values of speeches that are made together, at most, so that long ones are fewer. */
const KV_BYTES_AT_ONCE = 2 ** 30;

interface Prepared {
  /** Index of the request. */
  readonly index: number;
  readonly request: SpeechRequest;
  readonly prompt: Prompt;
  readonly sampling: SpeechSampling;
  readonly maxFrames: number;
}

/**
 * Frames of several speeches in one pass: some prompts are prefilled together without padding, then each step makes one
 * frame of every speech that runs, and when one ends the next begins. Each result equals that request alone.
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
  const { trace, signal } = options;
  signal?.throwIfAborted();
  const prepared = requests.map(({ request, prompt }, index): Prepared => {
    const sampling = resolveSampling(config.generation, request);
    return { index, request, prompt, sampling, maxFrames: frameLimit(config, request, prompt) };
  });
  const padding = talker.embedText([config.text.ttsPad]);
  trace?.("tts_pad", { shape: [padding.length], data: padding });
  const run: Run = { runtime, network, config, padding, options, pause: new EventLoopBreak(signal) };
  const results: GeneratedSpeech[] = [];
  const frameCaches: KvCache[] = [];
  const running = new Set<Speech>();
  try {
    /** Speeches whose next code 0 is to be drawn. */
    let stepped: Speech[] = [];
    for (let begun = 0; ;) {
      for (const speech of stepped) {
        if (speech.sequence.begin()) continue;
        running.delete(speech);
        runtime.releaseKvCache(speech.sequence.cache);
        speech.trace?.flush();
        const result = resultOf(speech);
        results[speech.prepared.index] = result;
        await options.onSpeech?.(speech.prepared.index, result);
      }
      stepped = [];
      for (; begun < prepared.length && hasRoom(running, prepared[begun]!, config); begun++) {
        const speech = beginSpeech(run, prepared[begun]!, requests.length === 1);
        running.add(speech);
        stepped.push(speech);
      }
      if (stepped.length > 0) {
        await prefill(run, stepped);
        continue;
      }
      if (running.size === 0) break;
      stepped = [...running];
      while (frameCaches.length < stepped.length) frameCaches.push(predictor.createCache());
      await makeFrames(run, stepped, frameCaches.slice(0, stepped.length));
    }
    return results;
  } finally {
    for (const { sequence } of running) runtime.releaseKvCache(sequence.cache);
    for (const cache of frameCaches) runtime.releaseKvCache(cache);
  }
}

/** Whether a speech can be made together with those that run. One alone always can. */
function hasRoom(running: ReadonlySet<Speech>, next: Prepared, { talker }: Qwen3TtsConfig): boolean {
  if (running.size === 0) return true;
  const bytesPerPosition =
    2 * talker.layers * talker.kvHeads * talker.headDim * Float32Array.BYTES_PER_ELEMENT;
  let positions = positionsOf(next);
  for (const { prepared } of running) positions += positionsOf(prepared);
  return running.size < MOST_AT_ONCE && positions * bytesPerPosition <= KV_BYTES_AT_ONCE;
}

function positionsOf({ prompt, maxFrames }: Prepared): number {
  return prompt.positions.length + maxFrames;
}

/** @param alone the only one of its call: its stages are traced under their own names */
function beginSpeech({ runtime, network, config, options }: Run, prepared: Prepared, alone: boolean): Speech {
  const { index, request, prompt, sampling, maxFrames } = prepared;
  const { talker, predictor } = network;
  const start = performance.now();
  const embedded = embedPrompt(runtime, talker, predictor, prompt, request.voice ?? null, config.codeGroups);
  if (options.timings !== undefined) options.timings.promptMs += performance.now() - start;
  const settings = {
    sampling,
    maxFrames,
    guardLoops: request.guards !== false,
    forcedCodes: request.forcedCodes ?? null,
  };
  const cache = talker.createCache(positionsOf(prepared));
  const sequence = new SpeechSequence(config, settings, cache, embedded.length, embedded.trailing);
  const sink = options.trace && (alone ? options.trace : within(options.trace, String(index)));
  const trace = sink ? new SpeechTrace(sink, sequence, config) : null;
  trace?.prompt(embedded);
  return { prepared, embedded, sequence, trace, alone };
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
  readonly prepared: Prepared;
  readonly embedded: EmbeddedPrompt;
  readonly sequence: SpeechSequence;
  readonly trace: SpeechTrace | null;
  /** The only one of its call. */
  readonly alone: boolean;
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
  const first = runtime.run(() => talker.codecEmbedding.lookup(sequences.map(({ frame }) => frame[0]!)));
  const sum = await predictor.predict(
    sequences.map(({ hidden }) => hidden),
    first,
    caches,
    (row, step, logits) => sequences[row]!.chooseCode(step + 1, logits),
    pause,
    traces.length === 0 ? undefined : SpeechTrace.ofFrames(traces),
  );
  const predicted = performance.now();
  try {
    for (const { prepared, sequence } of speeches) {
      sequence.endFrame();
      const verdict = await onFrame?.(prepared.index, sequence.frames - 1, sequence.frame.slice());
      if (verdict === "silence") sequence.stopReason ??= verdict;
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

/** Takes prompts through the talker. */
async function prefill(
  { runtime, network: { talker }, config, options, pause }: Run,
  speeches: readonly Speech[],
): Promise<void> {
  const { timings } = options;
  const started = performance.now();
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
    const trace = speeches[0]!.alone ? options.trace : undefined;
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
  if (timings !== undefined) {
    timings.promptMs += performance.now() - started;
    for (const { embedded } of speeches) timings.promptPositions += embedded.length;
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

function resultOf({ sequence, prepared: { prompt, sampling } }: Speech): GeneratedSpeech {
  return {
    codes: Int32Array.from(sequence.codes),
    frames: sequence.frames,
    stopReason: sequence.stopReason!,
    usefulFrames: sequence.usefulFrames ?? sequence.frames,
    firstCodes: Int32Array.from(sequence.firstCodes),
    promptPositions: prompt.positions.length,
    textTokens: prompt.textIds.length,
    seed: sampling.seed,
  };
}
