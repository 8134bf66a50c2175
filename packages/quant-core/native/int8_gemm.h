// Products of quantized weights with many rows, in int8.
#pragma once
#include "linear.h"

namespace voxquant {

// Whether the level takes this weight in int8 when fast.
bool int8Weight(const WeightMatrix& weight);

// Memory of a panel, aligned to 64, and the panel in it.
inline int64_t panelBytes(int64_t k) { return kPanelOuts * (k + panelGroups(k) * 8); }
inline Int8Panel panelIn(uint8_t* memory, int64_t k, int outs) {
  float* const scales = reinterpret_cast<float*>(memory + kPanelOuts * k);
  return {k, outs, memory, scales, reinterpret_cast<int32_t*>(scales + kPanelOuts * panelGroups(k))};
}

// linearOfMade() for such weights, one at least.
void int8Linear(const RowMaker& make, double nanosecondsEach, int64_t rows, int weightCount, const WeightMatrix* weights,
                const float* const* biases, float* const* outs);

// gatedOfMade() for such weights, both of one shape.
void int8Gated(const RowMaker& make, double nanosecondsEach, int64_t rows, const WeightMatrix& gate, const WeightMatrix& up, float* out);

}  // namespace voxquant
