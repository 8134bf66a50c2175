import { ConfigError } from "@voxquant/quant-core";
import type { Voice } from "../tts-model.js";
import { languagesOf, takesInstruct, type Qwen3TtsConfig } from "./config.js";
import type { TtsTokenizer } from "./tokenizer.js";

/** What to say and with what voice. */
export interface PromptRequest {
  readonly text: string;
  /** Case does not matter; default `auto`. */
  readonly language?: string;
  /** Of a `custom_voice` checkpoint; case does not matter. Absent or empty: no speaker. */
  readonly speaker?: string;
  /** Ignored where the checkpoint does not take it. */
  readonly instruct?: string;
  /** Needed by a `base` checkpoint, which has no voice of its own. */
  readonly voice?: Voice;
  /** Default: the layout that the official package uses for the variant. */
  readonly streamingText?: boolean;
}

/** What the codec track adds at a position: a row of its embedding, the x-vector, or a frame of the reference. */
export type CodecSymbol = number | "xvector" | { readonly frame: number };

/** One position of a prompt: the sum of a text embedding and, unless null, of a codec one. */
export interface PromptPosition {
  readonly text: number;
  readonly codec: CodecSymbol | null;
}

export interface Prompt {
  readonly positions: readonly PromptPosition[];
  /** Text ids that go along with the frames, one each; after them the padding for ever. */
  readonly trailing: readonly number[];
  /** Ids of the text to be spoken. */
  readonly textIds: readonly number[];
}

/**
 * The prompt of a request (qwen_tts `modeling_qwen3_tts.py`, `generate` and `generate_icl_prompt`): an optional turn of
 * instructions, the role, the codec prefix, then text and reference in one of four layouts.
 * @throws ConfigError for an unusable text, an unknown speaker or language (the choices are listed), or options that the
 *   checkpoint's variant does not have
 */
export function buildPrompt(config: Qwen3TtsConfig, tokenizer: TtsTokenizer, request: PromptRequest): Prompt {
  const { text: textControl, codec } = config;
  const speaker = findSpeaker(config, request.speaker);
  const language = findLanguage(config, request.language, speaker?.dialect ?? null);
  const voice = findVoice(config, request.voice);
  const { role, text } = tokenizer.spoken(request.text);
  const { ttsPad, ttsBos, ttsEos } = textControl;

  const positions: PromptPosition[] = [];
  const both = (textId: number, symbol: CodecSymbol | null) =>
    positions.push({ text: textId, codec: symbol });
  const { instruct } = request;
  if (instruct !== undefined && instruct !== "" && takesInstruct(config)) {
    for (const id of tokenizer.instruct(instruct)) both(id, null);
  }
  for (const id of role) both(id, null);
  const prefix =
    language === null
      ? [codec.noThink, codec.thinkBos, codec.thinkEos]
      : [codec.think, codec.thinkBos, language, codec.thinkEos];
  for (const id of prefix) both(ttsPad, id);
  if (voice !== null) both(ttsPad, "xvector");
  else if (speaker !== null) both(ttsPad, speaker.id);
  both(ttsBos, codec.pad);

  const streaming = request.streamingText ?? config.variant === "base";
  const reference = voice === null ? null : referenceOf(config, voice);
  if (reference !== null) {
    const textTrack = [...tokenizer.reference(reference.text), ...text, ttsEos];
    const codecTrack: CodecSymbol[] = [codec.bos];
    for (let frame = 0; frame < reference.frames; frame++) codecTrack.push({ frame });
    if (!streaming) {
      for (const id of textTrack) both(id, codec.pad);
      for (const symbol of codecTrack) both(ttsPad, symbol);
      return { positions, trailing: [ttsPad], textIds: text };
    }
    codecTrack.forEach((symbol, i) => both(textTrack[i] ?? ttsPad, symbol));
    const rest = textTrack.slice(codecTrack.length);
    return { positions, trailing: rest.length === 0 ? [ttsPad] : rest, textIds: text };
  }
  if (streaming) {
    both(text[0]!, codec.bos);
    return { positions, trailing: [...text.slice(1), ttsEos], textIds: text };
  }
  for (const id of text) both(id, codec.pad);
  both(ttsEos, codec.pad);
  both(ttsPad, codec.bos);
  return { positions, trailing: [ttsPad], textIds: text };
}

function findSpeaker({ variant, speakers }: Qwen3TtsConfig, name: string | undefined) {
  if (name === undefined || name === "") return null;
  const speaker = speakers.find((candidate) => candidate.name === name.toLowerCase());
  if (speaker !== undefined) return speaker;
  if (speakers.length > 0) {
    const names = speakers.map((candidate) => candidate.name).join(", ");
    throw new ConfigError(`speaker ${JSON.stringify(name)} is unknown; this checkpoint has ${names}`);
  }
  const instead =
    variant === "base"
      ? "give it a voice made from a reference recording"
      : "describe the voice with instruct";
  throw new ConfigError(
    `speaker ${JSON.stringify(name)}: a ${variant} checkpoint has no speakers; ${instead}`,
  );
}

/** Codec id of the language, null where the model is to tell it from the text. */
function findLanguage(
  config: Qwen3TtsConfig,
  language: string | undefined,
  dialect: string | null,
): number | null {
  const name = (language ?? "auto").toLowerCase();
  const choices = languagesOf(config);
  if (!choices.includes(name)) {
    throw new ConfigError(
      `language ${JSON.stringify(language)} is unknown; this checkpoint has ${choices.join(", ")}`,
    );
  }
  if (dialect !== null && (name === "auto" || name === "chinese")) return config.languageIds.get(dialect)!;
  return config.languageIds.get(name) ?? null;
}

function findVoice({ variant, talker }: Qwen3TtsConfig, voice: Voice | undefined): Voice | null {
  if (voice === undefined) {
    if (variant !== "base") return null;
    throw new ConfigError(
      "a base checkpoint has no voice of its own: give it one made from a reference recording",
    );
  }
  if (variant !== "base") {
    throw new ConfigError(
      `a ${variant} checkpoint cannot speak with a cloned voice; that takes a base checkpoint`,
    );
  }
  if (voice.xVector.length !== talker.hiddenSize) {
    throw new ConfigError(
      `the voice has an x-vector of ${voice.xVector.length}, this checkpoint needs ${talker.hiddenSize}: it was made with another model`,
    );
  }
  return voice;
}

/** The part of a voice that is continued in context, if it has both codes and text. */
function referenceOf(config: Qwen3TtsConfig, voice: Voice): { frames: number; text: string } | null {
  const { referenceCodes: codes, referenceText: text } = voice;
  if (codes === null || text === null) return null;
  const { codeGroups, talker, predictor } = config;
  if (codes.length === 0 || codes.length % codeGroups !== 0) {
    throw new ConfigError(
      `the voice has ${codes.length} reference codes, which are no frames of ${codeGroups}: it was made with another model`,
    );
  }
  codes.forEach((code, i) => {
    const count = i % codeGroups === 0 ? talker.codeCount : predictor.vocabSize;
    if (code < 0 || code >= count) {
      throw new ConfigError(
        `the voice has reference code ${code} at ${i}, this checkpoint's end at ${count - 1}`,
      );
    }
  });
  return { frames: codes.length / codeGroups, text };
}
