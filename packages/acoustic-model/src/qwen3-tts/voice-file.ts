import {
  ConfigError,
  decodeToF32,
  FormatError,
  openCheckpoint,
  writeSafetensors,
  type ByteSink,
  type Checkpoint,
  type ModelSource,
} from "@voxquant/quant-core";
import type { Voice } from "../tts-model.js";

const FORMAT = "voxquant-voice";
const VERSION = "1";
const X_VECTOR = "x_vector";
const CODES = "reference_codes";
const TEXT = "reference_text";

// Far above what a model of today makes: 2048 values, 1500 frames of 16 codes.
const MAX_X_VECTOR = 2 ** 16;
const MAX_CODES = 2 ** 20;
const MAX_TEXT = 2 ** 16;

/**
 * Saves a cloned voice as a safetensors file: `x_vector` F32 `[size]`, `reference_codes` I32 `[frames · groups]`, and the
 * text in the metadata. A file at that path is replaced.
 * @throws ResourceError if the file cannot be written
 */
export async function writeVoice(target: string | ByteSink, voice: Voice): Promise<void> {
  const { xVector, referenceCodes, referenceText } = voice;
  const tensors = [{ name: X_VECTOR, dtype: "F32", shape: [xVector.length], bytes: bytesOf(xVector) }];
  if (referenceCodes !== null) {
    const shape = [referenceCodes.length];
    tensors.push({ name: CODES, dtype: "I32", shape, bytes: bytesOf(referenceCodes) });
  }
  await writeSafetensors(target, tensors, {
    format: FORMAT,
    version: VERSION,
    ...(referenceText !== null && { [TEXT]: referenceText }),
  });
}

/**
 * Reads a voice that `writeVoice` saved. Whether it fits a model is told when it is used.
 * @throws ResourceError for a missing file, FormatError for a damaged one, ConfigError for one that is no voice
 */
export async function readVoice(source: ModelSource): Promise<Voice> {
  const file = await openCheckpoint(source);
  try {
    const { location, metadata } = file;
    if (file.format !== "safetensors" || metadata.get("format") !== FORMAT) {
      throw new ConfigError(`${location}: this is no saved voice; make one of a reference recording`);
    }
    if (metadata.get("version") !== VERSION) {
      throw new ConfigError(
        `${location}: a voice of version ${String(metadata.get("version"))}, this release reads version ${VERSION}`,
      );
    }
    const text = metadata.get(TEXT) ?? null;
    if (text !== null && (typeof text !== "string" || text.length > MAX_TEXT)) {
      throw new FormatError(`${location}: ${TEXT} is longer than ${MAX_TEXT} characters`);
    }
    const xBytes = await readTensor(file, X_VECTOR, "F32", MAX_X_VECTOR);
    if (xBytes === null) throw new FormatError(`${location}: tensor ${X_VECTOR} is missing`);
    const xVector = new Float32Array(xBytes.length / 4);
    decodeToF32("F32", xBytes, xVector);
    if (!xVector.every(Number.isFinite)) {
      throw new FormatError(`${location}: ${X_VECTOR} has NaN or infinite values`);
    }
    const codeBytes = await readTensor(file, CODES, "I32", MAX_CODES);
    const referenceCodes = codeBytes === null ? null : new Int32Array(codeBytes.slice().buffer);
    if (referenceCodes?.some((code) => code < 0)) {
      throw new FormatError(`${location}: ${CODES} has negative codes`);
    }
    if ((referenceCodes === null) !== (text === null)) {
      throw new FormatError(
        `${location}: of ${CODES} and ${TEXT} only one is there; both or none are needed`,
      );
    }
    return { xVector, referenceCodes, referenceText: text };
  } finally {
    await file.close();
  }
}

/** The bytes of a vector, null if it is not there. @throws FormatError for another type, shape or size */
async function readTensor(
  file: Checkpoint,
  name: string,
  dtype: string,
  most: number,
): Promise<Uint8Array | null> {
  const info = file.tensors.get(name);
  if (info === undefined) return null;
  const [length = 0] = info.shape;
  if (info.dtype !== dtype || info.shape.length !== 1 || length < 1 || length > most) {
    throw new FormatError(
      `${file.location}: tensor ${name} is ${info.dtype} [${info.shape.join(", ")}], ${dtype} [1…${most}] was expected`,
    );
  }
  return file.readRange(name, 0, info.byteLength);
}

function bytesOf(values: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
