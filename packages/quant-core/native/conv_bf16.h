#pragma once
// Convolutions of signals and weights in bfloat16, a pair of channels at a time.
#include "vector_conv.h"

namespace voxquant {
namespace {

void packConvBf16(const uint16_t* rows, int outs, int64_t k, int vectors, uint8_t* to) {
  packConvColumns((const uint8_t*)rows, 2 * k, outs, 2 * k, vectors, 0, to);
}

template <int R, int V>
void convBf16Rows(const ConvInput& x, const ConvPanel& w, int first, const ConvOutput& to) {
  F acc[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) acc[r][v] = splat(0.0f);
  const uint8_t* weights = w.values;
  for (int64_t k = 0; k < x.kernel; k++) {
    const uint16_t* values = (const uint16_t*)x.values + (first + k * x.dilation) * x.channels;
    for (int64_t i = 0; i < x.channels; i += 2) {
      __m512bh weight[V];
      for (int v = 0; v < V; v++) weight[v] = (__m512bh)_mm512_loadu_si512(weights + v * 64);
      weights += V * 64;
      for (int r = 0; r < R; r++) {
        const __m512bh pair = (__m512bh)broadcast32(values + r * x.channels + i);
        for (int v = 0; v < V; v++) acc[r][v] = _mm512_dpbf16_ps(acc[r][v], weight[v], pair);
      }
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) finishConv(acc[r][v], to, first + r, v * W);
}

template <int V>
void convBf16Panel(const ConvInput& x, const ConvPanel& w, int rows, const ConvOutput& to) {
  int row = 0;
  for (; row + 8 <= rows; row += 8) convBf16Rows<8, V>(x, w, row, to);
  for (; row + 4 <= rows; row += 4) convBf16Rows<4, V>(x, w, row, to);
  for (; row < rows; row++) convBf16Rows<1, V>(x, w, row, to);
}

void convBf16(const ConvInput& x, const ConvPanel& w, int rows, const ConvOutput& to) {
  if (w.vectors == 1) convBf16Panel<1>(x, w, rows, to);
  else if (w.vectors == 2) convBf16Panel<2>(x, w, rows, to);
  else convBf16Panel<3>(x, w, rows, to);
}

const ConvKernelsBf16 kConvBf16 = {packConvBf16, convBf16};

}  // namespace
}  // namespace voxquant
