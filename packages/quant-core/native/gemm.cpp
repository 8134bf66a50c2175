#include "gemm.h"

#include <string.h>

#include <algorithm>

#include "thread_pool.h"

namespace voxquant {
namespace {

// Inputs per pass over a panel of 48 outputs: the unpacked panel stays in L2, and long float sums are made of short ones.
constexpr int64_t kDepthF32 = 1024;
constexpr int64_t kDepthBf16 = 2048;

int64_t roundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

void panelF32(const WeightMatrix& weight, int64_t begin, int64_t end, const PackedActivations& a, int64_t b0, int64_t b1, float* c) {
  const int outs = (int)(end - begin);
  const int lanes = isa().lanes;
  const bool inPlace = weight.dtype == F32 && reinterpret_cast<uintptr_t>(weight.data) % 4 == 0;
  for (int64_t k0 = 0; k0 < a.k; k0 += kDepthF32) {
    const int64_t depth = std::min(kDepthF32, a.k - k0);
    const float* panel;
    int64_t stride;
    if (inPlace) {
      panel = reinterpret_cast<const float*>(weight.row(begin)) + k0;
      stride = weight.in;
    } else {
      stride = depth;
      float* unpacked = static_cast<float*>(scratch(kScratchPanel, kPanelOuts * depth * 4));
      for (int o = 0; o < outs; o++) isa().dequantize(weight.dtype, weight.at(begin + o, k0), depth, unpacked + o * stride);
      panel = unpacked;
    }
    for (int64_t b = b0; b < b1; b++)
      isa().tileF32(a.f32(b, k0), depth, panel, stride, 1, outs, a.rowsOf(b), c + (b - b0) * kPanelOuts * lanes, k0 > 0);
  }
}

void panelBf16(const WeightMatrix& weight, int64_t begin, int64_t end, const PackedActivations& a, int64_t b0, int64_t b1, float* c) {
  const int outs = (int)(end - begin), padded = (int)roundUp(outs, kBf16Outs);
  const int lanes = isa().lanes;
  for (int64_t k0 = 0; k0 < a.k; k0 += kDepthBf16) {
    const int64_t depth = std::min(kDepthBf16, a.k - k0), stride = roundUp(depth, 2);
    uint16_t* panel = static_cast<uint16_t*>(scratch(kScratchPanel, kPanelOuts * stride * 2));
    float* floats = static_cast<float*>(scratch(kScratchRow, stride * 6));
    uint16_t* row = reinterpret_cast<uint16_t*>(floats + stride);
    for (int o = 0; o < padded; o++) {
      if (o >= outs) {
        memset(row, 0, 2 * (size_t)stride);
      } else if (weight.dtype == BF16) {
        memcpy(row, weight.at(begin + o, k0), 2 * (size_t)depth);
      } else {
        isa().dequantize(weight.dtype, weight.at(begin + o, k0), depth, floats);
        isa().toBf16(floats, depth, row);
      }
      if (stride > depth) row[depth] = 0;
      placeBf16(isa(), row, stride, o % kBf16Outs, panel + o / kBf16Outs * kBf16Outs * stride);
    }
    for (int64_t b = b0; b < b1; b++)
      isa().tileBf16(a.bf16(b, k0), depth, panel, kBf16Outs * stride, padded, a.rowsOf(b), c + (b - b0) * kPanelOuts * lanes, k0 > 0);
  }
}

}  // namespace

GemmMode gemmMode(bool fast) {
  return fast && isa().tileBf16 ? GemmMode::kBf16 : GemmMode::kF32;
}

void placeBf16(const Isa& level, const uint16_t* row, int64_t k, int out, uint16_t* tile) {
  if (!level.amxWeights) return interleave<2>(row, k, kBf16Outs, out, tile);
  for (int64_t i = 0; i < k; i += kAmxInputs) {
    const int64_t count = std::min<int64_t>(kAmxInputs, k - i);
    memcpy(tile + i * kBf16Outs + out * count, row + i, 2 * (size_t)count);
  }
}

int PackedActivations::rowsOf(int64_t block) const {
  return (int)std::min<int64_t>(isa().lanes, rows - block * isa().lanes);
}

const float* PackedActivations::f32(int64_t block, int64_t k0) const {
  return reinterpret_cast<const float*>(data + block * blockBytes) + k0 * isa().lanes;
}

const uint16_t* PackedActivations::bf16(int64_t block, int64_t k0) const {
  return reinterpret_cast<const uint16_t*>(data + block * blockBytes) + k0 * isa().lanes;
}

int64_t PackedActivations::bytesPerBlock(GemmMode mode, int64_t k) {
  const int64_t lanes = isa().lanes;
  switch (mode) {
    case GemmMode::kF32: return roundUp(k * lanes * 4, 64);
    case GemmMode::kBf16: return roundUp((k + 1) / 2 * lanes * 4, 64);
  }
  return 0;
}

void PackedActivations::pack(int64_t block, const float* x, int64_t stride) const {
  switch (mode) {
    case GemmMode::kF32: isa().packF32(x, stride, rowsOf(block), k, const_cast<float*>(f32(block, 0))); break;
    case GemmMode::kBf16: isa().packBf16(x, stride, rowsOf(block), k, const_cast<uint16_t*>(bf16(block, 0))); break;
  }
}

void gemmPanel(const WeightMatrix& weight, int64_t begin, int64_t end, const PackedActivations& a, int64_t b0, int64_t b1, float* c) {
  switch (a.mode) {
    case GemmMode::kF32: return panelF32(weight, begin, end, a, b0, b1, c);
    case GemmMode::kBf16: return panelBf16(weight, begin, end, a, b0, b1, c);
  }
}

}  // namespace voxquant
