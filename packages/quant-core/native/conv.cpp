#include "conv.h"

#include <string.h>

#include <algorithm>

#include "gemm.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kDepth = 1024;       // inputs per pass, even
constexpr int64_t kBlocksPerTask = 4;  // blocks of lanes

int64_t roundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Row of the weight with its columns moved from (channel, kernel row, kernel column) to (kernel row, kernel column,
// channel), so that a patch is a few contiguous runs of a channels-last image.
void moveColumns(const float* row, int64_t channels, int64_t taps, float* out) {
  for (int64_t c = 0; c < channels; c++)
    for (int64_t t = 0; t < taps; t++) out[t * channels + c] = row[c * taps + t];
}

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
  const bool bf16 = fast && isa().tileBf16 && depth >= 16;
  const GemmMode mode = bf16 ? GemmMode::kBf16 : GemmMode::kF32;
  const int64_t outs = g.outChannels, paddedOuts = roundUp(outs, kBf16Outs), rowLength = bf16 ? roundUp(depth, 2) : depth;

  uint8_t* weights = static_cast<uint8_t*>(scratch(kScratchActivations, paddedOuts * rowLength * (bf16 ? 2 : 4)));
  parallelFor(paddedOuts, (double)(outs * depth), [&](int64_t o) {
    float* row = static_cast<float*>(scratch(kScratchRow, rowLength * 10));
    float* moved = bf16 ? row + rowLength : reinterpret_cast<float*>(weights) + o * rowLength;
    if (o < outs) {
      isa().dequantize(weight.dtype, weight.row(o), depth, row);
      moveColumns(row, channels, taps, moved);
    } else {
      memset(moved, 0, (size_t)depth * 4);
    }
    if (bf16) {
      uint16_t* rounded = reinterpret_cast<uint16_t*>(moved + rowLength);
      const int64_t place = o % kBf16Outs;
      isa().toBf16(moved, depth, rounded);
      if (rowLength > depth) rounded[depth] = 0;
      placeBf16(isa(), rounded, rowLength, (int)place, reinterpret_cast<uint16_t*>(weights) + (o - place) * rowLength);
    }
  });

  // Several blocks of positions per task read each panel of weights from the cache's far end once.
  const int64_t blocks = (positions + lanes - 1) / lanes;
  const int64_t run = std::max<int64_t>(1, std::min(kBlocksPerTask, blocks / (threads() * 4)));
  parallelFor((blocks + run - 1) / run, (double)(positions * outs * depth) / 40, [&](int64_t task) {
    const int64_t begin = task * run * lanes, end = std::min(positions, begin + run * lanes);
    const int64_t blockBytes = PackedActivations::bytesPerBlock(mode, depth);
    uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, lanes * depth * 4 + run * blockBytes));
    float* patches = reinterpret_cast<float*>(memory + run * blockBytes);
    const PackedActivations packed = {mode, end - begin, depth, blockBytes, memory};
    for (int64_t b = 0; b < packed.blocks(); b++) {
      for (int lane = 0; lane < packed.rowsOf(b); lane++) {
        const Position at = positionOf(g, begin + b * lanes + lane);
        copyPatch(x, g, at, patches + lane * depth);
      }
      packed.pack(b, patches, depth);
    }
    const int64_t tile = paddedOuts * lanes;
    float* c = static_cast<float*>(scratch(kScratchTile, (run * tile + lanes * outs) * 4));
    for (int64_t k0 = 0; k0 < depth; k0 += kDepth) {
      const int64_t count = std::min(kDepth, depth - k0);
      for (int64_t o = 0; o < outs; o += kPanelOuts) {
        for (int64_t b = 0; b < packed.blocks(); b++) {
          float* to = c + b * tile + o * lanes;
          const int rows = packed.rowsOf(b);
          if (bf16) {
            const int padded = (int)std::min<int64_t>(kPanelOuts, paddedOuts - o);
            const uint16_t* tiles = reinterpret_cast<uint16_t*>(weights) + o * rowLength + k0 * kBf16Outs;
            isa().tileBf16(packed.bf16(b, k0), count, tiles, kBf16Outs * rowLength, padded, rows, to, k0 > 0);
          } else {
            const int some = (int)std::min<int64_t>(kPanelOuts, outs - o);
            const float* part = reinterpret_cast<float*>(weights) + o * rowLength + k0;
            isa().tileF32(packed.f32(b, k0), count, part, rowLength, 1, some, rows, to, k0 > 0);
          }
        }
      }
    }
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
