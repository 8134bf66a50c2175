#include "conv.h"

#include <string.h>

#include <algorithm>
#include <new>

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
      if (channels == 1) *patch = inside ? x[(at.image * g.height + y) * g.width + column] : 0.0f;
      else if (inside) memcpy(patch, x + ((at.image * g.height + y) * g.width + column) * channels, (size_t)channels * 4);
      else memset(patch, 0, (size_t)channels * 4);
    }
  }
}

// Outputs [first, first + count) of one position where channels lie outside of the height.
void storeWidthMajor(const float* values, int64_t first, int64_t count, const ConvGeometry& g, const Position& at, float* out) {
  const int64_t height = g.outHeight();
  float* const to = out + ((at.image * g.outWidth() + at.x) * g.outChannels + first) * height + at.y;
  for (int64_t o = 0; o < count; o++) to[o * height] = values[o];
}

// A filter rounded to int8 with the scales of each tap's channels apart: a panel per 48 outputs and tap, one after the other.
// Channels are filled up with zeros to whole vectors of codes.
struct Int8Filter {
  int64_t channels, taps, outs;
  uint8_t* memory;

  int64_t panels() const { return (outs + kPanelOuts - 1) / kPanelOuts; }
  int outsOf(int64_t index) const { return (int)std::min<int64_t>(kPanelOuts, outs - index * kPanelOuts); }
  Int8Panel panel(int64_t index, int64_t tap) const {
    return panelIn(memory + (index * taps + tap) * panelBytes(channels), channels, outsOf(index));
  }
};

int64_t wholeVectors(int64_t channels) { return (channels + 31) / 32 * 32; }

// x [channels], filled up with zeros to wholeVectors(channels): in place or in space, as many floats.
const float* filledUp(const float* x, int64_t channels, float* space) {
  const int64_t padded = wholeVectors(channels);
  if (padded == channels) return x;
  memcpy(space, x, (size_t)channels * 4);
  memset(space + channels, 0, (size_t)(padded - channels) * 4);
  return space;
}

// The one that was kept, or a new one, which is kept from here on.
Int8Filter int8Filter(const WeightMatrix& weight, int64_t taps, KeptFilter& kept) {
  const int64_t channels = weight.in / taps;
  Int8Filter filter = {wholeVectors(channels), taps, weight.out, kept.memory.get()};
  if (filter.memory && kept.level == isa().int8 && kept.taps == taps) return filter;
  const int64_t bytes = filter.panels() * taps * panelBytes(filter.channels);
  kept.level = nullptr;  // until the memory is filled
  kept.memory.reset(static_cast<uint8_t*>(aligned_alloc(64, (size_t)((bytes + 63) / 64 * 64))));
  if (!kept.memory) throw std::bad_alloc();
  filter.memory = kept.memory.get();
  const int64_t k = filter.channels, groups = panelGroups(k);
  parallelFor(filter.panels(), (double)(weight.out * weight.in), [&](int64_t index) {
    const int64_t outs = filter.outsOf(index);
    float* const scales = static_cast<float*>(scratch(kScratchRow, taps * outs * (groups * 4 + k) + (2 * weight.in + k) * 4));
    float *const row = scales + taps * outs * groups, *const space = row + weight.in, *const padded = space + weight.in;
    int8_t* const codes = reinterpret_cast<int8_t*>(padded + k);
    for (int64_t o = 0; o < outs; o++) {
      filterRows(weight, index * kPanelOuts + o, 1, taps, row, space);
      for (int64_t tap = 0; tap < taps; tap++) {
        const int64_t at = tap * outs + o;
        isa().int8->coarsenFloats(filledUp(row + tap * channels, channels, padded), k, codes + at * k, scales + at * groups);
      }
    }
    for (int64_t tap = 0; tap < taps; tap++)
      isa().int8->pack(codes + tap * outs * k, scales + tap * outs * groups, filter.panel(index, tap));
  });
  kept.level = isa().int8;
  kept.taps = taps;
  return filter;
}

