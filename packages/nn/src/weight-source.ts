import {
  ConfigError,
  LinearLayer,
  type Precision,
  type Runtime,
  type Vector,
  type Weight,
} from "@voxquant/quant-core";

/** Where a model's named tensors come from: a checkpoint file, or several (decoder and encoder apart). */
export interface WeightSource {
  has(name: string): boolean;
  /** @throws ResourceError if there is no such tensor */
  read(name: string): Promise<Weight>;
  /** Values of a small tensor (norm gain, bias) as float32. @throws FormatError if it is not dense */
  readVector(name: string): Promise<Float32Array>;
}

/** Loads `NAME.weight` and, if `bias`, `NAME.bias` as one layer of the given size. */
export async function loadLinear(
  runtime: Runtime,
  source: WeightSource,
  name: string,
  size: { in: number; out: number },
  options: { bias?: boolean; precision?: Precision } = {},
): Promise<LinearLayer> {
  const weight = await source.read(`${name}.weight`);
  const bias = options.bias === true ? await loadVector(runtime, source, `${name}.bias`, size.out) : null;
  const layer = LinearLayer.create(runtime, weight, bias, options.precision ?? runtime.precision);
  if (layer.inFeatures !== size.in || layer.outFeatures !== size.out) {
    throw new ConfigError(
      `${name}.weight is [${layer.outFeatures}, ${layer.inFeatures}], the model's config asks for [${size.out}, ${size.in}]`,
    );
  }
  return layer;
}

/** Loads a parameter vector of the given length. */
export async function loadVector(
  runtime: Runtime,
  source: WeightSource,
  name: string,
  length: number,
): Promise<Vector> {
  const values = await source.readVector(name);
  if (values.length !== length) {
    throw new ConfigError(`${name} has ${values.length} elements, the model's config asks for ${length}`);
  }
  return runtime.uploadVector(values);
}
