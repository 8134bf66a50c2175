// Products of quantized weights with many rows, in int8.
#pragma once
#include "linear.h"

namespace voxquant {

// Whether the level takes this weight in int8 when fast.
bool int8Weight(const WeightMatrix& weight);

// linearOfMade() for such weights, one at least.
void int8Linear(const RowMaker& make, double nanosecondsEach, int64_t rows, int weightCount, const WeightMatrix* weights,
                const float* const* biases, float* const* outs);

// out [rows, gate.out] = silu(x . gate^T) * (x . up^T) of rows as in linearOfMade(); both weights such, of one shape. Half as
// many floats leave the cache: where cores do not share one, what threads hand over to each other is what takes time.
void int8Gated(const RowMaker& make, double nanosecondsEach, int64_t rows, const WeightMatrix& gate, const WeightMatrix& up, float* out);

}  // namespace voxquant
