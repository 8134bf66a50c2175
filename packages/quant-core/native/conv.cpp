#include "conv.h"

#include <string.h>

#include <algorithm>

#include "gemm.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kDepth = 1024;

int64_t roundUp(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Row of the weight with its columns moved from (channel, kernel row, kernel column) to (kernel row, kernel column,
// channel), so that a patch is a few contiguous runs of a channels-last image.
void moveColumns(const float* row, int64_t channels, int64_t taps, float* out) {
  for (int64_t c = 0; c < channels; c++)
    for (int64_t t = 0; t < taps; t++) out[t * channels + c] = row[c * taps + t];
}

}  // namespace

void conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast) {
  const int64_t outH = g.outHeight(), outW = g.outWidth(), channels = g.inChannels, taps = g.kernelH * g.kernelW;
  const int64_t depth = channels * taps, positions = g.batch * outH * outW, lanes = isa().lanes;
  if (positions <= 0) return;
  const bool bf16 = fast && isa().tileBf16 && depth >= 16;
  const GemmMode mode = bf16 ? GemmMode::kBf16 : GemmMode::kF32;
  const int64_t outs = g.outChannels, paddedOuts = roundUp(outs, 12), rowLength = bf16 ? roundUp(depth, 2) : depth;

  uint8_t* weights = static_cast<uint8_t*>(scratch(kScratchActivations, paddedOuts * rowLength * (bf16 ? 2 : 4)));
  parallelFor(paddedOuts, (double)(outs * depth), [&](int64_t o) {
    float* row = static_cast<float*>(scratch(kScratchRow, 2 * depth * 4));
    float* moved = bf16 ? row + depth : reinterpret_cast<float*>(weights) + o * rowLength;
    if (o < outs) {
      isa().dequantize(weight.dtype, weight.row(o), depth, row);
      moveColumns(row, channels, taps, moved);
    } else {
      memset(moved, 0, (size_t)depth * 4);
    }
    if (bf16) {
      uint16_t* to = reinterpret_cast<uint16_t*>(weights) + o * rowLength;
      isa().toBf16(moved, depth, to);
      if (rowLength > depth) to[depth] = 0;
    }
  });

  parallelFor((positions + lanes - 1) / lanes, (double)(positions * outs * depth) / 40, [&](int64_t block) {
    const int rows = (int)std::min(lanes, positions - block * lanes);
    const int64_t packedBytes = PackedActivations::bytesPerBlock(mode, depth);
    uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, lanes * depth * 4 + packedBytes + 64));
    float* patches = reinterpret_cast<float*>(memory + packedBytes);
    auto column = [&](int64_t position, int64_t* image, int64_t* y, int64_t* xx) {
      *image = position / (outH * outW);
      const int64_t inside = position % (outH * outW);
      *y = g.channelsInner ? inside / outW : inside % outH;
      *xx = g.channelsInner ? inside % outW : inside / outH;
    };
    for (int lane = 0; lane < rows; lane++) {
      int64_t image, oy, ox;
      column(block * lanes + lane, &image, &oy, &ox);
      float* patch = patches + lane * depth;
      for (int64_t ky = 0; ky < g.kernelH; ky++) {
        const int64_t iy = oy * g.strideH - g.padH + ky;
        for (int64_t kx = 0; kx < g.kernelW; kx++, patch += channels) {
          const int64_t ix = ox * g.strideW - g.padW + kx;
          if (iy < 0 || iy >= g.height || ix < 0 || ix >= g.width) memset(patch, 0, (size_t)channels * 4);
          else memcpy(patch, x + ((image * g.height + iy) * g.width + ix) * channels, (size_t)channels * 4);
        }
      }
    }
    const PackedActivations packed = {mode, rows, depth, packedBytes, memory};
    packed.pack(0, patches, depth);
    float* c = static_cast<float*>(scratch(kScratchTile, (paddedOuts * lanes + lanes * outs) * 4));
    for (int64_t k0 = 0; k0 < depth; k0 += kDepth) {
      const int64_t count = std::min(kDepth, depth - k0);
      if (bf16)
        isa().tileBf16(packed.bf16(0, k0), count, reinterpret_cast<uint16_t*>(weights) + k0, rowLength, (int)paddedOuts, rows, c, k0 > 0);
      else
        isa().tileF32(packed.f32(0, k0), count, reinterpret_cast<float*>(weights) + k0, rowLength, 1, (int)outs, rows, c, k0 > 0);
    }
    if (g.channelsInner) {
      isa().storeTile(c, (int)outs, rows, bias, g.activation, out + block * lanes * outs, outs);
      return;
    }
    float* values = c + paddedOuts * lanes;
    isa().storeTile(c, (int)outs, rows, bias, g.activation, values, outs);
    for (int lane = 0; lane < rows; lane++) {
      int64_t image, oy, ox;
      column(block * lanes + lane, &image, &oy, &ox);
      float* to = out + (image * outW + ox) * outs * outH + oy;
      for (int64_t o = 0; o < outs; o++) to[o * outH] = values[lane * outs + o];
    }
  });
}

}  // namespace voxquant
