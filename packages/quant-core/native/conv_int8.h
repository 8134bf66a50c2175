#pragma once
// Convolutions of signals rounded to int8 per 32 channels with weights of int8 codes per 32 inputs: weights as unsigned
// bytes code + 128, so that the accumulator starts at -128 * (sum of the group's inputs).
#include "vector_conv.h"

namespace voxquant {
namespace {

void roundSignal(const float* x, int64_t n, int8_t* codes, float* d, int32_t* starts) {
  const __m256i ones = _mm256_set1_epi8(1);
  for (int64_t g = 0; g < n / 32; g++) {
    __m128i low, high;
    d[g] = round32(load(x + 32 * g), load(x + 32 * g + 16), &low, &high);
    const __m256i group = _mm256_set_m128i(high, low);
    _mm256_storeu_si256((__m256i*)(codes + 32 * g), group);
    const __m256i quads = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, group);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(quads), _mm256_extracti128_si256(quads, 1));
    sum = _mm_hadd_epi32(sum, sum);
    starts[g] = -128 * (_mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 1));
  }
}

void packConvInt8(const int8_t* codes, const float* scales, int outs, int64_t k, int vectors, uint8_t* to, float* toScales) {
  packConvColumns((const uint8_t*)codes, k, outs, k, vectors, 0x80, to);
  packConvColumns((const uint8_t*)scales, k / 8, outs, k / 8, vectors, 0, (uint8_t*)toScales);
}

template <int R, int V>
void convInt8Rows(const ConvInput& x, const ConvPanel& w, int first, const ConvOutput& to) {
  const int64_t groups = x.channels / 32;
  F acc[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) acc[r][v] = splat(0.0f);
  const uint8_t* weights = w.values;
  const float* scales = w.scales;
  for (int64_t k = 0; k < x.kernel; k++) {
    const int64_t row = first + k * x.dilation;
    const int8_t* codes = (const int8_t*)x.values + row * x.channels;
    const float* d = x.d + row * groups;
    const int32_t* starts = x.starts + row * groups;
    for (int64_t g = 0; g < groups; g++) {
      __m512i dot[R][V];
      for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) dot[r][v] = _mm512_set1_epi32(starts[r * groups + g]);
#pragma GCC unroll 8
      for (int s = 0; s < 8; s++) {
        __m512i weight[V];
        for (int v = 0; v < V; v++) weight[v] = _mm512_loadu_si512(weights + (s * V + v) * 64);
        for (int r = 0; r < R; r++) {
          const __m512i quad = broadcast32(codes + r * x.channels + 32 * g + 4 * s);
          for (int v = 0; v < V; v++) dot[r][v] = _mm512_dpbusd_epi32(dot[r][v], weight[v], quad);
        }
      }
      weights += 8 * V * 64;
      F scale[V];
      for (int v = 0; v < V; v++) scale[v] = load(scales + v * W);
      scales += V * W;
      for (int r = 0; r < R; r++) {
        const F size = splat(d[r * groups + g]);
        for (int v = 0; v < V; v++) acc[r][v] = fma(_mm512_cvtepi32_ps(dot[r][v]), mul(size, scale[v]), acc[r][v]);
      }
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) finishConv(acc[r][v], to, first + r, v * W);
}

template <int V>
void convInt8Panel(const ConvInput& x, const ConvPanel& w, int rows, const ConvOutput& to) {
  int row = 0;
  for (; row + 4 <= rows; row += 4) convInt8Rows<4, V>(x, w, row, to);
  for (; row < rows; row++) convInt8Rows<1, V>(x, w, row, to);
}

void convInt8(const ConvInput& x, const ConvPanel& w, int rows, const ConvOutput& to) {
  if (w.vectors == 1) convInt8Panel<1>(x, w, rows, to);
  else if (w.vectors == 2) convInt8Panel<2>(x, w, rows, to);
  else convInt8Panel<3>(x, w, rows, to);
}

const ConvKernelsInt8 kConvInt8 = {roundSignal, packConvInt8, convInt8};

}  // namespace
}  // namespace voxquant
