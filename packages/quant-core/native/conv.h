// 2-D convolution: products of pixels rounded to int8, or of packed patches.
#pragma once
#include <stdlib.h>

#include <memory>

#include "isa.h"

namespace voxquant {

struct ConvGeometry {
  int64_t batch, height, width, inChannels, outChannels, kernelH, kernelW, strideH, strideW, padH, padW;
  int32_t activation;   // Act
  bool channelsInner;   // [n, outH, outW, outC]; else [n, outW, outC, outH]

  int64_t outHeight() const { return (height + 2 * padH - kernelH) / strideH + 1; }
  int64_t outWidth() const { return (width + 2 * padW - kernelW) / strideW + 1; }
};

// A filter as int8 products take it, made by the first call that needs it and kept for the next ones. Belongs to one weight.
struct KeptFilter {
  struct Release {
    void operator()(uint8_t* memory) const { free(memory); }
  };
  std::unique_ptr<uint8_t, Release> memory;
  const Int8Kernels* level = nullptr;
  int64_t taps = 0;
};

// x [batch, height, width, inChannels]; weight [outChannels, inChannels * kernelH * kernelW]; bias may be null
void conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast,
            KeptFilter& kept);

}  // namespace voxquant
