import { ConfigError, FormatError, requireText, type ModelFiles } from "@voxquant/quant-core";
import { ByteLevelBpe, isBlank, TokenizerError } from "@voxquant/text";
import type { TextControlIds } from "./config.js";

/** Ids of a text that is to be spoken, in its template. */
export interface SpokenText {
  /** The three ids that open the prompt: start of turn, "assistant", newline. */
  readonly role: readonly number[];
  readonly text: readonly number[];
}

/**
 * Text to ids by the chat templates of the official package (qwen_tts `inference/qwen3_tts_model.py`). The whole template
 * is tokenized, then cut: a text that begins with a newline merges with the template's.
 */
export class TtsTokenizer {
  readonly #bpe: ByteLevelBpe;

  /** @throws ConfigError where config.json and the tokenizer's files name different ids */
  constructor(bpe: ByteLevelBpe, ids: TextControlIds) {
    this.#bpe = bpe;
    for (const [token, id, field] of [
      ["<|im_start|>", ids.imStart, "im_start_token_id"],
      ["<|im_end|>", ids.imEnd, "im_end_token_id"],
    ] as const) {
      const found = bpe.idOf(token);
      if (found !== id) {
        const tokenizers = found === undefined ? "does not know it" : `has it as ${found}`;
        throw new ConfigError(
          `config.json has ${field} ${id} for ${token}, the tokenizer ${tokenizers}: the files are of different models`,
        );
      }
    }
  }

  /** From tokenizer.json or from vocab.json, merges.txt and tokenizer_config.json. @throws ConfigError, FormatError */
  static async load(files: ModelFiles, ids: TextControlIds): Promise<TtsTokenizer> {
    try {
      const bpe = await ByteLevelBpe.fromModelFiles(
        (name) => files.readText(name),
        (name) => requireText(files, name),
      );
      return new TtsTokenizer(bpe, ids);
    } catch (cause) {
      if (!(cause instanceof TokenizerError)) throw cause;
      throw new FormatError(`${files.location}: ${cause.message}`, { cause });
    }
  }

  /** @throws ConfigError for a text without content, or one that spells a special token */
  spoken(text: string): SpokenText {
    if (isBlank(text)) throw new ConfigError("the text is empty: there is nothing to speak");
    const ids = this.#encode("text", `<|im_start|>assistant\n`, text, `<|im_end|>\n<|im_start|>assistant\n`);
    return { role: ids.slice(0, 3), text: ids.slice(3, -5) };
  }

  /** What a reference recording says. @throws ConfigError as `spoken` */
  reference(text: string): number[] {
    if (isBlank(text)) throw new ConfigError("the text of the reference recording is empty");
    return this.#encode("reference text", `<|im_start|>assistant\n`, text, `<|im_end|>\n`).slice(3, -2);
  }

  /** A whole turn. @throws ConfigError if it spells a special token */
  instruct(text: string): number[] {
    return this.#encode("instruct", `<|im_start|>user\n`, text, `<|im_end|>\n`);
  }

  #encode(what: string, before: string, text: string, after: string): number[] {
    const special = this.#bpe.addedTokens.find(({ content }) => text.includes(content));
    if (special !== undefined) {
      throw new ConfigError(
        `the ${what} contains ${special.content}, which the model does not read as text: take it out`,
      );
    }
    return this.#bpe.encode(before + text + after);
  }
}
