#include "conv.h"

#include <string.h>

#include <algorithm>

#include "filter.h"
#include "int8_gemm.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

struct Position {
  int64_t image, y, x;
};

// Output positions in the order of the output's layout.
Position positionOf(const ConvGeometry& g, int64_t index) {
  const int64_t height = g.outHeight(), width = g.outWidth(), inside = index % (height * width);
  const int64_t image = index / (height * width);
  if (g.channelsInner) return {image, inside / width, inside % width};
  return {image, inside % height, inside / height};
}

// The inputs under one output: [kernelH, kernelW, inChannels], zero outside the image.
void copyPatch(const float* x, const ConvGeometry& g, const Position& at, float* patch) {
  const int64_t channels = g.inChannels;
  for (int64_t ky = 0; ky < g.kernelH; ky++) {
    const int64_t y = at.y * g.strideH - g.padH + ky;
    for (int64_t kx = 0; kx < g.kernelW; kx++, patch += channels) {
      const int64_t column = at.x * g.strideW - g.padW + kx;
      const bool inside = y >= 0 && y < g.height && column >= 0 && column < g.width;
      if (inside) memcpy(patch, x + ((at.image * g.height + y) * g.width + column) * channels, (size_t)channels * 4);
      else memset(patch, 0, (size_t)channels * 4);
    }
  }
}

// The outputs of one position where channels lie outside of the height.
void storeWidthMajor(const float* values, const ConvGeometry& g, const Position& at, float* out) {
  const int64_t height = g.outHeight(), outs = g.outChannels;
  float* const to = out + (at.image * g.outWidth() + at.x) * outs * height + at.y;
  for (int64_t o = 0; o < outs; o++) to[o * height] = values[o];
}

// A filter in panels for int8 products, one after the other; memory of kScratchLayer.
struct Int8Filter {
  int64_t k, outs;
  uint8_t* memory;

  int64_t panels() const { return (outs + kPanelOuts - 1) / kPanelOuts; }
  int64_t panelBytes() const { return kPanelOuts * (k + panelGroups(k) * 4); }
  Int8Panel panel(int64_t index) const {
    uint8_t* const at = memory + index * panelBytes();
    return {k, (int)std::min<int64_t>(kPanelOuts, outs - index * kPanelOuts), at, reinterpret_cast<float*>(at + kPanelOuts * k)};
  }
};

Int8Filter int8Filter(const WeightMatrix& weight, int64_t taps) {
  Int8Filter filter = {weight.in, weight.out, nullptr};
  filter.memory = static_cast<uint8_t*>(scratch(kScratchLayer, filter.panels() * filter.panelBytes()));
  const int64_t k = filter.k, groups = panelGroups(k);
  parallelFor(filter.panels(), (double)(weight.out * k), [&](int64_t index) {
    const Int8Panel panel = filter.panel(index);
    float* const scales = static_cast<float*>(scratch(kScratchRow, kPanelOuts * (k + groups * 4) + (2 * k + groups) * 4));
    float *const row = scales + kPanelOuts * groups, *const space = row + k;
    int32_t* const starts = reinterpret_cast<int32_t*>(space + k);
    int8_t* const codes = reinterpret_cast<int8_t*>(starts + groups);
    for (int64_t o = 0; o < panel.outs; o++) {
      filterRows(weight, index * kPanelOuts + o, 1, taps, row, space);
      isa().int8->round(row, k, codes + o * k, scales + o * groups, starts);
    }
    isa().int8->pack(codes, scales, panel);
  });
  return filter;
}

