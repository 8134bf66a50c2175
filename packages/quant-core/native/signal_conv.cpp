#include "signal_conv.h"

#include <string.h>

#include <algorithm>

#include "dispatch.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kRowsPerTask = 96;
constexpr int64_t kManyRows = 512;  // are shared among tasks; fewer go through each panel of weights at once
constexpr double kMacsPerNanosecond = 80;

// Rounding to int8 adds noise some 45 dB below a convolution's result. That is little in a branch beside a residual path,
// which keeps the number of channels; whatever changes it is the signal's only path, and the narrow ones are the last
// before the waveform: these stay in bfloat16.
constexpr int64_t kLeastInt8Channels = 128;

bool roundsToInt8(const CausalConv& conv, const WeightMatrix& weight) {
  const bool codes = weight.traits->group == 32 && !weight.traits->shifted;
  return isa().convInt8 && codes && conv.inChannels % 32 == 0 && conv.inChannels >= kLeastInt8Channels && conv.inChannels == weight.out;
}

struct Form {
  bool int8;
  int64_t k;

  int64_t valueBytes() const { return int8 ? 1 : 2; }
  int64_t panelBytes(int64_t vectors) const { return vectors * kConvOuts * (k * valueBytes() + (int8 ? k / 8 : 0)); }
};

ConvPanel panelAt(const Form& form, int64_t outs, uint8_t* memory) {
  ConvPanel panel;
  panel.vectors = (int)((outs + kConvOuts - 1) / kConvOuts);
  panel.values = memory;
  panel.scales = form.int8 ? reinterpret_cast<const float*>(memory + panel.vectors * kConvOuts * form.k) : nullptr;
  return panel;
}

// Rows [begin, begin + count) of a weight as vector v of a panel.
void packInt8Vector(const WeightMatrix& weight, int64_t begin, int count, const ConvPanel& panel, int v, uint8_t* to) {
  const int64_t k = weight.in, groups = k / 32;
  float* scales = static_cast<float*>(scratch(kScratchRow, kConvOuts * (groups * 4 + k)));
  int8_t* codes = reinterpret_cast<int8_t*>(scales + kConvOuts * groups);
  for (int i = 0; i < count; i++) isa().unpack(weight.dtype, weight.row(begin + i), k, codes + i * k, scales + i * groups, nullptr);
  isa().convInt8->pack(codes, scales, count, k, panel.vectors, to, const_cast<float*>(panel.scales) + v * kConvOuts);
}

void packBf16Vector(const WeightMatrix& weight, int64_t begin, int count, const ConvPanel& panel, uint8_t* to) {
  const int64_t k = weight.in;
  if (weight.dtype == BF16) {
    isa().convBf16->pack(reinterpret_cast<const uint16_t*>(weight.row(begin)), count, k, panel.vectors, to);
    return;
  }
  float* floats = static_cast<float*>(scratch(kScratchRow, k * 4 + kConvOuts * k * 2));
  uint16_t* rows = reinterpret_cast<uint16_t*>(floats + k);
  for (int i = 0; i < count; i++) {
    isa().dequantize(weight.dtype, weight.row(begin + i), k, floats);
    isa().toBf16(floats, k, rows + i * k);
  }
  isa().convBf16->pack(rows, count, k, panel.vectors, to);
}

// Outputs [begin, begin + outs).
ConvPanel packPanel(const Form& form, const WeightMatrix& weight, int64_t begin, int64_t outs, uint8_t* memory) {
  const ConvPanel panel = panelAt(form, outs, memory);
  for (int v = 0; v < panel.vectors; v++) {
    const int64_t o = v * kConvOuts;
    const int count = (int)std::min<int64_t>(kConvOuts, outs - o);
    uint8_t* to = memory + o * 4;
    if (form.int8) packInt8Vector(weight, begin + o, count, panel, v, to);
    else packBf16Vector(weight, begin + o, count, panel, to);
  }
  return panel;
}

