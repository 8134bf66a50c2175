// AVX-512 (F, BW, DQ, VL) with VNNI.
//
// Matrix x vectors: 64 weight codes per step as unsigned bytes u = code + offset; dpbusd(u, q) accumulates onto
// -offset * (sum of 4 q), which was computed once per activation row, so that the correction costs nothing here.
// GEMM: 32 activation rows in lanes as unsigned bytes q + 128, weights broadcast as signed bytes from their natural
// order; the accumulator starts at -128 * (sum of the group's weight codes).
#include "vectors_avx512.h"
#include "vector_attention.h"
#include "gemv_avx512.h"
#include "conv_int8.h"

namespace voxquant {
namespace {

void packF32(const float* x, int64_t stride, int rows, int64_t k, float* a) {
  for (int v = 0; v < kVectors; v++) {
    for (int64_t i = 0; i < k; i += 16) {
      const int count = k - i < 16 ? (int)(k - i) : 16;
      F r[16];
      for (int j = 0; j < 16; j++) r[j] = v * 16 + j < rows ? loadPart(x + (v * 16 + j) * stride + i, count) : zero();
      transpose16(r);
      for (int j = 0; j < count; j++) store(a + (i + j) * kLanes + v * 16, r[j]);
    }
  }
}

void storeTile(const float* c, int outs, int rows, const float* bias, int32_t act, float* out, int64_t stride) {
  for (int o = 0; o < outs; o += 16) {
    const int count = outs - o < 16 ? outs - o : 16;
    F b = bias ? loadPart(bias + o, count) : zero();
    for (int v = 0; v * 16 < rows; v++) {
      F r[16];
      for (int j = 0; j < 16; j++) r[j] = j < count ? load(c + (o + j) * kLanes + v * 16) : zero();
      transpose16(r);
      const int lanes = rows - v * 16 < 16 ? rows - v * 16 : 16;
      for (int j = 0; j < lanes; j++) {
        F y = add(r[j], b);
        if (act == kActGelu) y = geluOf(y);
        else if (act == kActSilu) y = siluOf(y);
        storePart(out + (v * 16 + j) * stride + o, y, count);
      }
    }
  }
}

void quantizeRow(const float* x, int64_t n, int64_t padded, int8_t* q, float* d, int32_t* quads, float* sums16, float* sums32) {
  const __m256i ones = _mm256_set1_epi8(1);
  for (int64_t b = 0; b < padded / 32; b++) {
    __m128i low = _mm_setzero_si128(), high = low;
    d[b] = b * 32 < n ? round32(load(x + 32 * b), load(x + 32 * b + 16), &low, &high) : 0.0f;
    __m256i codes = _mm256_set_m128i(high, low);
    _mm256_storeu_si256((__m256i*)(q + 32 * b), codes);
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, codes);
    _mm256_storeu_si256((__m256i*)(quads + 8 * b), sums);
    const int32_t* total = quads + 8 * b;
    const int32_t first = total[0] + total[1] + total[2] + total[3], second = total[4] + total[5] + total[6] + total[7];
    sums16[2 * b] = d[b] * (float)first;
    sums16[2 * b + 1] = d[b] * (float)second;
    sums32[b] = d[b] * (float)(first + second);
  }
}

// Sixteen rows at a time: transposed first, so that all rest is vertical.
void packInt8(const float* x, int64_t stride, int rows, int64_t k, const PackedInt8& a) {
  const __m512i ones = _mm512_set1_epi8(1), byte = _mm512_set1_epi32(255), flip = _mm512_set1_epi8((char)0x80);
  for (int v = 0; v < kVectors; v++) {
    for (int64_t b = 0; b < k / 32; b++) {
      F t[32];
      __m512i bits = _mm512_setzero_si512();
      for (int h = 0; h < 2; h++) {
        for (int j = 0; j < 16; j++)
          t[16 * h + j] = v * 16 + j < rows ? load(x + (v * 16 + j) * stride + 32 * b + 16 * h) : zero();
        transpose16(t + 16 * h);
      }
      for (int i = 0; i < 32; i++) bits = _mm512_max_epi32(bits, _mm512_castps_si512(magnitude(t[i])));
      const F top = _mm512_castsi512_ps(bits);
      const __mmask16 some = _mm512_cmp_ps_mask(top, splat(1e-30f), _CMP_NLE_UQ);
      const F d = _mm512_maskz_div_ps(some, top, splat(127.0f)), inverse = _mm512_maskz_div_ps(some, splat(127.0f), top);
      const int64_t lanes = v * 16;
      __m512i sums[2];
      for (int h = 0; h < 2; h++) {
        sums[h] = _mm512_setzero_si512();
        for (int q = 4 * h; q < 4 * h + 4; q++) {
          __m512i word = _mm512_and_si512(_mm512_cvtps_epi32(mul(t[4 * q], inverse)), byte);
          for (int i = 1; i < 4; i++) {
            const __m512i code = _mm512_and_si512(_mm512_cvtps_epi32(mul(t[4 * q + i], inverse)), byte);
            word = _mm512_or_si512(word, _mm512_slli_epi32(code, (unsigned)(8 * i)));
          }
          sums[h] = _mm512_dpbusd_epi32(sums[h], ones, word);
          _mm512_storeu_si512(a.codes + ((8 * b + q) * kLanes + lanes) * 4, _mm512_xor_si512(word, flip));
        }
        store(a.sums16 + (2 * b + h) * kLanes + lanes, mul(d, _mm512_cvtepi32_ps(sums[h])));
      }
      store(a.d + b * kLanes + lanes, d);
      store(a.sums32 + b * kLanes + lanes, mul(d, _mm512_cvtepi32_ps(_mm512_add_epi32(sums[0], sums[1]))));
    }
  }
}

void groupSums(const int8_t* codes, int64_t n, int group, int32_t* sums) {
  const __m256i ones = _mm256_set1_epi8(1);
  for (int64_t i = 0; i < n; i += 32) {
    const __m256i v = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, load256((const uint8_t*)codes + i));
    __m128i low = _mm256_castsi256_si128(v), high = _mm256_extracti128_si256(v, 1);
    low = _mm_hadd_epi32(low, high);
    low = _mm_hadd_epi32(low, low);  // sums of the two halves
    const int32_t first = _mm_cvtsi128_si32(low), second = _mm_extract_epi32(low, 1);
    if (group == 16) {
      *sums++ = -128 * first;
      *sums++ = -128 * second;
    } else {
      *sums++ = -128 * (first + second);
    }
  }
}

