#include "causal_conv.h"

#include <string.h>

#include <algorithm>

#include "elementwise.h"
#include "filter.h"
#include "signal_conv.h"

namespace voxquant {
namespace {

// From this many rows on a filter is unpacked as a whole, unless it is large, and tasks are runs of rows; else tasks are
// runs of outputs, for this many rows at a time.
constexpr int64_t kManyRows = 512;
constexpr int64_t kLargeFilter = INT64_C(16) << 20;  // bytes

constexpr double kMacsPerNanosecond = 40;

// A signal with the rows before it.
struct Signal {
  const float *x, *history;  // history may be null: zeros
  int64_t before, channels;

  // Row t of x, or, from -before on, of the history; null for zeros.
  const float* row(int64_t t) const {
    if (t >= 0) return x + t * channels;
    return history ? history + (before + t) * channels : nullptr;
  }
};

void copyRow(const Signal& signal, int64_t t, float* to) {
  const float* from = signal.row(t);
  if (from) memcpy(to, from, (size_t)signal.channels * 4);
  else memset(to, 0, (size_t)signal.channels * 4);
}

// The inputs of output row t: [kernel, channels].
void copyTaps(const Signal& signal, const CausalConv& conv, int64_t t, float* to) {
  for (int64_t k = 0; k < conv.kernel; k++) copyRow(signal, t - signal.before + k * conv.dilation, to + k * signal.channels);
}

void pack(GemmMode mode, const float* x, int64_t stride, int rows, int64_t k, const PackedActivations& to, int64_t block, int64_t k0) {
  if (mode == GemmMode::kBf16) isa().packBf16(x, stride, rows, k, const_cast<uint16_t*>(to.bf16(block, k0)));
  else isa().packF32(x, stride, rows, k, const_cast<float*>(to.f32(block, k0)));
}

// The inputs of output rows [t, t + rows of the block). Each tap of them is a run of rows that are packed in place,
// except where they reach into the history. space: a block of rows [lanes, kernel * channels].
void packTaps(const Signal& signal, const CausalConv& conv, int64_t t, const PackedActivations& to, int64_t block, float* space) {
  const int64_t channels = signal.channels;
  const int rows = to.rowsOf(block);
  if (to.mode == GemmMode::kBf16 && channels % 2 != 0 && conv.kernel > 1) {  // taps share pairs of inputs
    for (int r = 0; r < rows; r++) copyTaps(signal, conv, t + r, space + r * to.k);
    return pack(to.mode, space, to.k, rows, to.k, to, block, 0);
  }
  for (int64_t k = 0; k < conv.kernel; k++) {
    const int64_t first = t - signal.before + k * conv.dilation;
    const float* from = space;
    if (first >= 0) from = signal.row(first);
    else
      for (int r = 0; r < rows; r++) copyRow(signal, first + r, space + r * channels);
    pack(to.mode, from, channels, rows, channels, to, block, k * channels);
  }
}

int64_t spaceBytes(int64_t depth) { return isa().lanes * depth * 4; }

void addResidual(const float* residual, int64_t first, int rows, int64_t begin, int64_t count, int64_t outs, float* out) {
  if (!residual) return;
  for (int64_t at = first * outs + begin; at < (first + rows) * outs; at += outs) isa().add(out + at, residual + at, count, out + at);
}

void convolveFew(const Signal& signal, const CausalConv& conv, const WeightMatrix& weight, const float* bias, const float* residual,
                 float* out) {
  float* taps = static_cast<float*>(scratch(kScratchLayer, conv.rows * weight.in * 4));
  for (int64_t t = 0; t < conv.rows; t++) copyTaps(signal, conv, t, taps + t * weight.in);
  linear(taps, conv.rows, 1, &weight, &bias, &out, false);
  const int64_t n = conv.rows * weight.out;
  if (conv.activation == kActGelu) isa().gelu(out, n, out);
  else if (conv.activation == kActSilu) isa().silu(out, n, out);
  if (residual) isa().add(out, residual, n, out);
}

// Output rows [first, first + rows).
void convolveSome(const Signal& signal, const CausalConv& conv, const WeightMatrix& weight, const float* bias, const float* residual,
                  float* out, GemmMode mode, int64_t first, int64_t rows) {
  const int64_t lanes = isa().lanes, blockBytes = PackedActivations::bytesPerBlock(mode, weight.in);
  PackedActivations packed = {mode, rows, weight.in, blockBytes, nullptr};
  const int64_t blocks = packed.blocks();
  packed.data = static_cast<uint8_t*>(scratch(kScratchActivations, blocks * blockBytes));
  parallelFor(blocks, (double)(rows * weight.in) / 2, [&](int64_t block) {
    packTaps(signal, conv, first + block * lanes, packed, block, static_cast<float*>(scratch(kScratchTile, spaceBytes(weight.in))));
  });
  const double macs = (double)rows * (double)(weight.out * weight.in);
  parallelFor((weight.out + kPanelOuts - 1) / kPanelOuts, macs / kMacsPerNanosecond, [&](int64_t task) {
    const int64_t begin = task * kPanelOuts, end = std::min(weight.out, begin + kPanelOuts);
    float* c = static_cast<float*>(scratch(kScratchTile, blocks * kPanelOuts * lanes * 4));
    multiplyPanel(weight, begin, end - begin, packed, c);
    for (int64_t b = 0; b < blocks; b++) {
      const int some = packed.rowsOf(b);
      isa().storeTile(c + b * kPanelOuts * lanes, (int)(end - begin), some, bias ? bias + begin : nullptr, conv.activation,
                      out + (first + b * lanes) * weight.out + begin, weight.out);
      addResidual(residual, first + b * lanes, some, begin, end - begin, weight.out, out);
    }
  });
}

void convolveMany(const Signal& signal, const CausalConv& conv, const WeightMatrix& weight, const float* bias, const float* residual,
                  float* out, GemmMode mode) {
  const Filter filter = unpackFilter(weight, mode, 1);
  const int64_t rows = conv.rows, lanes = isa().lanes, depth = filter.depth, outs = filter.outs;
  const int64_t blocks = (rows + lanes - 1) / lanes, run = blocksPerTask(blocks);
  const double macs = (double)rows * (double)(outs * depth);
  parallelFor((blocks + run - 1) / run, macs / kMacsPerNanosecond, [&](int64_t task) {
    const int64_t begin = task * run * lanes, end = std::min(rows, begin + run * lanes);
    const int64_t blockBytes = PackedActivations::bytesPerBlock(mode, depth);
    uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, spaceBytes(depth) + run * blockBytes));
    float* space = reinterpret_cast<float*>(memory + run * blockBytes);
    const PackedActivations packed = {mode, end - begin, depth, blockBytes, memory};
    for (int64_t b = 0; b < packed.blocks(); b++) packTaps(signal, conv, begin + b * lanes, packed, b, space);
    const int64_t tile = filter.paddedOuts() * lanes;
    float* c = static_cast<float*>(scratch(kScratchTile, run * tile * 4));
    multiply(filter, packed, c);
    for (int64_t b = 0; b < packed.blocks(); b++) {
      const int some = packed.rowsOf(b);
      const int64_t first = begin + b * lanes;
      isa().storeTile(c + b * tile, (int)outs, some, bias, conv.activation, out + first * outs, outs);
      addResidual(residual, first, some, 0, outs, outs, out);
    }
  });
}

