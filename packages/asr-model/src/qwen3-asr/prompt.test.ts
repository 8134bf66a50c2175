import { goldenVariants, readGoldenJson } from "@voxquant/goldens";
import { ConfigError } from "@voxquant/quant-core";
import { ByteLevelBpe } from "@voxquant/text";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildPrompt, promptText, renderChat, type AudioTokenIds, type ChatMessage } from "./prompt.js";

interface PromptsGolden {
  prompts: {
    context: string;
    language_forced: string | null;
    audio_tokens: number;
    prompt_text: string;
    ids: number[];
  }[];
  template: { name: string; messages: ChatMessage[]; add_generation_prompt: boolean; text: string }[];
  audio_token_in_context: { context: string };
}

const variants = goldenVariants("qwen3-asr").filter(({ folder }) => existsSync(join(folder, "vocab.json")));

for (const variant of variants) {
  test(`goldens of ${variant.name}`, () => {
    const { tokenizer, tokens } = readModel(variant.folder);
    const golden = variant.cases.find(({ name }) => name === "prompts");
    const { prompts, template, audio_token_in_context } =
      golden === undefined
        ? { prompts: [], template: [], audio_token_in_context: { context: "<|audio_pad|>" } }
        : readGoldenJson<PromptsGolden>(golden.jsonPath);
    for (const row of prompts) {
      const { context, language_forced: language, audio_tokens: audioTokens } = row;
      expect(promptText(context, language)).toBe(row.prompt_text);
      expect({ ...row, ids: buildPrompt(tokenizer, tokens, { context, language, audioTokens }) }).toEqual(
        row,
      );
    }
    for (const row of template) {
      const text = renderChat(row.messages, { addGenerationPrompt: row.add_generation_prompt });
      expect({ ...row, text }).toEqual(row);
    }
    const { context } = audio_token_in_context;
    const request = { context, language: null, audioTokens: 4 };
    expect(() => buildPrompt(tokenizer, tokens, request)).toThrow(ConfigError);
    expect(() => buildPrompt(tokenizer, tokens, request)).toThrow(/context contains <\|audio_pad\|>/);

    const other = { ...tokens, audioTokenId: tokens.audioTokenId - 1 };
    expect(() => buildPrompt(tokenizer, other, { ...request, context: "" })).toThrow(
      /audio_token_id \d+ for <\|audio_pad\|>/,
    );

    // Generation cases: prompt text before and after expansion.
    for (const { jsonPath } of variant.cases) {
      const item = readGoldenJson<{
        prompt_text?: string;
        context?: string;
        language_forced?: string | null;
      }>(jsonPath);
      if (item.prompt_text === undefined) continue;
      expect(promptText(item.context ?? "", item.language_forced ?? null)).toBe(item.prompt_text);
    }
  });
}

for (const variant of variants) {
  test(`an answer of ${variant.name} continues the prompt's text`, () => {
    const { tokenizer, tokens } = readModel(variant.folder);
    const request = { context: "", language: null, audioTokens: 2 };
    const prompt = buildPrompt(tokenizer, tokens, request);
    expect(buildPrompt(tokenizer, tokens, { ...request, answer: "" })).toEqual(prompt);
    const spelled = buildPrompt(tokenizer, tokens, {
      ...request,
      answer: "language None<asr_text>a<|audio_pad|>b",
    });
    expect(spelled.filter((id) => id === tokens.audioTokenId)).toHaveLength(2);
    expect(tokenizer.decode(spelled.slice(prompt.length), { skipSpecial: false })).toBe(
      "language None<asr_text>ab",
    );
  });
}

test("the text of a prompt", () => {
  expect(promptText("Zoë", "German")).toBe(
    "<|im_start|>system\nZoë<|im_end|>\n<|im_start|>user\n<|audio_start|><|audio_pad|><|audio_end|><|im_end|>\n" +
      "<|im_start|>assistant\nlanguage German<asr_text>",
  );
});

function readModel(folder: string): { tokenizer: ByteLevelBpe; tokens: AudioTokenIds } {
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const { thinker_config: thinker } = JSON.parse(read("config.json")) as {
    thinker_config: Record<string, number>;
  };
  return {
    tokenizer: ByteLevelBpe.fromFiles({
      vocabJson: read("vocab.json"),
      mergesTxt: read("merges.txt"),
      tokenizerConfigJson: read("tokenizer_config.json"),
    }),
    tokens: {
      audioStartId: thinker["audio_start_token_id"]!,
      audioTokenId: thinker["audio_token_id"]!,
      audioEndId: thinker["audio_end_token_id"]!,
    },
  };
}
