export { applyPeakGuard, toMono, type AudioBuffer } from "./buffer.js";
export { AudioError, type AudioErrorKind } from "./errors.js";
export { MEL_CONFIGS, MelFrontEnd, type LogMel, type MelConfig } from "./mel.js";
export { melFilterBank, type MelFilterConfig, type SparseFilter } from "./mel-filters.js";
export { Resampler, resample } from "./resample.js";
export {
  SileroVad,
  VAD_WINDOW,
  type SileroStages,
  type SileroTensorName,
  type SileroWeights,
} from "./silero.js";
export {
  speechSegments,
  VadIterator,
  type SpeechSegment,
  type SpeechSegmentParams,
  type VadEvent,
} from "./speech-segments.js";
export { splitAtQuiet, type SplitOptions, type SplitPiece } from "./split.js";
export { readWav, writeWav, type WriteWavOptions } from "./wav.js";
export { decodeAudio, decodeBlocks, type DecodeOptions } from "./decode.js";
export {
  openAudio,
  readAll,
  type AudioSource,
  type AudioStream,
  type MonoSamples,
  type OpenAudioOptions,
} from "./open-audio.js";
export type { ByteInput } from "./bytes.js";
export { segmentSpeech, type SegmentOptions, type SpeechPiece } from "./segmenter.js";
export { compareAudio, type AudioComparison } from "./metrics/metrics.js";
export {
  alignedDistortion,
  compareSpectra,
  type AlignedDistortion,
  type SpectralMetrics,
} from "./metrics/spectral.js";
export { spectrogram, type Spectrogram } from "./metrics/stft.js";
export { intelligibility, type Intelligibility } from "./metrics/stoi.js";
export { compareWaveforms, type WaveformMetrics } from "./metrics/waveform.js";
