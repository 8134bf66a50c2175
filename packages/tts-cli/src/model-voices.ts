import type { TtsModelInfo } from "@voxquant/acoustic-model";

/** What a model offers to choose from. */
export type ModelVoices = Pick<
  TtsModelInfo,
  "location" | "variant" | "size" | "speakers" | "languages" | "canClone" | "takesInstruct"
>;

/** Told from the model's config alone: no weights are read. @throws as opening the model does */
export async function readModelVoices(source: string, signal: AbortSignal): Promise<ModelVoices> {
  const { languagesOf, openTtsModel, takesInstruct } = await import("@voxquant/acoustic-model");
  const opened = await openTtsModel(source, { signal });
  try {
    const { location, config } = opened;
    const { variant, size, speakers, speakerEncoder } = config;
    return {
      location,
      variant,
      size,
      speakers,
      languages: languagesOf(config),
      canClone: speakerEncoder !== null,
      takesInstruct: takesInstruct(config),
    };
  } finally {
    await opened.close();
  }
}
