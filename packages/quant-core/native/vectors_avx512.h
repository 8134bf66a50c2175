#pragma once
// The vector type of vector_kernels.h on AVX-512.
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "isa.h"

namespace voxquant {
namespace {

typedef __m512 F;
constexpr int W = 16;
constexpr int kVectors = 2;
constexpr int kTileOuts = 12;

inline __mmask16 first(int n) { return (__mmask16)((1u << n) - 1); }
inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, F v) { _mm512_storeu_ps(p, v); }
inline F loadPart(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline void storePart(float* p, F v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
inline F splat(float x) { return _mm512_set1_ps(x); }
inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F larger(F a, F b) { return _mm512_max_ps(a, b); }
inline F smaller(F a, F b) { return _mm512_min_ps(a, b); }
inline F magnitude(F a) { return _mm512_abs_ps(a); }
inline F roundEven(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline F scaleByPower2(F a, F n) { return _mm512_scalef_ps(a, n); }
inline F zeroBelow(F x, float limit, F value) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, splat(limit), _CMP_NLT_UQ), value);
}
inline float sumLanes(F a) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
// The sums of four vectors.
inline void sumLanes4(const F* a, float* sums) {
  const F low = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
  const F high = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
  const F quads = _mm512_add_ps(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee));
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}
inline float largestLane(F a) { return _mm512_reduce_max_ps(a); }
inline void largestLanes4(const F* a, float* largest) {
  const F low = larger(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
  const F high = larger(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
  const F quads = larger(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee));
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  _mm_storeu_ps(largest, _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
}
inline float halfScalar(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}
inline F loadHalf(const uint8_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
inline F loadBf16(const uint8_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}

// Of vector_int8_cache.h and vector_int8_attention.h.
typedef __m512i I;
typedef __m512i KeyCodes;
typedef __m512i ValuePairs;
constexpr int kCodeOffset = 128;
inline I splatInt(int32_t x) { return _mm512_set1_epi32(x); }
inline F toFloat(I a) { return _mm512_cvtepi32_ps(a); }
inline KeyCodes loadCodes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline ValuePairs loadPairs(const int8_t* p) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p)); }
// As instructions: GCC 12 copies the sums that it gives to intrinsics, and keeps few of them in registers.
inline I dotQuads(I sums, KeyCodes codes, int32_t quad) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(codes), "v"(splatInt(quad)));
  return sums;
}
inline I dotPairs(I sums, ValuePairs pairs, int32_t pair) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(pairs), "v"(splatInt(pair)));
  return sums;
}
inline void storeInt8(int8_t* p, F v) { _mm_storeu_si128((__m128i*)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v))); }
inline void storeInt16(int16_t* p, F v) { _mm256_storeu_si256((__m256i*)p, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v))); }
// The integer is the low bits of a sum with 1.5 * 2^23.
inline void storeWeights(int16_t* p, F a, F b) {
  _mm512_mask_cvtepi32_storeu_epi16(p, 0xffff, _mm512_castps_si512(fma(a, b, splat(12582912.0f))));
}

// Sixteen rows of sixteen floats to columns.
inline void transpose16(F* r) {
  F t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// The largest magnitude of some vectors.
inline float largestOf(const F* v, int vectors) {
  __m512i bits = _mm512_setzero_si512();  // the bits of a magnitude order as integers, and a NaN stays the largest
  for (int i = 0; i < vectors; i++) bits = _mm512_max_epi32(bits, _mm512_castps_si512(magnitude(v[i])));
  const int32_t top = _mm512_reduce_max_epi32(bits);
  float largest;
  memcpy(&largest, &top, 4);
  return largest;
}

// 32 activations to int8: returns d; codes in the two halves of *q.
inline float round32(F a, F b, __m128i* low, __m128i* high) {
  const F both[2] = {a, b};
  const float largest = largestOf(both, 2);
  const bool zeroBlock = largest <= 1e-30f;
  F inverse = splat(zeroBlock ? 0.0f : 127.0f / largest);
  *low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(mul(a, inverse)));
  *high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(mul(b, inverse)));
  return zeroBlock ? 0.0f : largest / 127.0f;
}

}  // namespace
}  // namespace voxquant