// The history and x, rounded.
ConvInput roundAll(const Form& form, const float* x, const CausalConv& conv, const float* history) {
  const int64_t channels = conv.inChannels, before = conv.before(), rows = before + conv.rows, groups = channels / 32;
  const int64_t scaleBytes = form.int8 ? rows * groups * 4 : 0;
  uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchActivations, 2 * scaleBytes + rows * channels * form.valueBytes()));
  float* d = reinterpret_cast<float*>(memory);
  int32_t* starts = reinterpret_cast<int32_t*>(memory + scaleBytes);
  uint8_t* values = memory + 2 * scaleBytes;
  const int64_t run = std::max<int64_t>(1, 16384 / channels);
  parallelFor((rows + run - 1) / run, (double)(rows * channels) * 0.2, [&](int64_t task) {
    for (int64_t row = task * run; row < std::min(rows, (task + 1) * run); row++) {
      const float* from = row >= before ? x + (row - before) * channels : history ? history + row * channels : nullptr;
      uint8_t* to = values + row * channels * form.valueBytes();
      if (!from) {
        memset(to, 0, (size_t)(channels * form.valueBytes()));
        if (form.int8) {
          memset(d + row * groups, 0, (size_t)groups * 4);
          memset(starts + row * groups, 0, (size_t)groups * 4);
        }
      } else if (form.int8) {
        isa().convInt8->round(from, channels, reinterpret_cast<int8_t*>(to), d + row * groups, starts + row * groups);
      } else {
        isa().toBf16(from, channels, reinterpret_cast<uint16_t*>(to));
      }
    }
  });
  return {channels, conv.kernel, conv.dilation, values, d, starts};
}

struct Job {
  Form form;
  const CausalConv& conv;
  ConvInput input;
  int64_t outs;
  const float *bias, *residual;
  float* out;

  // Rows [first, first + rows) of a panel's outputs.
  void multiply(const ConvPanel& panel, int64_t begin, int64_t count, int64_t first, int64_t rows) const {
    ConvInput x = input;
    const int64_t at = first * outs + begin;
    x.values += first * x.channels * form.valueBytes();
    if (form.int8) {
      x.d += first * (x.channels / 32);
      x.starts += first * (x.channels / 32);
    }
    const bool linear = conv.activation == kActNone;
    const ConvOutput to = {bias ? bias + begin : nullptr, residual && linear ? residual + at : nullptr, out + at, outs, (int)count};
    (form.int8 ? isa().convInt8->conv : isa().convBf16->conv)(x, panel, (int)rows, to);
    if (linear) return;
    for (int64_t r = 0; r < rows; r++) {
      float* row = out + at + r * outs;
      (conv.activation == kActGelu ? isa().gelu : isa().silu)(row, count, row);
      if (residual) isa().add(row, residual + at + r * outs, count, row);
    }
  }
};

}  // namespace

bool convolveSignal(const float* x, const CausalConv& conv, const WeightMatrix& weight, const float* bias, const float* history,
                    const float* residual, float* out) {
  if (isa().amxWeights || weight.out < kConvOuts) return false;
  const bool int8 = roundsToInt8(conv, weight);
  if (!int8 && (!isa().convBf16 || conv.inChannels % 2 != 0)) return false;
  const Form form = {int8, weight.in};
  const Job job = {form, conv, roundAll(form, x, conv, history), weight.out, bias, residual, out};
  const int64_t panels = (weight.out + kPanelOuts - 1) / kPanelOuts;
  const double cost = (double)conv.rows * (double)(weight.out * weight.in) / kMacsPerNanosecond;
  const int64_t panelBytes = form.panelBytes(kPanelOuts / kConvOuts);
  auto outsOf = [&](int64_t panel) { return std::min<int64_t>(kPanelOuts, weight.out - panel * kPanelOuts); };
  if (conv.rows < kManyRows && panels >= 2 * threads()) {
    parallelFor(panels, cost, [&](int64_t p) {
      uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, panelBytes));
      job.multiply(packPanel(form, weight, p * kPanelOuts, outsOf(p), memory), p * kPanelOuts, outsOf(p), 0, conv.rows);
    });
    return true;
  }
  uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchLayer, panels * panelBytes));
  parallelFor(panels, (double)(weight.out * weight.in) * 0.3,
              [&](int64_t p) { packPanel(form, weight, p * kPanelOuts, outsOf(p), memory + p * panelBytes); });
  const int64_t runs = (conv.rows + kRowsPerTask - 1) / kRowsPerTask;
  parallelFor(runs * panels, cost, [&](int64_t task) {
    const int64_t p = task % panels, first = task / panels * kRowsPerTask;
    job.multiply(panelAt(form, outsOf(p), memory + p * panelBytes), p * kPanelOuts, outsOf(p), first,
                 std::min(kRowsPerTask, conv.rows - first));
  });
  return true;
}

}  // namespace voxquant
