// AVX2 with the 256-bit dot products of AVX-VNNI (processors without AVX-512).
//
// GEMM: 16 activation rows in lanes as unsigned bytes q + 128, weights broadcast as signed bytes; the accumulator starts
// at -128 * (sum of the group's weight codes).
#include "vectors_avx2.h"

namespace voxquant {
namespace {

inline __m256i dotOnto(__m256i sums, __m256i u, __m256i s) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)  // the test program, on machines that have these instead
  return _mm256_dpbusd_epi32(sums, u, s);
#else
  return _mm256_dpbusd_avx_epi32(sums, u, s);
#endif
}

inline __m256i dotBytes(__m256i u, __m256i s) { return dotOnto(_mm256_setzero_si256(), u, s); }

}  // namespace
}  // namespace voxquant

#include "kernels_avx2.h"

namespace voxquant {
namespace {

void packInt8(const float* x, int64_t stride, int rows, int64_t k, const PackedInt8& a) {
  const __m256i ones = _mm256_set1_epi8(1), flip = _mm256_set1_epi8((char)0x80);
  for (int lane = 0; lane < kLanes; lane++) {
    for (int64_t b = 0; b < k / 32; b++) {
      __m256i codes = _mm256_setzero_si256();
      float d = 0.0f;
      if (lane < rows) {
        F v[4];
        for (int i = 0; i < 4; i++) v[i] = load(x + lane * stride + 32 * b + 8 * i);
        d = round32(v, &codes);
      }
      int32_t quads[8], sums[8];
      _mm256_storeu_si256((__m256i*)quads, _mm256_xor_si256(codes, flip));
      _mm256_storeu_si256((__m256i*)sums, dotBytes(ones, codes));
      for (int q = 0; q < 8; q++) memcpy(a.codes + ((8 * b + q) * kLanes + lane) * 4, &quads[q], 4);
      const int32_t low = sums[0] + sums[1] + sums[2] + sums[3], high = sums[4] + sums[5] + sums[6] + sums[7];
      a.d[b * kLanes + lane] = d;
      a.sums16[2 * b * kLanes + lane] = d * (float)low;
      a.sums16[(2 * b + 1) * kLanes + lane] = d * (float)high;
      a.sums32[b * kLanes + lane] = d * (float)(low + high);
    }
  }
}

void groupSums(const int8_t* codes, int64_t n, int group, int32_t* sums) {
  for (int64_t i = 0; i < n; i += group) {
    int32_t sum = 0;
    for (int j = 0; j < group; j++) sum += codes[i + j];
    *sums++ = -128 * sum;
  }
}

template <int V, int Group, bool Shifted>
inline void tileInt8Fixed(const PackedInt8& a, const PanelInt8& w, int64_t tile, float* c) {
  constexpr int O = kInt8Outs;
  const int64_t groups = w.k / Group;
  const int8_t* codes = w.codes + tile * O * w.k;
  const float *scales = w.scales + tile * O * groups, *shifts = w.shifts + tile * O * groups;
  const int32_t* start = w.sums + tile * O * groups;
  float* out = c + tile * O * kLanes;
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) store(out + o * kLanes + v * W, zero());
  for (int64_t g = 0; g < groups; g++) {
    __m256i dot[O][V];
    for (int o = 0; o < O; o++)
      for (int v = 0; v < V; v++) dot[o][v] = _mm256_set1_epi32(start[g * O + o]);
    const uint8_t* x = a.codes + g * Group * kLanes;
    const int8_t* quads = codes + g * Group * O;
#pragma GCC unroll 8
    for (int s = 0; s < Group / 4; s++) {
      __m256i lanes[V];
      for (int v = 0; v < V; v++) lanes[v] = load256(x + (s * kLanes + v * W) * 4);
      for (int o = 0; o < O; o++) {
        int32_t quad;
        memcpy(&quad, quads + (s * O + o) * 4, 4);
        const __m256i weight = _mm256_set1_epi32(quad);
        for (int v = 0; v < V; v++) dot[o][v] = dotOnto(dot[o][v], lanes[v], weight);
      }
    }
    const float* sums = (Group == 16 ? a.sums16 : a.sums32) + g * kLanes;
    for (int v = 0; v < V; v++) {
      const F d = load(a.d + (g * Group / 32) * kLanes + v * W), sum = load(sums + v * W);
      for (int o = 0; o < O; o++) {
        float* at = out + o * kLanes + v * W;
        F acc = fma(_mm256_cvtepi32_ps(dot[o][v]), mul(d, splat(scales[g * O + o])), load(at));
        if (Shifted) acc = fma(sum, splat(shifts[g * O + o]), acc);
        store(at, acc);
      }
    }
  }
}

template <int V>
void tileInt8Wide(const PackedInt8& a, const PanelInt8& w, int outs, float* c) {
  for (int tile = 0; tile < outs / kInt8Outs; tile++) {
    if (w.group == 32) {
      if (w.shifted) tileInt8Fixed<V, 32, true>(a, w, tile, c);
      else tileInt8Fixed<V, 32, false>(a, w, tile, c);
    } else {
      if (w.shifted) tileInt8Fixed<V, 16, true>(a, w, tile, c);
      else tileInt8Fixed<V, 16, false>(a, w, tile, c);
    }
  }
}

void tileInt8(const PackedInt8& a, const PanelInt8& w, int outs, int rows, float* c) {
  if (rows <= W) tileInt8Wide<1>(a, w, outs, c);
  else tileInt8Wide<kVectors>(a, w, outs, c);
}

}  // namespace

const Isa* isaAvxVnni() {
  static const Isa table = {
      "avxvnni",    kLanes, false, unpackAvx2,     dequantizeAvx2, gemvExact,         gemvFast,        quantizeRow,
      packF32,      tileF32Kernel, packInt8,       tileInt8,       groupSums,         nullptr,         nullptr,         nullptr,
      storeTile,    addKernel,     siluMulKernel,  geluKernel,     siluKernel,        rmsNormKernel,   layerNormKernel,
      normRopeKernel, softmaxTileKernel, scaleTileKernel, attendTokenKernel, toHalfKernel,
      snakeKernel,  addScaledKernel, nullptr, false,
  };
  return &table;
}

}  // namespace voxquant
