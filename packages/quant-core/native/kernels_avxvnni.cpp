// AVX2 with the 256-bit dot products of AVX-VNNI (processors without AVX-512).
//
// Int8 products of many rows: weights in lanes as unsigned bytes code + 128, activations broadcast as signed bytes; the
// accumulator starts at -128 * (sum of the group's activations).
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
const Isa* isaAvxVnni() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_avx2.h"

namespace voxquant {
namespace {

inline __m256i dotOnto(__m256i sums, __m256i u, __m256i s) {
#if defined(VOXQUANT_AVXVNNI_OF_AVX512)
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

// ---- int8 products of many rows ----

typedef __m256i I;
typedef __m256i Quads;
constexpr int kTileVectors = 3;
inline I startOf(int32_t value) { return _mm256_set1_epi32(value); }
inline Quads panelCodes(const uint8_t* codes) { return load256(codes); }
inline Quads quadOf(const int8_t* codes) {
  int32_t quad;
  memcpy(&quad, codes, 4);
  return _mm256_set1_epi32(quad);
}
inline I dotOf(I sums, Quads weights, Quads quad) { return dotOnto(sums, weights, quad); }
inline F floatsOf(I sums) { return _mm256_cvtepi32_ps(sums); }
inline F codeFloats(const int8_t* codes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)codes))); }
inline void codes32(const F* v, F inverse, int8_t* codes) { _mm256_storeu_si256((__m256i*)codes, codesOf(v, inverse)); }

inline int32_t startFor(const int8_t* codes, int count) {
  __m256i sums = _mm256_setzero_si256();
  for (int i = 0; i < count; i += 32) sums = dotOnto(sums, _mm256_set1_epi8(1), load256((const uint8_t*)codes + i));
  int32_t lanes[8], sum = 0;
  _mm256_storeu_si256((__m256i*)lanes, sums);
  for (int i = 0; i < 8; i++) sum += lanes[i];
  return -128 * sum;
}

}  // namespace
}  // namespace voxquant

#include "int8_panel.h"

namespace voxquant {
namespace {

void packInt8(const int8_t* codes, const float* scales, const Int8Panel& panel) {
  packPanel(scales, panel, [&](int first, int outs, uint8_t* tile, int vectors, int v) {
    uint8_t* const to = tile + v * W * 4;
    for (int64_t i = 0; i < panel.k; i += 32) {
      F quads[8];
      for (int o = 0; o < 8; o++) {
        const __m256i row = o < outs ? load256((const uint8_t*)codes + (first + o) * panel.k + i) : _mm256_setzero_si256();
        quads[o] = _mm256_castsi256_ps(_mm256_xor_si256(row, _mm256_set1_epi8((char)0x80)));
      }
      transpose8(quads);
      for (int j = 0; j < 8; j++) _mm256_storeu_si256((__m256i*)(to + (i / 4 + j) * vectors * 32), _mm256_castps_si256(quads[j]));
    }
  });
}

void coarsenRow(const WeightMatrix& w, int64_t row, int8_t* codes, float* coarse, void* space) {
  float* scales = (float*)space;
  float* shifts = scales + w.in / w.traits->group;
  unpackAvx2(w.dtype, w.row(row), w.in, codes, scales, shifts);
  coarsenScaled<127>(codes, scales, w.traits->shifted ? shifts : nullptr, w.traits->group, w.in, coarse);
}

const Int8Kernels kInt8 = {127, roundRow<QuadSums>, coarsenRow, coarsenFloats<127>, packInt8, multiplyPanel<QuadSums>, multiplyGathered<QuadSums>};

}  // namespace

#if defined(VOXQUANT_AVXVNNI_OF_AVX512)
const Isa* isaAvxVnniOfAvx512() {
#else
const Isa* isaAvxVnni() {
#endif
  static const Isa table = {
      "avxvnni",    kLanes, false, unpackAvx2,     dequantizeAvx2, gemvExact,         gemvFast,        quantizeRow,
      packF32,      tileF32Kernel, nullptr,        nullptr,         nullptr,
      storeTile,    addKernel,     siluMulKernel,  geluKernel,     siluKernel,        rmsNormKernel,   layerNormKernel,
      normRopeKernel, softmaxTileKernel, scaleTileKernel, attendTokenKernel, storeKeysKernel, storeValuesKernel, attendInt8Kernel,
      snakeKernel,  addScaledKernel, coarseGeluKernel, fewInputsKernel, nullptr, false, &kInt8,
  };
  return &table;
}

}  // namespace voxquant

#endif