// Some rows of outputs of an image, and the pixels under them, rounded to int8 per 128 channels of a pixel.
struct Int8Rows {
  int64_t image, begin, end;  // rows of outputs
  RoundedRows pixels;         // from row `firstRow` of the image on; the last one is zero
  int64_t firstRow;
  int32_t* places;            // [taps, outputs]: the pixel under a tap
};

int64_t firstRowUnder(const ConvGeometry& g, int64_t row) { return std::max<int64_t>(0, row * g.strideH - g.padH); }
int64_t endRowUnder(const ConvGeometry& g, int64_t row) { return std::min(g.height, row * g.strideH - g.padH + g.kernelH); }

void roundPixels(const float* x, const ConvGeometry& g, const Int8Rows& rows, float* space) {
  const RoundedRows& to = rows.pixels;
  const int64_t groups = panelGroups(to.k), zero = to.rows - 1;
  const float* from = x + (rows.image * g.height + rows.firstRow) * g.width * g.inChannels;
  for (int64_t i = 0; i < zero; i++)
    isa().int8->round(filledUp(from + i * g.inChannels, g.inChannels, space), to.k, to.codes + i * to.k, to.d + i * groups, to.starts + i * groups);
  memset(to.codes + zero * to.k, 0, (size_t)to.k);
  memset(to.d + zero * groups, 0, (size_t)groups * 4);
  memset(to.starts + zero * groups, 0, (size_t)groups * 4);
}

void placeTaps(const ConvGeometry& g, const Int8Rows& rows) {
  int32_t* to = rows.places;
  for (int64_t ky = 0; ky < g.kernelH; ky++)
    for (int64_t kx = 0; kx < g.kernelW; kx++)
      for (int64_t row = rows.begin; row < rows.end; row++)
        for (int64_t column = 0; column < g.outWidth(); column++) {
          const int64_t y = row * g.strideH - g.padH + ky, left = column * g.strideW - g.padW + kx;
          const bool inside = y >= 0 && y < g.height && left >= 0 && left < g.width;
          *to++ = (int32_t)(inside ? (y - rows.firstRow) * g.width + left : rows.pixels.rows - 1);
        }
}

// Each pixel is rounded once and its codes are read in place under every tap; no patch is gathered.
void int8Conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, KeptFilter& kept) {
  constexpr int64_t kOutputs = 100;  // about so many of a task: their sums and a tap's panel fit the first-level cache
  const int64_t outH = g.outHeight(), outW = g.outWidth(), outs = g.outChannels, taps = g.kernelH * g.kernelW;
  const Int8Filter filter = int8Filter(weight, taps, kept);
  const int64_t k = filter.channels, groups = panelGroups(k);
  const int64_t run = std::max<int64_t>(1, std::min(outH, kOutputs / outW)), runs = (outH + run - 1) / run;
  const int64_t mostPixels = std::min(g.height, (run - 1) * g.strideH + g.kernelH) * g.width + 1;
  parallelFor(g.batch * runs, (double)(g.batch * outH * outW * outs * weight.in) / 100, [&](int64_t task) {
    Int8Rows rows = {task / runs, task % runs * run, std::min(outH, task % runs * run + run), {}, 0, nullptr};
    rows.firstRow = firstRowUnder(g, rows.begin);
    const int64_t count = (rows.end - rows.begin) * outW;
    const int64_t pixels = std::max<int64_t>(0, endRowUnder(g, rows.end - 1) - rows.firstRow) * g.width + 1;
    float* const space = static_cast<float*>(scratch(kScratchPanel, k * 4 + mostPixels * (k + groups * 8) + taps * run * outW * 4));
    float* const d = space + k;
    int32_t* const starts = reinterpret_cast<int32_t*>(d + pixels * groups);
    rows.places = starts + pixels * groups;
    rows.pixels = {pixels, k, reinterpret_cast<int8_t*>(rows.places + taps * count), d, starts};
    roundPixels(x, g, rows, space);
    placeTaps(g, rows);
    float* const sums = static_cast<float*>(scratch(kScratchTile, run * outW * kPanelOuts * 4));
    for (int64_t p = 0; p < filter.panels(); p++) {
      const int64_t first = p * kPanelOuts, some = filter.outsOf(p);
      float biases[kPanelOuts] = {};
      if (bias) memcpy(biases, bias + first, (size_t)some * 4);
      for (int64_t i = 0; i < count; i++) memcpy(sums + i * kPanelOuts, biases, sizeof(biases));
      for (int64_t tap = 0; tap < taps; tap++)
        isa().int8->multiplyGathered(rows.pixels, rows.places + tap * count, count, filter.panel(p, tap), sums, kPanelOuts);
      if (g.activation == kActGelu) isa().coarseGelu(sums, count * kPanelOuts, sums);
      if (g.activation == kActSilu) isa().silu(sums, count * kPanelOuts, sums);
      const int64_t position = (rows.image * outH + rows.begin) * outW;
      for (int64_t i = 0; i < count; i++) {
        const float* values = sums + i * kPanelOuts;
        if (g.channelsInner) memcpy(out + (position + i) * outs + first, values, (size_t)some * 4);
        else storeWidthMajor(values, first, some, g, {rows.image, rows.begin + i / outW, i % outW}, out);
      }
    }
  });
}

