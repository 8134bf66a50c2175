// Matrix products of quantized and dense weights: matrix x vectors up to kGemvRows rows, GEMM above.
#pragma once
#include <functional>

#include "dispatch.h"

namespace voxquant {

// outs[i] [rows, weights[i].out] = x [rows, in] . weights[i]^T + biases[i] (may be null)
void linear(const float* x, int64_t rows, int count, const WeightMatrix* weights, const float* const* biases,
            float* const* outs, bool fast);

// Makes row `row` of an input [in] and says where it lies: in `space` [in], or elsewhere.
using RowMaker = std::function<const float*(int64_t row, float* space)>;

// The rows of x [rows, k], which need not be made.
inline RowMaker rowsOf(const float* x, int64_t k) {
  return [x, k](int64_t row, float*) { return x + row * k; };
}

// linear() of rows that are made for it, each once and by any thread, and rounded while they are in its cache. floats
// [rows, in]: where they are put when they are needed as they are. nanosecondsEach: what an element takes to make.
void linearOfMade(const RowMaker& make, double nanosecondsEach, float* floats, int64_t rows, int count, const WeightMatrix* weights,
                  const float* const* biases, float* const* outs, bool fast);

// out [rows, gate.out] = silu(x . gate^T) * (x . up^T) of rows that are made as in linearOfMade(); space: as many floats as out.
// Where the product leaves the cache instead of its factors, half as much passes between threads whose cores share none.
void gatedOfMade(const RowMaker& make, double nanosecondsEach, float* floats, int64_t rows, const WeightMatrix& gate, const WeightMatrix& up,
                 float* space, float* out, bool fast);

// out[row]: index of the largest of x[row] . weight^T; the lowest of equals
void linearArgmax(const float* x, int64_t rows, const WeightMatrix& weight, int32_t* out, bool fast);

void embedding(const int32_t* ids, int64_t count, const WeightMatrix& weight, float* out);

}  // namespace voxquant