// Patches and filter rounded to int8 per 128 inputs, as linear layers of many rows take them.
void int8Conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out) {
  constexpr int64_t kRun = 64;  // positions whose codes stay in the second-level cache beside a panel
  const int64_t outH = g.outHeight(), outW = g.outWidth(), positions = g.batch * outH * outW, outs = g.outChannels;
  const int64_t k = weight.in, groups = panelGroups(k);
  const Int8Filter filter = int8Filter(weight, g.kernelH * g.kernelW);
  parallelFor((positions + kRun - 1) / kRun, (double)(positions * outs * k) / 100, [&](int64_t task) {
    const int64_t begin = task * kRun, count = std::min(kRun, positions - begin);
    float* const patch = static_cast<float*>(scratch(kScratchPanel, k * 4 + kRun * (k + groups * 8)));
    float* const d = patch + k;
    int32_t* const starts = reinterpret_cast<int32_t*>(d + kRun * groups);
    const RoundedRows rounded = {count, k, reinterpret_cast<int8_t*>(starts + kRun * groups), d, starts};
    for (int64_t i = 0; i < count; i++) {
      copyPatch(x, g, positionOf(g, begin + i), patch);
      isa().int8->round(patch, k, rounded.codes + i * k, d + i * groups, starts + i * groups);
    }
    float* const values = g.channelsInner ? out + begin * outs : static_cast<float*>(scratch(kScratchTile, kRun * outs * 4));
    for (int64_t p = 0; p < filter.panels(); p++) {
      const int64_t first = p * kPanelOuts;
      isa().int8->multiply(rounded, 0, count, filter.panel(p), bias ? bias + first : nullptr, values + first, outs, nullptr, 0);
    }
    if (g.activation == kActGelu) isa().gelu(values, count * outs, values);
    if (g.activation == kActSilu) isa().silu(values, count * outs, values);
    if (!g.channelsInner)
      for (int64_t i = 0; i < count; i++) storeWidthMajor(values + i * outs, g, positionOf(g, begin + i), out);
  });
}

}  // namespace

void conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast) {
  const int64_t outH = g.outHeight(), outW = g.outWidth(), channels = g.inChannels, taps = g.kernelH * g.kernelW;
  const int64_t depth = channels * taps, positions = g.batch * outH * outW, lanes = isa().lanes;
  if (positions <= 0) return;
  if (fast && int8Weight(weight)) return int8Conv2d(x, g, weight, bias, out);
  const int64_t outs = g.outChannels;
  const Filter filter = unpackFilter(weight, filterMode(weight, fast), taps);

  // Several blocks of positions per task read each panel of weights from the cache's far end once.
  const int64_t blocks = (positions + lanes - 1) / lanes;
  const int64_t run = blocksPerTask(blocks);
  parallelFor((blocks + run - 1) / run, (double)(positions * outs * depth) / 40, [&](int64_t task) {
    const int64_t begin = task * run * lanes, end = std::min(positions, begin + run * lanes);
    const int64_t blockBytes = PackedActivations::bytesPerBlock(filter.mode, depth);
    uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, lanes * depth * 4 + run * blockBytes));
    float* patches = reinterpret_cast<float*>(memory + run * blockBytes);
    const PackedActivations packed = {filter.mode, end - begin, depth, blockBytes, memory};
    for (int64_t b = 0; b < packed.blocks(); b++) {
      for (int lane = 0; lane < packed.rowsOf(b); lane++) {
        const Position at = positionOf(g, begin + b * lanes + lane);
        copyPatch(x, g, at, patches + lane * depth);
      }
      packed.pack(b, patches, depth);
    }
    const int64_t tile = filter.paddedOuts() * lanes;
    float* c = static_cast<float*>(scratch(kScratchTile, (run * tile + lanes * outs) * 4));
    multiply(filter, packed, c);
    float* values = c + run * tile;
    for (int64_t b = 0; b < packed.blocks(); b++) {
      const int rows = packed.rowsOf(b);
      const int64_t first = begin + b * lanes;
      if (g.channelsInner) {
        isa().storeTile(c + b * tile, (int)outs, rows, bias, g.activation, out + first * outs, outs);
        continue;
      }
      isa().storeTile(c + b * tile, (int)outs, rows, bias, g.activation, values, outs);
      for (int lane = 0; lane < rows; lane++) storeWidthMajor(values + lane * outs, g, positionOf(g, first + lane), out);
    }
  });
}

}  // namespace voxquant