constexpr int64_t kFewInputs = 16;  // to pack patches and to transpose results costs more than fewer products

void fewInputsConv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast) {
  constexpr int64_t kOutputs = 64;
  const bool coarse = fast && isa().int8;  // what follows is rounded
  const int64_t k = weight.in, outs = g.outChannels, padded = paddedOuts(outs), positions = g.batch * g.outHeight() * g.outWidth();
  float* const filter = static_cast<float*>(scratch(kScratchLayer, ((1 + k) * padded + outs * k + k) * 4));
  float* const rows = filter + (1 + k) * padded;
  memset(filter, 0, (size_t)((1 + k) * padded) * 4);
  if (bias) memcpy(filter, bias, (size_t)outs * 4);
  filterRows(weight, 0, outs, g.kernelH * g.kernelW, rows, rows + outs * k);
  for (int64_t i = 0; i < k; i++)
    for (int64_t o = 0; o < outs; o++) filter[(1 + i) * padded + o] = rows[o * k + i];
  parallelFor((positions + kOutputs - 1) / kOutputs, (double)(positions * outs) * (1 + (double)k / 16), [&](int64_t task) {
    const int64_t begin = task * kOutputs, count = std::min(kOutputs, positions - begin);
    float* const patches = static_cast<float*>(scratch(kScratchPanel, kOutputs * k * 4));
    for (int64_t i = 0; i < count; i++) copyPatch(x, g, positionOf(g, begin + i), patches + i * k);
    float* const values = g.channelsInner ? out + begin * outs : static_cast<float*>(scratch(kScratchTile, kOutputs * outs * 4));
    isa().fewInputs(patches, count, k, filter, (int)outs, g.activation, coarse, values, outs);
    if (!g.channelsInner)
      for (int64_t i = 0; i < count; i++) storeWidthMajor(values + i * outs, 0, outs, g, positionOf(g, begin + i), out);
  });
}

}  // namespace

void conv2d(const float* x, const ConvGeometry& g, const WeightMatrix& weight, const float* bias, float* out, bool fast,
            KeptFilter& kept) {
  const int64_t outH = g.outHeight(), outW = g.outWidth(), channels = g.inChannels, taps = g.kernelH * g.kernelW;
  const int64_t depth = channels * taps, positions = g.batch * outH * outW, lanes = isa().lanes;
  if (positions <= 0) return;
  if (fast && int8Weight(weight)) return int8Conv2d(x, g, weight, bias, out, kept);
  if (weight.in < kFewInputs) return fewInputsConv2d(x, g, weight, bias, out, fast);
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
      for (int lane = 0; lane < rows; lane++) storeWidthMajor(values + lane * outs, 0, outs, g, positionOf(g, first + lane), out);
    }
  });
}

}  // namespace voxquant
