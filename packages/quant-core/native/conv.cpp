#include "conv.h"

#include <string.h>

#include <algorithm>

#include "filter.h"
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

}  // namespace

void conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast) {
  const int64_t outH = g.outHeight(), outW = g.outWidth(), channels = g.inChannels, taps = g.kernelH * g.kernelW;
  const int64_t depth = channels * taps, positions = g.batch * outH * outW, lanes = isa().lanes;
  if (positions <= 0) return;
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
      for (int lane = 0; lane < rows; lane++) {
        const Position at = positionOf(g, first + lane);
        float* to = out + (at.image * outW + at.x) * outs * outH + at.y;
        for (int64_t o = 0; o < outs; o++) to[o * outH] = values[lane * outs + o];
      }
    }
  });
}

}  // namespace voxquant
