import { ConfigError } from "@voxquant/quant-core";
import type { ByteLevelBpe } from "@voxquant/text";

/** Ids of the audio tokens, from the checkpoint's config. */
export interface AudioTokenIds {
  readonly audioStartId: number;
  /** `<|audio_pad|>`: one per row of the encoder's output, which takes its place. */
  readonly audioTokenId: number;
  readonly audioEndId: number;
}

export interface PromptRequest {
  /** Free text in the system turn that biases the transcript: names, terms, a document. */
  readonly context: string;
  /** English name of the language to transcribe in, null to let the model tell. */
  readonly language: string | null;
  /** Rows of the encoder's output. */
  readonly audioTokens: number;
  /** Beginning of the answer, for streaming. */
  readonly answer?: string;
}

/** A message of a chat, as chat templates take it. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string | readonly ChatPart[];
}

export interface ChatPart {
  readonly type?: string;
  readonly text?: string;
  readonly audio?: unknown;
  readonly audio_url?: unknown;
}

const AUDIO_START = "<|audio_start|>";
const AUDIO_PAD = "<|audio_pad|>";
const AUDIO_END = "<|audio_end|>";

/**
 * What the checkpoints' chat template makes of messages: the system texts joined, one audio place per audio part in one
 * user turn, user text ignored.
 */
export function renderChat(messages: readonly ChatMessage[], { addGenerationPrompt = true } = {}): string {
  let system = "";
  let audio = "";
  for (const { role, content } of messages) {
    if (typeof content === "string") {
      if (role === "system") system += content;
      continue;
    }
    for (const part of content) {
      if (role === "system" && part.type === "text") system += part.text ?? "";
      if (part.type === "audio" || "audio" in part || "audio_url" in part)
        audio += AUDIO_START + AUDIO_PAD + AUDIO_END;
    }
  }
  const assistant = addGenerationPrompt ? "<|im_start|>assistant\n" : "";
  return `<|im_start|>system\n${system}<|im_end|>\n<|im_start|>user\n${audio}<|im_end|>\n${assistant}`;
}

/** Prompt text of one clip, with a single `<|audio_pad|>`. A forced language begins the answer. */
export function promptText(context: string, language: string | null): string {
  const chat = renderChat([
    { role: "system", content: context },
    { role: "user", content: [{ type: "audio" }] },
  ]);
  return language === null ? chat : `${chat}language ${language}<asr_text>`;
}

/**
 * Prompt ids of one clip: the text is tokenized as a whole, with `audioTokens` pads. Other special tokens spelled in the
 * context take effect, as upstream.
 * @throws ConfigError for a context that spells `<|audio_pad|>`, which would stand for audio, and for a tokenizer
 *   that does not belong to the config
 */
export function buildPrompt(
  tokenizer: ByteLevelBpe,
  tokens: AudioTokenIds,
  { context, language, audioTokens, answer = "" }: PromptRequest,
): number[] {
  checkAudioTokens(tokenizer, tokens);
  if (context.includes(AUDIO_PAD)) {
    throw new ConfigError(
      `the context contains ${AUDIO_PAD}, which stands for audio in a prompt: take it out`,
    );
  }
  const [before, after] = promptText(context, language).split(AUDIO_PAD) as [string, string];
  // An answer is the model's own text: should it spell the pad, that is no audio either.
  const rest = tokenizer.encode(after + answer).filter((id) => id !== tokens.audioTokenId);
  return [...tokenizer.encode(before), ...audioPads(tokens, audioTokens), ...rest];
}

export function audioPads({ audioTokenId }: AudioTokenIds, count: number): number[] {
  return new Array<number>(count).fill(audioTokenId);
}

/** @throws ConfigError where config.json and the tokenizer's files name different ids */
export function checkAudioTokens(tokenizer: ByteLevelBpe, tokens: AudioTokenIds): void {
  for (const [token, id, field] of [
    [AUDIO_START, tokens.audioStartId, "audio_start_token_id"],
    [AUDIO_PAD, tokens.audioTokenId, "audio_token_id"],
    [AUDIO_END, tokens.audioEndId, "audio_end_token_id"],
  ] as const) {
    const found = tokenizer.idOf(token);
    if (found !== id) {
      const tokenizers = found === undefined ? "does not know it" : `has it as ${found}`;
      throw new ConfigError(
        `config.json has ${field} ${id} for ${token}, the tokenizer ${tokenizers}: the files are of different models`,
      );
    }
  }
}
