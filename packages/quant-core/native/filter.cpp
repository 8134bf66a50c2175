#include "filter.h"

#include <algorithm>

#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kDepth = 1024;       // inputs per pass: a multiple of every block
constexpr int64_t kBlocksPerTask = 4;  // blocks of lanes
constexpr int64_t kLeastDepth = 16, kLeastOuts = kBf16Outs / 2;

bool floatsInPlace(const WeightMatrix& weight) { return weight.dtype == F32 && reinterpret_cast<uintptr_t>(weight.data) % 4 == 0; }

// From (channel, tap) to (tap, channel), so that a patch is a few contiguous runs of channels-last data.
void moveColumns(const float* row, int64_t channels, int64_t taps, float* out) {
  for (int64_t c = 0; c < channels; c++)
    for (int64_t t = 0; t < taps; t++) out[t * channels + c] = row[c * taps + t];
}

// Inputs [k0, k0 + count) of `outs` outputs from `begin` on: rows `stride` floats apart. space: a row, for taps > 1.
void unpackRows(const WeightMatrix& weight, int64_t begin, int64_t outs, int64_t k0, int64_t count, int64_t taps, float* out,
                int64_t stride, float* space) {
  for (int64_t o = 0; o < outs; o++) {
    float* to = out + o * stride;
    isa().dequantize(weight.dtype, weight.at(begin + o, k0), count, taps == 1 ? to : space);
    if (taps > 1) moveColumns(space, count / taps, taps, to);
  }
}

// Inputs [k0, k0 + count) of a tile of outputs from `begin` on.
void unpackTile(const WeightMatrix& weight, int64_t begin, int64_t outs, int64_t k0, int64_t count, int64_t taps, uint16_t* tile) {
  if (floatsInPlace(weight) && taps == 1)
    return isa().packTileBf16(reinterpret_cast<const float*>(weight.row(begin)) + k0, weight.in, (int)outs, count, tile);
  float* rows = static_cast<float*>(scratch(kScratchRow, (kBf16Outs + 1) * count * 4));
  unpackRows(weight, begin, outs, k0, count, taps, rows, count, rows + kBf16Outs * count);
  isa().packTileBf16(rows, count, (int)outs, count, tile);
}

void multiplyPart(const Filter& part, int64_t k0, int64_t count, int64_t outs, const PackedActivations& a, int64_t stride, float* c) {
  const int64_t lanes = isa().lanes;
  for (int64_t b = 0; b < a.blocks(); b++) {
    float* to = c + b * stride * lanes;
    if (part.mode == GemmMode::kBf16) {
      const int padded = (int)((outs + kBf16Outs - 1) / kBf16Outs * kBf16Outs);
      const uint16_t* tiles = reinterpret_cast<const uint16_t*>(part.data);
      isa().tileBf16(a.bf16(b, k0), count, tiles, kBf16Outs * part.rowLength, padded, a.rowsOf(b), to, k0 > 0);
    } else {
      const float* rows = reinterpret_cast<const float*>(part.data);
      isa().tileF32(a.f32(b, k0), count, rows, part.rowLength, 1, (int)outs, a.rowsOf(b), to, k0 > 0);
    }
  }
}

}  // namespace

GemmMode filterMode(const WeightMatrix& weight, bool fast) {
  return fast && isa().tileBf16 && weight.in >= kLeastDepth && weight.out >= kLeastOuts ? GemmMode::kBf16 : GemmMode::kF32;
}

Filter unpackFilter(const WeightMatrix& weight, GemmMode mode, int64_t taps) {
  const bool bf16 = mode == GemmMode::kBf16;
  Filter filter = {mode, weight.out, weight.in, bf16 ? (weight.in + 1) / 2 * 2 : weight.in, weight.data};
  if (!bf16 && taps == 1 && floatsInPlace(weight)) return filter;
  const int64_t rowLength = filter.rowLength, depth = filter.depth, outs = filter.outs;
  uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchActivations, filter.paddedOuts() * rowLength * (bf16 ? 2 : 4)));
  parallelFor(filter.paddedOuts() / kBf16Outs, (double)(outs * depth) / 2, [&](int64_t task) {
    const int64_t begin = task * kBf16Outs, some = std::min<int64_t>(kBf16Outs, outs - begin);
    if (bf16) return unpackTile(weight, begin, some, 0, depth, taps, reinterpret_cast<uint16_t*>(memory) + begin * rowLength);
    unpackRows(weight, begin, some, 0, depth, taps, reinterpret_cast<float*>(memory) + begin * depth, depth,
               static_cast<float*>(scratch(kScratchRow, depth * 4)));
  });
  filter.data = memory;
  return filter;
}

void filterRows(const WeightMatrix& weight, int64_t begin, int64_t outs, int64_t taps, float* rows, float* space) {
  unpackRows(weight, begin, outs, 0, weight.in, taps, rows, weight.in, space);
}

int64_t blocksPerTask(int64_t blocks) { return std::max<int64_t>(1, std::min(kBlocksPerTask, blocks / (threads() * 4))); }

void multiply(const Filter& filter, const PackedActivations& a, float* c) {
  for (int64_t k0 = 0; k0 < filter.depth; k0 += kDepth) {
    for (int64_t o = 0; o < filter.outs; o += kPanelOuts) {
      Filter part = filter;
      if (filter.mode == GemmMode::kBf16) part.data += 2 * (o * filter.rowLength + k0 * kBf16Outs);
      else part.data += 4 * (o * filter.rowLength + k0);
      const int64_t count = std::min(kDepth, filter.depth - k0), outs = std::min<int64_t>(kPanelOuts, filter.outs - o);
      multiplyPart(part, k0, count, outs, a, filter.paddedOuts(), c + o * isa().lanes);
    }
  }
}

void multiplyPanel(const WeightMatrix& weight, int64_t begin, int64_t outs, const PackedActivations& a, float* c) {
  const bool bf16 = a.mode == GemmMode::kBf16, inPlace = !bf16 && floatsInPlace(weight);
  for (int64_t k0 = 0; k0 < weight.in; k0 += kDepth) {
    const int64_t count = std::min(kDepth, weight.in - k0);
    Filter part = {a.mode, outs, count, bf16 ? (count + 1) / 2 * 2 : count, nullptr};
    if (inPlace) {
      part.rowLength = weight.in;
      part.data = weight.row(begin) + 4 * k0;
    } else {
      uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, kPanelOuts * part.rowLength * 4));
      if (bf16) {
        for (int64_t o = 0; o < outs; o += kBf16Outs)
          unpackTile(weight, begin + o, std::min<int64_t>(kBf16Outs, outs - o), k0, count, 1, reinterpret_cast<uint16_t*>(memory) + o * part.rowLength);
      } else {
        unpackRows(weight, begin, outs, k0, count, 1, reinterpret_cast<float*>(memory), count, nullptr);
      }
      part.data = memory;
    }
    multiplyPart(part, k0, count, outs, a, kPanelOuts, c);
  }
}

}  // namespace voxquant
