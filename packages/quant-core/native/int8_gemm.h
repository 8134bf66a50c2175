// Products of quantized weights with many rows, in int8.
#pragma once
#include "linear.h"

namespace voxquant {

// Whether the level takes this weight in int8 when fast.
bool int8Weight(const WeightMatrix& weight);

// linearOfMade() for such weights, one at least.
void int8Linear(const RowMaker& make, double nanosecondsEach, int64_t rows, int weightCount, const WeightMatrix* weights,
                const float* const* biases, float* const* outs);

}  // namespace voxquant
