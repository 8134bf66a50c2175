import { FormatError, ResourceError } from "../errors.js";
import { elementCount, type Weight } from "../weight.js";
import { quoted } from "./byte-source.js";
import { sameShape, type Checkpoint, type TensorInfo } from "./checkpoint.js";
import { decodeToF32 } from "./dense.js";

/** A tensor that is computed from others: a filter in another order, a codebook of sums and counts. */
export interface DerivedTensor {
  readonly name: string;
  /** Row-major, float32. */
  readonly shape: readonly number[];
  /** Names and shapes of the tensors that it is computed from. */
  readonly sources: readonly string[];
  readonly sourceShapes: readonly (readonly number[])[];
  /** From the sources' values to `shape`'s. Does not keep or change what it is given. */
  derive(sources: readonly Float32Array[]): Float32Array;
}

/**
 * A checkpoint of computed tensors (F32): each is computed when it is read, and while it is read in pieces one at a time
 * is kept, so that memory holds the largest tensor and its sources, whatever the number of tensors.
 * @throws ResourceError if a source is missing, FormatError if one has another shape or an encoding without values
 */
export function deriveTensors(checkpoint: Checkpoint, derived: readonly DerivedTensor[]): Checkpoint {
  const byName = new Map(derived.map((tensor) => [tensor.name, tensor]));
  const tensors = new Map<string, TensorInfo>();
  for (const { name, shape, sources, sourceShapes } of derived) {
    const infos = sources.map((source, i) => requireSource(checkpoint, name, source, sourceShapes[i]!));
    const [first] = infos;
    tensors.set(name, {
      name,
      dtype: "F32",
      shape,
      byteLength: elementCount(shape) * Float32Array.BYTES_PER_ELEMENT,
      file: first?.file ?? "",
      offset: first?.offset ?? 0,
    });
  }

  const compute = async (name: string): Promise<Uint8Array> => {
    const tensor = byName.get(name);
    if (tensor === undefined) {
      throw new ResourceError(
        `${checkpoint.location}: there is no tensor ${quoted(name)} among its ${tensors.size}`,
      );
    }
    const sources: Float32Array[] = [];
    for (const source of tensor.sources) sources.push(await readFloats(checkpoint, source));
    const values = tensor.derive(sources);
    if (values.length !== elementCount(tensor.shape)) {
      throw new RangeError(
        `${name}: ${values.length} values were derived for shape [${tensor.shape.join(", ")}]`,
      );
    }
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  };
  let piecewise: { readonly name: string; readonly bytes: Promise<Uint8Array> } | null = null;

  return {
    format: checkpoint.format,
    location: checkpoint.location,
    files: checkpoint.files,
    metadata: checkpoint.metadata,
    tensors,
    read: async (name): Promise<Weight> => {
      const bytes = await compute(name);
      return { name, dtype: "F32", shape: tensors.get(name)!.shape, bytes };
    },
    readRange: async (name, start, end) => {
      if (piecewise?.name !== name) piecewise = { name, bytes: compute(name) };
      const bytes = await piecewise.bytes;
      if (!(0 <= start && start <= end && end <= bytes.length)) {
        throw new RangeError(`bytes [${start}, ${end}) of tensor ${quoted(name)}, which has ${bytes.length}`);
      }
      return bytes.subarray(start, end);
    },
    verifyUnchanged: () => checkpoint.verifyUnchanged(),
    close: async () => {
      piecewise = null;
      await checkpoint.close();
    },
  };
}

function requireSource(
  checkpoint: Checkpoint,
  derived: string,
  name: string,
  shape: readonly number[],
): TensorInfo {
  const { location } = checkpoint;
  const info = checkpoint.tensors.get(name);
  if (info === undefined) {
    throw new ResourceError(
      `${location}: tensor ${quoted(name)} is missing, which ${derived} is made of; fetch the whole checkpoint again`,
    );
  }
  if (!sameShape(info.shape, shape)) {
    throw new FormatError(
      `${location}: tensor ${quoted(name)} has shape [${info.shape.join(", ")}], the config asks for [${shape.join(", ")}]`,
    );
  }
  if (!/^(F32|F16|BF16)$/.test(info.dtype)) {
    throw new FormatError(
      `${location}: tensor ${quoted(name)} is ${info.dtype}, expected F32, F16 or BF16; start from the original checkpoint`,
    );
  }
  return info;
}

async function readFloats(checkpoint: Checkpoint, name: string): Promise<Float32Array> {
  const { dtype, shape, bytes } = await checkpoint.read(name);
  // A view where the file's bytes are floats already: the largest tensors are, and a copy would be one too many.
  if (dtype === "F32" && bytes.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0) {
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / Float32Array.BYTES_PER_ELEMENT);
  }
  const values = new Float32Array(elementCount(shape));
  decodeToF32(dtype, bytes, values);
  return values;
}
