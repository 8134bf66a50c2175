#pragma once
// Matrix x vectors on AVX2, 32 elements a step. The including file defines, in an anonymous namespace before this,
// __m256i dotBytes(__m256i u, __m256i s): per 32-bit lane the sum of four products of an unsigned byte (at most 128) with
// a signed one (never -128).
#include "codes_avx2.h"
#include "vector_kernels.h"

namespace voxquant {
namespace {

template <class Q>
inline F stepScale(const Header& h, int j) {
  if (Q::kFine) return _mm256_set_m128(_mm_set1_ps(h.scales[2 * j + 1]), _mm_set1_ps(h.scales[2 * j]));
  return splat(h.scales[j]);
}

template <class Q, int R>
inline void addShifts(const Header& h, const GemvInput& x, int64_t unit, int r0, F* acc) {
  for (int r = 0; r < R; r++) {
    const float* sums = Q::kFine ? x.sums16 + (r0 + r) * (x.padded / 16) + unit * 16
                                 : x.sums32 + (r0 + r) * (x.padded / 32) + unit * Q::kShifts;
    if (Q::kShifts == 1) {
      acc[r] = fma(_mm256_zextps128_ps256(_mm_set_ss(h.shifts[0])), _mm256_zextps128_ps256(_mm_load_ss(sums)), acc[r]);
    } else {
      for (int i = 0; i < Q::kShifts; i += 8) acc[r] = fma(load(h.shifts + i), load(sums + i), acc[r]);
    }
  }
}

template <class Q, int R>
inline void fastUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  Header h;
  Q::header(p, &h);
#pragma GCC unroll 8
  for (int j = 0; j < Q::kSteps; j++) {
    const __m256i codes = Q::codes(p, j);
    const __m256i size = Q::kSigned ? _mm256_abs_epi8(codes) : codes;
    const F scale = stepScale<Q>(h, j);
    const int64_t step = unit * Q::kSteps + j;
    for (int r = 0; r < R; r++) {
      __m256i q = load256((const uint8_t*)x.q + (r0 + r) * x.padded + step * 32);
      if (Q::kSigned) q = _mm256_sign_epi8(q, codes);
      const __m256i dot = dotBytes(size, q);
      const F d = splat(x.d[(r0 + r) * (x.padded / 32) + step]);
      acc[r] = fma(_mm256_cvtepi32_ps(dot), mul(scale, d), acc[r]);
    }
  }
  if (Q::kShifts > 0) addShifts<Q, R>(h, x, unit, r0, acc);
}

template <class Q, int R>
inline void exactUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  Header h;
  Q::header(p, &h);
#pragma GCC unroll 8
  for (int j = 0; j < Q::kSteps; j++) {
    const __m256i codes = Q::codes(p, j);
    const __m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
    const F first = splat(h.scales[Q::kFine ? 2 * j : j]), second = splat(h.scales[Q::kFine ? 2 * j + 1 : j]);
    F w[4];
    w[0] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), first);
    w[1] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(low, 8))), first);
    w[2] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)), second);
    w[3] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(high, 8))), second);
    for (int r = 0; r < R; r++) {
      const float* row = x.x + (r0 + r) * x.n + (unit * Q::kSteps + j) * 32;
      const F a = fma(w[0], load(row), mul(w[1], load(row + 8)));
      acc[r] = add(acc[r], add(a, fma(w[2], load(row + 16), mul(w[3], load(row + 24)))));
    }
  }
  if (Q::kShifts > 0) addShifts<Q, R>(h, x, unit, r0, acc);
}

constexpr int64_t kAhead = 8192;  // bytes that the prefetch into the second-level cache runs ahead

template <class Q, int R, bool Fast>
inline void dotRow(const uint8_t* p, const GemvInput& x, int r0, float* out, int64_t stride) {
  F acc[R];
  for (int r = 0; r < R; r++) acc[r] = zero();
  const int64_t units = x.n / (32 * Q::kSteps);
  for (int64_t u = 0; u < units; u++, p += Q::kBytes) {
    for (int line = 0; line < Q::kBytes; line += 64) _mm_prefetch((const char*)p + kAhead + line, _MM_HINT_T1);
    if (Fast) fastUnit<Q, R>(p, x, u, r0, acc);
    else exactUnit<Q, R>(p, x, u, r0, acc);
  }
  for (int r = 0; r < R; r++) out[r * stride] = sumLanes(acc[r]);
}

template <class Q, bool Fast>
void gemvRows(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  for (int64_t o = begin; o < end; o++) {
    const uint8_t* p = w.row(o);
    float* y = out + (o - begin);
    int r = 0;
    for (; r + 4 <= x.rows; r += 4) dotRow<Q, 4, Fast>(p, x, r, y + r * stride, stride);
    switch (x.rows - r) {
      case 1: dotRow<Q, 1, Fast>(p, x, r, y + r * stride, stride); break;
      case 2: dotRow<Q, 2, Fast>(p, x, r, y + r * stride, stride); break;
      case 3: dotRow<Q, 3, Fast>(p, x, r, y + r * stride, stride); break;
    }
  }
}

template <bool Fast>
bool gemvFused(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  switch (w.dtype) {
    case Q4_0: gemvRows<CodesQ4_0, Fast>(w, begin, end, x, out, stride); return true;
    case Q4_1: gemvRows<CodesQ4_1, Fast>(w, begin, end, x, out, stride); return true;
    case Q5_0: gemvRows<CodesQ5_0, Fast>(w, begin, end, x, out, stride); return true;
    case Q5_1: gemvRows<CodesQ5_1, Fast>(w, begin, end, x, out, stride); return true;
    case Q8_0: gemvRows<CodesQ8_0, Fast>(w, begin, end, x, out, stride); return true;
    case IQ4_NL: gemvRows<CodesIq4Nl, Fast>(w, begin, end, x, out, stride); return true;
    case Q2_K: gemvRows<CodesQ2_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q3_K: gemvRows<CodesQ3_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q4_K: gemvRows<CodesQ4_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q5_K: gemvRows<CodesQ5_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q6_K: gemvRows<CodesQ6_K, Fast>(w, begin, end, x, out, stride); return true;
    case IQ4_XS: gemvRows<CodesIq4Xs, Fast>(w, begin, end, x, out, stride); return true;
    default: return false;
  }
}

void gemvExact(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  if (!gemvFused<false>(w, begin, end, x, out, stride))
    gemvExactGeneric(w, begin, end, x, out, stride, scratch, dequantizeAvx2);
}

// The other types: a row unpacked first.
void gemvFast(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  if (gemvFused<true>(w, begin, end, x, out, stride)) return;
  int8_t* codes = (int8_t*)scratch;
  float* scales = (float*)(codes + x.padded);
  float* shifts = scales + x.padded / 16;
  for (int64_t o = begin; o < end; o++) {
    unpackAvx2(w.dtype, w.row(o), x.n, codes, scales, shifts);
    for (int r = 0; r < x.rows; r++) {
      F acc = zero();
      for (int64_t b = 0; b < x.n / 32; b++) {
        const __m256i c = load256((const uint8_t*)codes + 32 * b);
        const __m256i q = _mm256_sign_epi8(load256((const uint8_t*)x.q + r * x.padded + 32 * b), c);
        const __m256i dot = dotBytes(_mm256_abs_epi8(c), q);
        acc = fma(_mm256_cvtepi32_ps(dot), splat(scales[b] * x.d[r * (x.padded / 32) + b]), acc);
      }
      out[r * stride + o - begin] = sumLanes(acc);
    }
  }
}

}  // namespace
}  // namespace voxquant