// The last rows of (history, x) become the history.
void keepLast(const float* x, int64_t rows, int64_t channels, int64_t before, float* history) {
  if (!history) return;
  const int64_t kept = std::max<int64_t>(0, before - rows);
  memmove(history, history + (before - kept) * channels, (size_t)(kept * channels) * 4);
  memcpy(history + kept * channels, x + (rows - (before - kept)) * channels, (size_t)((before - kept) * channels) * 4);
}

}  // namespace

void causalConv1d(const float* x, const CausalConv& conv, const WeightMatrix& weight, const float* bias, float* history,
                  const float* residual, float* out, bool fast) {
  const Signal signal = {x, history, conv.before(), conv.inChannels};
  const GemmMode mode = filterMode(weight, fast);
  if (conv.rows <= kGemvRows) {
    convolveFew(signal, conv, weight, bias, residual, out);
  } else if (fast && convolveSignal(x, conv, weight, bias, history, residual, out)) {
    // done
  } else if (conv.rows >= kManyRows && weight.out * weight.in * (mode == GemmMode::kBf16 ? 2 : 4) <= kLargeFilter) {
    convolveMany(signal, conv, weight, bias, residual, out, mode);
  } else {
    for (int64_t first = 0; first < conv.rows; first += kManyRows)
      convolveSome(signal, conv, weight, bias, residual, out, mode, first, std::min(kManyRows, conv.rows - first));
  }
  keepLast(x, conv.rows, conv.inChannels, conv.before(), history);
}

void depthwiseCausalConv1d(const float* x, int64_t rows, int64_t channels, int64_t kernel, const float* weight, const float* bias,
                           float* history, float* out) {
  const Signal signal = {x, history, kernel - 1, channels};
  forRows(rows, channels, 0.15 * (double)kernel, [&](int64_t t) {
    float* row = out + t * channels;
    memcpy(row, bias, (size_t)channels * 4);
    for (int64_t k = 0; k < kernel; k++)
      if (const float* tap = signal.row(t - signal.before + k)) isa().addScaled(row, tap, weight + k * channels, channels, row);
  });
  keepLast(x, rows, channels, kernel - 1, history);
}

}  // namespace voxquant