// T tiles of outputs by V vectors of activation rows; always whole tiles: the driver pads the panel.
template <int V, int T, int Group, bool Shifted>
inline void tileInt8Fixed(const PackedInt8& a, const PanelInt8& w, int64_t tile, float* c) {
  constexpr int O = kInt8Outs;
  const int64_t groups = w.k / Group;
  const int8_t* codes = w.codes + tile * O * w.k;
  const float *scales = w.scales + tile * O * groups, *shifts = w.shifts + tile * O * groups;
  const int32_t* start = w.sums + tile * O * groups;
  F acc[T][O][V];
  for (int t = 0; t < T; t++)
    for (int o = 0; o < O; o++)
      for (int v = 0; v < V; v++) acc[t][o][v] = zero();
  for (int64_t g = 0; g < groups; g++) {
    __m512i dot[T][O][V];
    for (int t = 0; t < T; t++)
      for (int o = 0; o < O; o++)
        for (int v = 0; v < V; v++) dot[t][o][v] = _mm512_set1_epi32(start[(t * groups + g) * O + o]);
    const uint8_t* x = a.codes + g * Group * kLanes;
    const int8_t* quads = codes + g * Group * O;
#pragma GCC unroll 8
    for (int s = 0; s < Group / 4; s++) {
      __m512i lanes[V];
      for (int v = 0; v < V; v++) lanes[v] = _mm512_loadu_si512(x + (s * kLanes + v * 16) * 4);
      for (int t = 0; t < T; t++)
        for (int o = 0; o < O; o++) {
          int32_t quad;
          memcpy(&quad, quads + t * O * w.k + (s * O + o) * 4, 4);
          const __m512i weight = _mm512_set1_epi32(quad);
          for (int v = 0; v < V; v++) dot[t][o][v] = _mm512_dpbusd_epi32(dot[t][o][v], lanes[v], weight);
        }
    }
    F d[V];
    for (int v = 0; v < V; v++) d[v] = load(a.d + (g * Group / 32) * kLanes + v * 16);
    for (int t = 0; t < T; t++)
      for (int o = 0; o < O; o++) {
        const F scale = splat(scales[(t * groups + g) * O + o]);
        for (int v = 0; v < V; v++) acc[t][o][v] = fma(_mm512_cvtepi32_ps(dot[t][o][v]), mul(d[v], scale), acc[t][o][v]);
      }
    if (Shifted) {
      const float* sums = (Group == 16 ? a.sums16 : a.sums32) + g * kLanes;
      for (int t = 0; t < T; t++)
        for (int o = 0; o < O; o++) {
          const F shift = splat(shifts[(t * groups + g) * O + o]);
          for (int v = 0; v < V; v++) acc[t][o][v] = fma(load(sums + v * 16), shift, acc[t][o][v]);
        }
    }
  }
  for (int t = 0; t < T; t++)
    for (int o = 0; o < O; o++)
      for (int v = 0; v < V; v++) store(c + ((tile + t) * O + o) * kLanes + v * 16, acc[t][o][v]);
}

template <int V, int T>
void tileInt8Wide(const PackedInt8& a, const PanelInt8& w, int outs, float* c) {
  for (int tile = 0; tile < outs / kInt8Outs; tile += T) {
    if (w.group == 32) {
      if (w.shifted) tileInt8Fixed<V, T, 32, true>(a, w, tile, c);
      else tileInt8Fixed<V, T, 32, false>(a, w, tile, c);
    } else {
      if (w.shifted) tileInt8Fixed<V, T, 16, true>(a, w, tile, c);
      else tileInt8Fixed<V, T, 16, false>(a, w, tile, c);
    }
  }
}

void tileInt8(const PackedInt8& a, const PanelInt8& w, int outs, int rows, float* c) {
  if (rows <= W) tileInt8Wide<1, 2>(a, w, outs, c);
  else tileInt8Wide<2, 1>(a, w, outs, c);
}

}  // namespace

extern const Isa kAvx512 = {
    "avx512vnni", kLanes, true, unpackAvx2,     dequantizeAvx2, gemvExact,         gemvFast,        quantizeRow,
    packF32,      tileF32Kernel, packInt8,       tileInt8,       groupSums,         nullptr,         nullptr,         nullptr,
    storeTile,    addKernel,     siluMulKernel,  geluKernel,     siluKernel,        rmsNormKernel,   layerNormKernel,
    normRopeKernel, softmaxTileKernel, scaleTileKernel, attendTokenKernel, toHalfKernel,
    snakeKernel,  addScaledKernel, nullptr, false, &kConvInt8, nullptr,
};

const Isa* isaAvx512() { return &kAvx512; }

}  // namespace voxquant
