// Matrix products of quantized and dense weights: matrix x vectors up to kGemvRows rows, GEMM above.
#pragma once
#include "dispatch.h"

namespace voxquant {

// outs[i] [rows, weights[i].out] = x [rows, in] . weights[i]^T + biases[i] (may be null)
void linear(const float* x, int64_t rows, int count, const WeightMatrix* weights, const float* const* biases,
            float* const* outs, bool fast);

// out[row]: index of the largest of x[row] . weight^T; the lowest of equals
void linearArgmax(const float* x, int64_t rows, const WeightMatrix& weight, int32_t* out, bool fast);

void embedding(const int32_t* ids, int64_t count, const WeightMatrix& weight, float* out);

}  // namespace voxquant
