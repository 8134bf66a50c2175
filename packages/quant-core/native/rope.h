// Rotary position embedding (half-split) after an optional RMS norm per head.
#pragma once
#include <stdint.h>

namespace voxquant {

// x, out [rows, heads * headDim] (out may be x), gamma [headDim] or null, positions [rows]
void headNormRope(const float* x, const float* gamma, const int32_t* positions, int64_t rows, int64_t heads, int64_t headDim,
                  float eps, double theta, float* out);

}  // namespace voxquant
