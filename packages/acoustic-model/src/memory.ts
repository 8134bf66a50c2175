import { estimateMemory, type Checkpoint, type MemoryEstimate, type TensorInfo } from "@voxquant/quant-core";
import { CODE_PREDICTOR_PREFIX, TALKER_PREFIX } from "./qwen3-tts/weights.js";

/** Layers of the talker proper; the code predictor has another model in it. */
const TALKER_LAYER = new RegExp(`^${TALKER_PREFIX.replaceAll(".", "\\.")}model\\.layers\\.`);

/**
 * What a checkpoint needs in memory while it speaks a sentence of so many positions (prompt and frames), from its tensors'
 * names and shapes alone. Without talker `kvBytes` is 0.
 */
export function estimateTtsMemory(
  checkpoint: Pick<Checkpoint, "tensors">,
  contextTokens: number,
): MemoryEstimate {
  const talker = new Map<string, TensorInfo>();
  const predictor = new Map<string, TensorInfo>();
  let weightsBytes = 0;
  let frameCodes = 0;
  for (const [name, info] of checkpoint.tensors) {
    weightsBytes += info.byteLength;
    if (TALKER_LAYER.test(name)) talker.set(name, info);
    else if (name.startsWith(CODE_PREDICTOR_PREFIX)) {
      predictor.set(name, info);
      if (/\.lm_head\.\d+\.weight$/.test(name)) frameCodes++;
    }
  }
  const [sentence, frame] = [
    estimateMemory({ tensors: talker }, contextTokens),
    estimateMemory({ tensors: predictor }, frameCodes + 1),
  ];
  return {
    weightsBytes,
    kvBytes: sentence.kvBytes + frame.kvBytes,
    scratchBytes: sentence.scratchBytes + frame.scratchBytes,
  };
}
