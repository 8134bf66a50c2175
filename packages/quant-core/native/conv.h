// 2-D convolution as a matrix product over packed patches.
#pragma once
#include "isa.h"

namespace voxquant {

struct ConvGeometry {
  int64_t batch, height, width, inChannels, outChannels, kernelH, kernelW, strideH, strideW, padH, padW;
  int32_t activation;   // Act
  bool channelsInner;   // [n, outH, outW, outC]; else [n, outW, outC, outH]

  int64_t outHeight() const { return (height + 2 * padH - kernelH) / strideH + 1; }
  int64_t outWidth() const { return (width + 2 * padW - kernelW) / strideW + 1; }
};

// x [batch, height, width, inChannels]; weight [outChannels, inChannels * kernelH * kernelW]; bias may be null
void conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast);

}  // namespace voxquant
