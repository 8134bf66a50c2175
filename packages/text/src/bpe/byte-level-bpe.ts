import { TokenizerError } from "../errors.js";
import { AddedTokenMatcher, type AddedToken, type TextSpan } from "./added-tokens.js";
import { fromByteCharacters, toByteCharacters } from "./byte-alphabet.js";
import { parseFiles, parseTokenizerJson, type BpeFiles, type BpeTables } from "./files.js";
import { mergeByRank, type MergeRanks } from "./merge.js";
import { preTokenize } from "./pre-tokenizer.js";
import type { Vocabulary } from "./vocabulary.js";

export interface DecodeOptions {
  /** Leave out tokens flagged special (`<|im_end|>`); other added tokens (`<asr_text>`) stay as text. */
  readonly skipSpecial: boolean;
}

/** Text of a growing sequence of ids, without characters whose bytes have not all come yet. */
export interface StreamDecoder {
  /** Adds an id and returns the text that it completes, often empty. */
  push(id: number): string;
  /** Ends the sequence: an incomplete character becomes U+FFFD. The decoder then starts anew. */
  flush(): string;
}

const encoder = new TextEncoder();

// Speech text repeats its words: the cache saves the merging. Long pre-tokens hardly come twice.
const CACHED_PRE_TOKENS = 8192;
const CACHED_PRE_TOKEN_LENGTH = 48;

/**
 * Qwen2's byte-level BPE tokenizer: added tokens are cut out of the text literally, the spans between them are brought
 * to NFC, cut by Qwen2's pattern, written as bytes and merged by rank (`transformers`, `Qwen2TokenizerFast`).
 * Nothing is added before or after the text.
 */
export class ByteLevelBpe {
  readonly #vocabulary: Vocabulary;
  readonly #ranks: MergeRanks;
  readonly #nfc: boolean;
  readonly #rawMatcher: AddedTokenMatcher;
  readonly #normalizedMatcher: AddedTokenMatcher;
  readonly #addedById = new Map<number, AddedToken>();
  readonly #addedByContent = new Map<string, AddedToken>();
  readonly #cache = new Map<string, readonly number[]>();

  private constructor(tables: BpeTables) {
    this.#vocabulary = tables.vocabulary;
    this.#ranks = tables.ranks;
    this.#nfc = tables.nfc;
    for (const token of tables.added) {
      this.#addedById.set(token.id, token);
      this.#addedByContent.set(token.content, token);
    }
    this.#rawMatcher = new AddedTokenMatcher(tables.added.filter((token) => !token.normalized));
    this.#normalizedMatcher = new AddedTokenMatcher(tables.added.filter((token) => token.normalized));
  }

  /**
   * From the contents of `vocab.json`, `merges.txt` and `tokenizer_config.json` (whose `added_tokens_decoder` names the
   * special tokens).
   * @throws TokenizerError
   */
  static fromFiles(files: BpeFiles): ByteLevelBpe {
    return new ByteLevelBpe(parseFiles(files));
  }

  /**
   * From the content of a `tokenizer.json`.
   * @throws TokenizerError where it asks for anything but byte-level BPE with Qwen2's pre-tokenizer
   */
  static fromTokenizerJson(json: string): ByteLevelBpe {
    return new ByteLevelBpe(parseTokenizerJson(json));
  }

  /**
   * From a model's files: `tokenizer.json`, else those of `fromFiles`.
   * @param read null for a file that the model does not have
   * @param require throws for such a file
   * @throws TokenizerError
   */
  static async fromModelFiles(
    read: (name: string) => Promise<string | null>,
    require: (name: string) => Promise<string>,
  ): Promise<ByteLevelBpe> {
    const whole = await read("tokenizer.json");
    if (whole !== null) return ByteLevelBpe.fromTokenizerJson(whole);
    return ByteLevelBpe.fromFiles({
      vocabJson: await require("vocab.json"),
      mergesTxt: await require("merges.txt"),
      tokenizerConfigJson: await require("tokenizer_config.json"),
    });
  }

  /** One more than the highest id, added tokens included; a model's embedding may have more rows. */
  get vocabSize(): number {
    return [...this.#addedById.keys()].reduce((size, id) => Math.max(size, id + 1), this.#vocabulary.size);
  }

  /** The added tokens, by id. */
  get addedTokens(): readonly AddedToken[] {
    return [...this.#addedById.values()].sort((a, b) => a.id - b.id);
  }

  /** Id of an added token or of a vocabulary entry (in the byte alphabet: a space is `Ġ`). */
  idOf(token: string): number | undefined {
    return this.#addedByContent.get(token)?.id ?? this.#vocabulary.idOf(token);
  }

  /** The token with an id, or undefined for an id without one. */
  tokenOf(id: number): string | undefined {
    return this.#addedById.get(id)?.content ?? this.#vocabulary.tokenOf(id);
  }

  /** Ids of a text. */
  encode(text: string): number[] {
    const ids: number[] = [];
    for (const span of this.#spans(text)) {
      if ("token" in span) ids.push(span.token.id);
      else
        for (const preToken of preTokenize(span.text))
          for (const id of this.#encodePreToken(preToken)) ids.push(id);
    }
    return ids;
  }

  /** The pieces of a text that BPE merges within, added tokens left out. */
  preTokens(text: string): string[] {
    return this.#spans(text).flatMap((span) => ("token" in span ? [] : preTokenize(span.text)));
  }

  /**
   * Text of ids. Ids without a token, and special ones if asked, are removed first; then the bytes on both sides join
   * and are decoded as one UTF-8 text, each invalid part becoming U+FFFD.
   */
  decode(ids: readonly number[], { skipSpecial }: DecodeOptions): string {
    const pieces = ids.map((id) => this.#bytesOf(id, skipSpecial));
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return utf8Decoder().decode(bytes);
  }

  /** A decoder for generation: its pieces join to what `decode` gives for all ids. */
  streamDecoder({ skipSpecial }: DecodeOptions = { skipSpecial: true }): StreamDecoder {
    const decoder = utf8Decoder();
    return {
      push: (id) => decoder.decode(this.#bytesOf(id, skipSpecial), { stream: true }),
      flush: () => decoder.decode(),
    };
  }

  #spans(text: string): TextSpan[] {
    return this.#rawMatcher.split(text).flatMap((span) => {
      if ("token" in span) return [span];
      return this.#normalizedMatcher.split(this.#nfc ? span.text.normalize("NFC") : span.text);
    });
  }

  #encodePreToken(preToken: string): readonly number[] {
    const cached = this.#cache.get(preToken);
    if (cached !== undefined) return cached;
    const ids = mergeByRank(toByteCharacters(preToken), this.#ranks).map((token) => {
      const id = this.#vocabulary.idOf(token);
      if (id === undefined) {
        throw new TokenizerError(
          `merges give ${JSON.stringify(token)}, which the vocabulary lacks: the files do not belong together`,
        );
      }
      return id;
    });
    if (preToken.length <= CACHED_PRE_TOKEN_LENGTH) {
      if (this.#cache.size >= CACHED_PRE_TOKENS) this.#cache.clear();
      this.#cache.set(preToken, ids);
    }
    return ids;
  }

  #bytesOf(id: number, skipSpecial: boolean): Uint8Array {
    const added = this.#addedById.get(id);
    if (added !== undefined)
      return skipSpecial && added.special ? new Uint8Array() : encoder.encode(added.content);
    const token = this.#vocabulary.tokenOf(id);
    return token === undefined ? new Uint8Array() : fromByteCharacters(token);
  }
}

/** A leading U+FEFF is text here, not a byte order mark. */
function utf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
