#pragma once
// Convolutions of few inputs per output: all of a patch is multiplied, activated and stored without a way through memory.
#include "vector_kernels.h"

namespace voxquant {
namespace {

inline F unchanged(F x) { return x; }

// R patches. filter: isa.h, Isa::fewInputs
template <int R, F (*activation)(F)>
inline void fewInputsRows(const float* patches, int64_t k, const float* filter, int outs, float* out, int64_t stride) {
  const int64_t padded = paddedOuts(outs);
  for (int o = 0; o < outs; o += W) {
    const float* column = filter + o;
    F sum[R];
    for (int r = 0; r < R; r++) sum[r] = load(column);
    for (int64_t i = 0; i < k; i++) {
      column += padded;
      const F weight = load(column);
      for (int r = 0; r < R; r++) sum[r] = fma(splat(patches[r * k + i]), weight, sum[r]);
    }
    for (int r = 0; r < R; r++) {
      const F value = activation(sum[r]);
      if (o + W <= outs) store(out + r * stride + o, value);
      else storePart(out + r * stride + o, value, outs - o);
    }
  }
}

template <F (*activation)(F)>
inline void fewInputsAll(const float* patches, int64_t count, int64_t k, const float* filter, int outs, float* out, int64_t stride) {
  constexpr int R = 4;
  int64_t row = 0;
  for (; row + R <= count; row += R) fewInputsRows<R, activation>(patches + row * k, k, filter, outs, out + row * stride, stride);
  for (; row < count; row++) fewInputsRows<1, activation>(patches + row * k, k, filter, outs, out + row * stride, stride);
}

void fewInputsKernel(const float* patches, int64_t count, int64_t k, const float* filter, int outs, int32_t act, bool coarse, float* out,
                     int64_t stride) {
  if (act == kActSilu) fewInputsAll<siluOf>(patches, count, k, filter, outs, out, stride);
  else if (act != kActGelu) fewInputsAll<unchanged>(patches, count, k, filter, outs, out, stride);
  else if (coarse) fewInputsAll<coarseGeluOf>(patches, count, k, filter, outs, out, stride);
  else fewInputsAll<geluOf>(patches, count, k, filter, outs, out, stride);
}

}  // namespace
}  // namespace voxquant
