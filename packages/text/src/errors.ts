/**
 * A tokenizer's files are damaged, contradictory, or ask for an algorithm other than byte-level BPE with Qwen2's
 * pre-tokenizer. The message names the file or field, what was found and what was expected.
 */
export class TokenizerError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}
