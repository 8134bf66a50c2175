// AVX-512 with BF16: the table of AVX-512 VNNI with bfloat16 GEMM tiles for dense weights.
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
const Isa* isaAvx512Bf16() { return nullptr; }
const Isa* isaAvx512Pairs() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_avx512.h"
#include "conv_bf16.h"

namespace voxquant {

extern const Isa kAvx512;
extern const Int8Kernels kInt8Pairs;

namespace {

constexpr int kLanes = W * kVectors;

// Pairs of inputs, row lanes: [k / 2, lanes, 2]; an odd k gets a zero. A pair moves as one float does in a transposition.
void packBf16(const float* x, int64_t stride, int rows, int64_t k, uint16_t* a) {
  const int64_t pairs = (k + 1) / 2;
  for (int v = 0; v < kVectors; v++) {
    for (int64_t i = 0; i < pairs; i += 16) {
      const int64_t rest = k - 2 * i;
      F t[16];
      for (int j = 0; j < 16; j++) {
        t[j] = splat(0.0f);
        if (v * 16 + j >= rows) continue;
        const float* row = x + (v * 16 + j) * stride + 2 * i;
        const F low = rest >= 16 ? load(row) : loadPart(row, (int)rest);
        const F high = rest >= 32 ? load(row + 16) : rest > 16 ? loadPart(row + 16, (int)rest - 16) : splat(0.0f);
        t[j] = (F)_mm512_cvtne2ps_pbh(high, low);
      }
      transpose16(t);
      const int count = pairs - i < 16 ? (int)(pairs - i) : 16;
      for (int j = 0; j < count; j++) store((float*)(a + ((i + j) * kLanes + v * 16) * 2), t[j]);
    }
  }
}

void toBf16(const float* x, int64_t n, uint16_t* out) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256bh rounded = _mm512_cvtneps_pbh(load(x + i));
    memcpy(out + i, &rounded, 32);
  }
  if (i < n) {
    const __m256bh rounded = _mm512_cvtneps_pbh(loadPart(x + i, (int)(n - i)));
    memcpy(out + i, &rounded, 2 * (size_t)(n - i));
  }
}

// Sixteen pairs of twelve rows at a time. A stored vector ends in four lanes of nothing, which the next one overwrites.
void packTileBf16(const float* w, int64_t stride, int outs, int64_t k, uint16_t* tile) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t i = 0; i < pairs; i += 16) {
    const int64_t rest = k - 2 * i;
    F t[16];
    for (int o = 0; o < 16; o++) {
      t[o] = splat(0.0f);
      if (o >= outs) continue;
      const float* row = w + o * stride + 2 * i;
      const F low = rest >= 16 ? load(row) : loadPart(row, (int)rest);
      const F high = rest >= 32 ? load(row + 16) : rest > 16 ? loadPart(row + 16, (int)rest - 16) : splat(0.0f);
      t[o] = (F)_mm512_cvtne2ps_pbh(high, low);
    }
    transpose16(t);
    float* to = (float*)tile + i * kBf16Outs;
    const int count = pairs - i < 16 ? (int)(pairs - i) : 16;
    for (int j = 0; j < count - 1; j++) store(to + j * kBf16Outs, t[j]);
    storePart(to + (count - 1) * kBf16Outs, t[count - 1], kBf16Outs);
  }
}

// Whole tiles only: the driver pads the panel. k counts inputs, rounded up to pairs.
template <int V>
inline void tileFixed(const uint16_t* a, int64_t k, const uint16_t* w, float* c, bool accumulate) {
  constexpr int O = kBf16Outs;
  F acc[O][V];
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) acc[o][v] = accumulate ? load(c + o * kLanes + v * W) : splat(0.0f);
  for (int64_t i = 0; i < (k + 1) / 2; i++) {
    __m512bh x[V];
    for (int v = 0; v < V; v++) x[v] = (__m512bh)_mm512_loadu_si512(a + (i * kLanes + v * W) * 2);
    for (int o = 0; o < O; o++) {
      int32_t pair;
      memcpy(&pair, w + (i * O + o) * 2, 4);
      const __m512bh weight = (__m512bh)_mm512_set1_epi32(pair);
      for (int v = 0; v < V; v++) acc[o][v] = _mm512_dpbf16_ps(acc[o][v], x[v], weight);
    }
  }
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) store(c + o * kLanes + v * W, acc[o][v]);
}

void tileBf16(const uint16_t* a, int64_t k, const uint16_t* w, int64_t tileStride, int outs, int rows, float* c, bool accumulate) {
  for (int o = 0; o < outs; o += kBf16Outs) {
    if (rows <= W) tileFixed<1>(a, k, w + o / kBf16Outs * tileStride, c + o * kLanes, accumulate);
    else tileFixed<2>(a, k, w + o / kBf16Outs * tileStride, c + o * kLanes, accumulate);
  }
}

}  // namespace

const Isa* isaAvx512Bf16() {
  static const Isa table = [] {
    Isa t = kAvx512;
    t.name = "avx512bf16";
    t.packBf16 = packBf16;
    t.toBf16 = toBf16;
    t.tileBf16 = tileBf16;
    t.packTileBf16 = packTileBf16;
    t.convBf16 = &kConvBf16;
    return t;
  }();
  return &table;
}

const Isa* isaAvx512Pairs() {
  static const Isa table = [] {
    Isa t = *isaAvx512Bf16();
    t.name = "avx512pairs";
    t.int8 = &kInt8Pairs;
    return t;
  }();
  return &table;
}

}  // namespace voxquant

#endif
