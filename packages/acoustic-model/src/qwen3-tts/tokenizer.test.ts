import { join } from "node:path";
import { goldenVariants, readGoldenJson } from "@voxquant/goldens";
import { ConfigError, openModelFiles } from "@voxquant/quant-core";
import { parseQwen3TtsConfig } from "./config.js";
import { TtsTokenizer } from "./tokenizer.js";

interface TokenizerCases {
  readonly cases: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

const variants = goldenVariants("qwen3-tts").filter(({ cases }) =>
  cases.some(({ name }) => name === "tokenizer-cases"),
);
if (variants.length === 0) test.skip("there are no tokenizer cases", () => undefined);

interface TokenizerConfig {
  readonly added_tokens_decoder: Readonly<Record<string, { readonly content: string }>>;
}

for (const variant of variants) {
  describe(variant.name, () => {
    const { cases } = readGoldenJson<TokenizerCases>(join(variant.folder, "cases", "tokenizer-cases.json"));
    const config = readGoldenJson<TokenizerConfig>(join(variant.folder, "tokenizer_config.json"));
    const added = Object.values(config.added_tokens_decoder).map(({ content }) => content);
    let tokenizer: TtsTokenizer;
    let role: readonly number[];

    beforeAll(async () => {
      const files = await openModelFiles(variant.folder);
      const json = (await files.readText("config.json"))!;
      const { text } = parseQwen3TtsConfig(
        json,
        await files.readText("generation_config.json"),
        variant.name,
      );
      tokenizer = await TtsTokenizer.load(files, text);
      role = tokenizer.spoken("a").role;
      expect(role.slice(0, 2)).toEqual([text.imStart, text.assistant]);
    });

    for (const { text, ids } of cases) {
      if (/^\s*[\r\n]/.test(text)) continue; // merges with the newline of the template
      test(JSON.stringify(text), () => {
        if (added.some((token) => text.includes(token))) {
          expect(() => tokenizer.spoken(text)).toThrow(ConfigError);
          expect(() => tokenizer.instruct(text)).toThrow(/take it out/);
        } else if (text.trim() === "") {
          expect(() => tokenizer.spoken(text)).toThrow(/nothing to speak/);
          expect(() => tokenizer.reference(text)).toThrow(/reference recording is empty/);
        } else {
          expect(tokenizer.spoken(text)).toEqual({ role, text: ids });
          expect(tokenizer.reference(text)).toEqual(ids);
          expect(tokenizer.instruct(text).slice(3, -2)).toEqual(ids);
        }
      });
    }
  });
}
