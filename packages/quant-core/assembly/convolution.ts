/** The parts of a convolution around its matrix product: patches in, layout out. */

/**
 * Patches of output pixels `first … first + count - 1` (numbered over batch, outHeight, outWidth) of a channels-last
 * image `[n, height, width, channels]`, each in the weights' order (channel, kernel row, kernel column); zeros outside.
 */
export function gatherPatches(
  x: usize,
  height: i32,
  width: i32,
  channels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  paddingHeight: i32,
  paddingWidth: i32,
  outHeight: i32,
  outWidth: i32,
  first: i32,
  count: i32,
  out: usize,
): void {
  const taps = kernelHeight * kernelWidth;
  const patchBytes = (<usize>(channels * taps)) << 2;
  const tapBytes = (<usize>taps) << 2;
  const pixelBytes = (<usize>channels) << 2;
  for (let i = first; i < first + count; i++) {
    const column = i % outWidth;
    const row = (i / outWidth) % outHeight;
    const image = i / (outWidth * outHeight);
    for (let a = 0; a < kernelHeight; a++) {
      const y = row * strideHeight - paddingHeight + a;
      for (let b = 0; b < kernelWidth; b++) {
        const z = column * strideWidth - paddingWidth + b;
        let to = out + ((<usize>(a * kernelWidth + b)) << 2);
        const end = to + patchBytes;
        if (y < 0 || y >= height || z < 0 || z >= width) {
          for (; to < end; to += tapBytes) store<f32>(to, 0);
        } else {
          let from = x + pixelBytes * ((image * height + y) * width + z);
          for (; to < end; to += tapBytes) {
            store<f32>(to, load<f32>(from));
            from += 4;
          }
        }
      }
    }
    out += patchBytes;
  }
}

/** `[n, height, width, channels]` → `[n, width, channels, height]`. */
export function channelsBeforeHeight(
  x: usize,
  n: i32,
  height: i32,
  width: i32,
  channels: i32,
  out: usize,
): void {
  for (let i = 0; i < n; i++) {
    for (let w = 0; w < width; w++) {
      for (let c = 0; c < channels; c++) {
        let from = x + ((<usize>(w * channels + c)) << 2);
        for (let h = 0; h < height; h++) {
          store<f32>(out, load<f32>(from));
          out += 4;
          from += (<usize>(width * channels)) << 2;
        }
      }
    }
    x += (<usize>(height * width * channels)) << 2;
  }
}
