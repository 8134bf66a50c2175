#pragma once
// Kernels of the 256-bit levels. Includes gemv_avx2.h, whose dotBytes the including file has defined.
#include "vector_attention.h"
#include "vector_conv2d.h"
#include "gemv_avx2.h"

namespace voxquant {
namespace {

// Of vector_int8_cache.h and vector_int8_attention.h.
typedef __m256i I;
typedef __m256i KeyCodes;
typedef __m256i ValuePairs;
constexpr int kCodeOffset = 0;
inline I splatInt(int32_t x) { return _mm256_set1_epi32(x); }
inline F toFloat(I a) { return _mm256_cvtepi32_ps(a); }
inline KeyCodes loadCodes(const uint8_t* p) { return _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)p), _mm256_set1_epi8((char)0x80)); }
inline ValuePairs loadPairs(const int8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p)); }
inline I dotQuads(I sums, KeyCodes codes, int32_t quad) {
  return _mm256_add_epi32(sums, dotBytes(_mm256_abs_epi8(codes), _mm256_sign_epi8(splatInt(quad), codes)));
}
inline I dotPairs(I sums, ValuePairs pairs, int32_t pair) { return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, splatInt(pair))); }
inline void storeInt8(int8_t* p, F v) {
  const __m256i i = _mm256_cvtps_epi32(v);
  const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storel_epi64((__m128i*)p, _mm_packs_epi16(narrow, narrow));
}
inline void storeInt16(int16_t* p, F v) {
  const __m256i i = _mm256_cvtps_epi32(v);
  _mm_storeu_si128((__m128i*)p, _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
}
inline void storeWeights(int16_t* p, F a, F b) { storeInt16(p, mul(a, b)); }

}  // namespace
}  // namespace voxquant

#include "vector_int8_attention.h"

namespace voxquant {
namespace {

void transpose8(F* r) {
  F t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

void packF32(const float* x, int64_t stride, int rows, int64_t k, float* a) {
  for (int v = 0; v < kVectors; v++) {
    for (int64_t i = 0; i < k; i += W) {
      const int count = k - i < W ? (int)(k - i) : W;
      F r[W];
      for (int j = 0; j < W; j++) r[j] = v * W + j < rows ? loadPart(x + (v * W + j) * stride + i, count) : zero();
      transpose8(r);
      for (int j = 0; j < count; j++) store(a + (i + j) * kLanes + v * W, r[j]);
    }
  }
}

void storeTile(const float* c, int outs, int rows, const float* bias, int32_t act, float* out, int64_t stride) {
  for (int o = 0; o < outs; o += W) {
    const int count = outs - o < W ? outs - o : W;
    F b = bias ? loadPart(bias + o, count) : zero();
    for (int v = 0; v * W < rows; v++) {
      F r[W];
      for (int j = 0; j < W; j++) r[j] = j < count ? load(c + (o + j) * kLanes + v * W) : zero();
      transpose8(r);
      const int lanes = rows - v * W < W ? rows - v * W : W;
      for (int j = 0; j < lanes; j++) {
        F y = add(r[j], b);
        if (act == kActGelu) y = geluOf(y);
        else if (act == kActSilu) y = siluOf(y);
        storePart(out + (v * W + j) * stride + o, y, count);
      }
    }
  }
}

// The largest magnitude of some vectors.
inline float largestOf(const F* v, int vectors) {
  __m256i bits = _mm256_setzero_si256();  // the bits of a magnitude order as integers, and a NaN stays the largest
  for (int i = 0; i < vectors; i++) bits = _mm256_max_epi32(bits, _mm256_castps_si256(magnitude(v[i])));
  int32_t lanes[8], top = 0;
  _mm256_storeu_si256((__m256i*)lanes, bits);
  for (int i = 0; i < 8; i++) top = lanes[i] > top ? lanes[i] : top;
  float largest;
  memcpy(&largest, &top, 4);
  return largest;
}

// 32 values as four vectors, times `inverse`, to int8.
inline __m256i codesOf(const F* v, F inverse) {
  const __m256i i0 = _mm256_cvtps_epi32(mul(v[0], inverse)), i1 = _mm256_cvtps_epi32(mul(v[1], inverse));
  const __m256i i2 = _mm256_cvtps_epi32(mul(v[2], inverse)), i3 = _mm256_cvtps_epi32(mul(v[3], inverse));
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(i0, i1), _mm256_packs_epi32(i2, i3));
  return _mm256_max_epi8(_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)), _mm256_set1_epi8(-127));
}

// 32 values as four vectors, rounded to int8: returns d.
inline float round32(const F* v, __m256i* codes) {
  const float largest = largestOf(v, 4);
  *codes = _mm256_setzero_si256();
  if (largest <= 1e-30f) return 0.0f;
  *codes = codesOf(v, splat(127.0f / largest));
  return largest / 127.0f;
}

void quantizeRow(const float* x, int64_t n, int64_t padded, int8_t* q, float* d, int32_t* quads, float* sums16, float* sums32) {
  const __m256i ones8 = _mm256_set1_epi8(1), ones16 = _mm256_set1_epi16(1);
  for (int64_t b = 0; b < padded / 32; b++) {
    __m256i codes = _mm256_setzero_si256();
    d[b] = 0.0f;
    if (b * 32 < n) {
      F v[4];
      for (int i = 0; i < 4; i++) v[i] = load(x + 32 * b + 8 * i);
      d[b] = round32(v, &codes);
    }
    _mm256_storeu_si256((__m256i*)(q + 32 * b), codes);
    const __m256i sums = _mm256_madd_epi16(_mm256_maddubs_epi16(ones8, codes), ones16);
    _mm256_storeu_si256((__m256i*)(quads + 8 * b), sums);
    const int32_t* total = quads + 8 * b;
    const int32_t low = total[0] + total[1] + total[2] + total[3], high = total[4] + total[5] + total[6] + total[7];
    sums16[2 * b] = d[b] * (float)low;
    sums16[2 * b + 1] = d[b] * (float)high;
    sums32[b] = d[b] * (float)(low + high);
  }
}

}  // namespace
}  // namespace voxquant
