// Convolutions of a signal that is rounded once, to int8 or bfloat16, and then read by all taps where it lies.
#pragma once
#include "causal_conv.h"

namespace voxquant {

// As causalConv1d with precision fast, but leaves the history as it is. False, and nothing done, where the instruction
// set, the weight or the channels ask for another way.
bool convolveSignal(const float* x, const CausalConv& conv, const WeightMatrix& weight, const float* bias, const float* history,
                    const float* residual, float* out);

}  // namespace voxquant
