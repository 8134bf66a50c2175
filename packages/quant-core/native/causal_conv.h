// Causal convolutions of stride 1 over the rows of a signal, with carried history.
#pragma once
#include "types.h"

namespace voxquant {

struct CausalConv {
  int64_t rows, inChannels, kernel, dilation;
  int32_t activation;  // Act

  int64_t before() const { return (kernel - 1) * dilation; }  // rows of history
};

// x [rows, inChannels]; weight [out, kernel * inChannels], oldest tap first; history [before(), inChannels] (null: zeros)
// is overwritten with the last rows seen; bias and residual [rows, out], added after the activation, may be null.
void causalConv1d(const float* x, const CausalConv& conv, const WeightMatrix& weight, const float* bias, float* history,
                  const float* residual, float* out, bool fast);

// Each channel with its own filter, weight [kernel, channels]; dilation 1.
void depthwiseCausalConv1d(const float* x, int64_t rows, int64_t channels, int64_t kernel, const float* weight, const float* bias,
                           float* history, float* out);

}  // namespace voxquant
