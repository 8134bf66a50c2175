#pragma once
// Matrix x vectors on AVX-512 with VNNI. A "step" is 64 elements; a unit is 256: eight blocks of 32 elements or one of
// 256. A unit's scales are decoded together and multiplied by the activations' scales at once.

namespace voxquant {
namespace {

inline __m128i load128(const uint8_t* p) { return _mm_loadu_si128((const __m128i*)p); }
inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }

inline uint32_t load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

inline short load16(const uint8_t* p) {
  short v;
  memcpy(&v, p, 2);
  return v;
}

// Eight half floats Stride bytes apart, picked from two registers if they lie in 128 bytes; else collected by the integer
// units, which have nothing else to do here.
template <int Stride>
inline F eightHalves(const uint8_t* p) {
  __m128i halves;
  if (Stride % 2 == 0 && 7 * Stride + 2 <= 128) {
    constexpr int s = Stride / 2;
    const __m512i words = _mm512_castsi128_si512(_mm_setr_epi16(0, s, 2 * s, 3 * s, 4 * s, 5 * s, 6 * s, 7 * s));
    halves = _mm512_castsi512_si128(_mm512_permutex2var_epi16(_mm512_loadu_si512(p), words, _mm512_loadu_si512(p + 64)));
  } else {
    uint64_t low = 0, high = 0;
    for (int i = 0; i < 4; i++) {
      low |= (uint64_t)(uint16_t)load16(p + i * Stride) << 16 * i;
      high |= (uint64_t)(uint16_t)load16(p + (4 + i) * Stride) << 16 * i;
    }
    halves = _mm_set_epi64x((int64_t)high, (int64_t)low);
  }
  return _mm512_zextps256_ps512(_mm256_cvtph_ps(halves));
}

// Four 16-byte lanes: low and high nibbles of a, low and high nibbles of b: natural order of two blocks.
inline __m512i nibbles64(const uint8_t* a, const uint8_t* b) {
  __m512i v = _mm512_broadcast_i32x4(load128(a));
  v = _mm512_mask_broadcast_i32x4(v, 0xff00, load128(b));
  v = _mm512_srlv_epi64(v, _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0));
  return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

inline __m512i withHighBits(__m512i codes, const uint8_t* a, const uint8_t* b) {
  const __mmask64 high = (uint64_t)load32(b) << 32 | load32(a);
  return _mm512_mask_add_epi8(codes, high, codes, _mm512_set1_epi8(16));
}

inline __m512i tableIq4() {
  return _mm512_broadcast_i32x4(
      _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166, (char)181, (char)197,
                    (char)217, (char)241));  // values + 128
}

// Of a unit's scales those of step j in the lanes of its sums: groups of 32 two times eight lanes …
inline F spread2(F scales, int j) {
  return _mm512_permutexvar_ps(
      _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), _mm512_set1_epi32(2 * j)), scales);
}

// … groups of 16 four times four lanes.
inline F spread4(F scales, int j) {
  return _mm512_permutexvar_ps(
      _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), _mm512_set1_epi32(4 * j)), scales);
}

struct Header {
  F scales;  // 8 or, in groups of 16, 16
  F shifts;
};

// offset: log2 of what unsigned codes have too much, -1 for none; shifts: per unit 0, 8 (groups of 32) or 16.
template <int Bytes, int Offset, int Shifts>
struct Blocks32 {
  static constexpr int kBlock = 32, kBlockBytes = Bytes, kBytes = 8 * Bytes, kOffset = Offset, kShifts = Shifts;
  static constexpr bool kFine = false;
  static Header header(const uint8_t* p) {
    return {eightHalves<Bytes>(p), Shifts ? eightHalves<Bytes>(p + 2) : zero()};
  }
  // Blocks 2j and 2j + 1, from byte `at` of a block on.
  static const uint8_t* first(const uint8_t* p, int j, int at) { return p + 2 * j * Bytes + at; }
  static const uint8_t* second(const uint8_t* p, int j, int at) { return p + (2 * j + 1) * Bytes + at; }
};
template <int Bytes, int Offset, int Shifts, bool Fine>
struct Block256 {
  static constexpr int kBlock = 256, kBlockBytes = Bytes, kBytes = Bytes, kOffset = Offset, kShifts = Shifts;
  static constexpr bool kFine = Fine;  // groups of 16
};

struct CodesQ4_0 : Blocks32<18, 3, 0> {
  static __m512i codes(const uint8_t* p, int j) { return nibbles64(first(p, j, 2), second(p, j, 2)); }
};
struct CodesQ4_1 : Blocks32<20, -1, 8> {
  static __m512i codes(const uint8_t* p, int j) { return nibbles64(first(p, j, 4), second(p, j, 4)); }
};
struct CodesQ5_0 : Blocks32<22, 4, 0> {
  static __m512i codes(const uint8_t* p, int j) {
    return withHighBits(nibbles64(first(p, j, 6), second(p, j, 6)), first(p, j, 2), second(p, j, 2));
  }
};
struct CodesQ5_1 : Blocks32<24, -1, 8> {
  static __m512i codes(const uint8_t* p, int j) {
    return withHighBits(nibbles64(first(p, j, 8), second(p, j, 8)), first(p, j, 4), second(p, j, 4));
  }
};
struct CodesQ8_0 : Blocks32<34, 7, 0> {
  static __m512i codes(const uint8_t* p, int j) {
    __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(load256(first(p, j, 2))), load256(second(p, j, 2)), 1);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
  }
};
struct CodesIq4Nl : Blocks32<18, 7, 0> {
  static __m512i codes(const uint8_t* p, int j) {
    return _mm512_shuffle_epi8(tableIq4(), nibbles64(first(p, j, 2), second(p, j, 2)));
  }
};

// The 6-bit scales and mins of Q4_K and Q5_K as bytes: scales in the low half, mins in the high half.
inline __m128i scaleMins(const uint8_t* p) {
  const uint32_t a = load32(p), b = load32(p + 4), c = load32(p + 8);
  return _mm_setr_epi32((int)(a & 0x3f3f3f3f), (int)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)), (int)(b & 0x3f3f3f3f),
                        (int)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)));
}

struct CodesQ4_K : Block256<144, -1, 8, false> {
  static Header header(const uint8_t* p) {
    const F both = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(scaleMins(p + 4)));
    const F d = splat(halfScalar(p)), dmin = splat(-halfScalar(p + 2));
    return {mul(both, d), mul(_mm512_shuffle_f32x4(both, both, 0x0e), dmin)};
  }
  static __m512i codes(const uint8_t* p, int j) {
    __m512i v = _mm512_broadcast_i64x4(load256(p + 16 + 32 * j));
    v = _mm512_srlv_epi64(v, _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0));
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
  }
};
struct CodesQ5_K : Block256<176, -1, 8, false> {
  static Header header(const uint8_t* p) { return CodesQ4_K::header(p); }
  static __m512i codes(const uint8_t* p, int j) {
    __m512i v = CodesQ4_K::codes(p + 32, j);
    const __m512i high = _mm512_broadcast_i64x4(load256(p + 16));
    const __m512i bits = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * j)), _mm256_set1_epi8((char)(2 << 2 * j)), 1);
    return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(high, bits), v, _mm512_set1_epi8(16));
  }
};
struct CodesQ6_K : Block256<210, 5, 0, true> {
  static Header header(const uint8_t* p) {
    return {mul(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(p + 192))), splat(halfScalar(p + 208))), zero()};
  }
  static __m512i codes(const uint8_t* p, int j) {
    __m512i low = _mm512_loadu_si512(p + 64 * (j >> 1));
    if (j & 1) low = _mm512_srli_epi16(low, 4);
    low = _mm512_and_si512(low, _mm512_set1_epi8(15));
    __m512i high = _mm512_broadcast_i64x4(load256(p + 128 + 32 * (j >> 1)));
    high = _mm512_srlv_epi64(high, j & 1 ? _mm512_set_epi64(6, 6, 6, 6, 4, 4, 4, 4) : _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0));
    high = _mm512_slli_epi16(_mm512_and_si512(high, _mm512_set1_epi8(3)), 4);
    return _mm512_or_si512(low, high);
  }
};

// Two bits of 32 bytes, elements 64 j … of a 256-element block (Q2_K, Q3_K).
inline __m512i pairsOfBits(const uint8_t* qs, int j) {
  __m512i v = _mm512_broadcast_i64x4(load256(qs + 32 * (j >> 1)));
  v = _mm512_srlv_epi64(v, j & 1 ? _mm512_set_epi64(6, 6, 6, 6, 4, 4, 4, 4) : _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0));
  return _mm512_and_si512(v, _mm512_set1_epi8(3));
}

struct CodesQ2_K : Block256<84, -1, 16, true> {
  static Header header(const uint8_t* p) {
    const __m512i both = _mm512_cvtepu8_epi32(load128(p));
    const F scales = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15)));
    const F mins = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4));
    return {mul(scales, splat(halfScalar(p + 80))), mul(mins, splat(-halfScalar(p + 82)))};
  }
  static __m512i codes(const uint8_t* p, int j) { return pairsOfBits(p + 16, j); }
};
struct CodesQ3_K : Block256<110, 2, 0, true> {
  static Header header(const uint8_t* p) {
    const uint32_t a = load32(p + 96), b = load32(p + 100), c = load32(p + 104);
    const __m128i scales = _mm_setr_epi32((int)((a & 0x0f0f0f0f) | (c << 4 & 0x30303030)), (int)((b & 0x0f0f0f0f) | (c << 2 & 0x30303030)),
                                          (int)((a >> 4 & 0x0f0f0f0f) | (c & 0x30303030)), (int)((b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030)));
    const __m512i centred = _mm512_sub_epi32(_mm512_cvtepu8_epi32(scales), _mm512_set1_epi32(32));
    return {mul(_mm512_cvtepi32_ps(centred), splat(halfScalar(p + 108))), zero()};
  }
  static __m512i codes(const uint8_t* p, int j) {
    const __m512i v = pairsOfBits(p + 32, j);
    const __m512i high = _mm512_broadcast_i64x4(load256(p));
    const __m512i bits = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * j)), _mm256_set1_epi8((char)(2 << 2 * j)), 1);
    return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(high, bits), v, _mm512_set1_epi8(4));
  }
};
struct CodesIq4Xs : Block256<136, 7, 0, false> {
  static Header header(const uint8_t* p) {
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28), pairs = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i low = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)load32(p + 4)), shifts), _mm256_set1_epi32(15));
    const __m256i high = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((uint16_t)load16(p + 2)), pairs), _mm256_set1_epi32(3));
    const __m256i scales = _mm256_sub_epi32(_mm256_or_si256(low, _mm256_slli_epi32(high, 4)), _mm256_set1_epi32(32));
    return {_mm512_zextps256_ps512(_mm256_mul_ps(_mm256_cvtepi32_ps(scales), _mm256_set1_ps(halfScalar(p)))), zero()};
  }
  static __m512i codes(const uint8_t* p, int j) {
    return _mm512_shuffle_epi8(tableIq4(), nibbles64(p + 8 + 32 * j, p + 24 + 32 * j));
  }
};

template <class Q>
inline F stepScale(F scales, int j) {
  return Q::kFine ? spread4(scales, j) : spread2(scales, j);
}

template <class Q, int R>
inline void addShifts(const Header& h, const GemvInput& x, int64_t unit, int r0, F* acc) {
  if (Q::kShifts == 0) return;
  for (int r = 0; r < R; r++) {
    const F sums = Q::kFine ? load(x.sums16 + (r0 + r) * (x.padded / 16) + unit * 16)
                            : _mm512_zextps256_ps512(_mm256_loadu_ps(x.sums32 + (r0 + r) * (x.padded / 32) + unit * 8));
    acc[r] = fma(h.shifts, sums, acc[r]);
  }
}

// Sums of the groups of a unit, each exact and in the lane of its number: dots[j] has four products in every lane.
template <bool Fine>
inline __m512i groupTotals(const __m512i* dots) {
  const __m512i low = _mm512_add_epi32(_mm512_unpacklo_epi32(dots[0], dots[1]), _mm512_unpackhi_epi32(dots[0], dots[1]));
  const __m512i high = _mm512_add_epi32(_mm512_unpacklo_epi32(dots[2], dots[3]), _mm512_unpackhi_epi32(dots[2], dots[3]));
  // 128-bit part i: sums of part i of all four
  const __m512i quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
  if (Fine) return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), quarters);
  const __m512i halves = _mm512_add_epi32(quarters, _mm512_shuffle_i32x4(quarters, quarters, 0xb1));
  return _mm512_maskz_permutexvar_epi32(0xff, _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 0, 0, 0, 0, 0, 0, 0), halves);
}

// acc: a lane per group of the unit.
template <class Q, int R>
inline void fastUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  const Header h = Q::header(p);
  __m512i codes[4];
  for (int j = 0; j < 4; j++) codes[j] = Q::codes(p, j);
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
    __m512i dots[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const int64_t at = (r0 + r) * x.padded + unit * 256 + j * 64;
      dots[j] = Q::kOffset < 0 ? _mm512_setzero_si512() : _mm512_loadu_si512(x.offsets[Q::kOffset < 0 ? 0 : Q::kOffset] + at / 4);
      dots[j] = _mm512_dpbusd_epi32(dots[j], codes[j], _mm512_loadu_si512(x.q + at));
    }
    F d = _mm512_castps256_ps512(_mm256_loadu_ps(x.d + (r0 + r) * (x.padded / 32) + unit * 8));
    if (Q::kFine) d = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), d);
    acc[r] = fma(_mm512_cvtepi32_ps(groupTotals<Q::kFine>(dots)), mul(h.scales, d), acc[r]);
  }
  addShifts<Q, R>(h, x, unit, r0, acc);
}

// Tail: fewer than 256 activations are left.
template <class Q, int R, bool Tail>
inline void exactUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  const Header h = Q::header(p);
  const __m512i offset = _mm512_set1_epi8(Q::kOffset < 0 ? 0 : (char)(1 << (Q::kOffset < 0 ? 0 : Q::kOffset)));
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    const __m512i codes = _mm512_sub_epi8(Q::codes(p, j), offset);
    const F scale = stepScale<Q>(h.scales, j);
    F w[4];
    w[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_castsi512_si128(codes)));
    w[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(codes, 1)));
    w[2] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(codes, 2)));
    w[3] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(codes, 3)));
    const F s0 = _mm512_shuffle_f32x4(scale, scale, 0x00), s3 = _mm512_shuffle_f32x4(scale, scale, 0xff);
    const F s1 = Q::kFine ? _mm512_shuffle_f32x4(scale, scale, 0x55) : s0;
    const F s2 = Q::kFine ? _mm512_shuffle_f32x4(scale, scale, 0xaa) : s3;
    for (int r = 0; r < R; r++) {
      F v[4];
      for (int i = 0; i < 4; i++) {
        const int64_t at = unit * 256 + j * 64 + i * 16;
        if (!Tail) v[i] = load(x.x + (r0 + r) * x.n + at);
        else v[i] = at < x.n ? load(x.x + (r0 + r) * x.n + at) : zero();  // n is a multiple of 32
      }
      if (Q::kFine) {
        acc[r] = fma(mul(w[0], v[0]), s0, acc[r]);
        acc[r] = fma(mul(w[1], v[1]), s1, acc[r]);
        acc[r] = fma(mul(w[2], v[2]), s2, acc[r]);
        acc[r] = fma(mul(w[3], v[3]), s3, acc[r]);
      } else {
        acc[r] = fma(fma(w[1], v[1], mul(w[0], v[0])), s0, acc[r]);
        acc[r] = fma(fma(w[3], v[3], mul(w[2], v[2])), s3, acc[r]);
      }
    }
  }
  addShifts<Q, R>(h, x, unit, r0, acc);
}

constexpr int64_t kAhead = 8192;  // bytes that the prefetch into the second-level cache runs ahead

template <class Q, int R, bool Fast>
inline void dotRow(const uint8_t* p, const GemvInput& x, int r0, float* out, int64_t stride) {
  F acc[R];
  for (int r = 0; r < R; r++) acc[r] = zero();
  const int64_t units = x.n / 256;
  for (int64_t u = 0; u < units; u++, p += Q::kBytes) {
    for (int line = 0; line < Q::kBytes; line += 64) _mm_prefetch((const char*)p + kAhead + line, _MM_HINT_T1);
    if (Fast) fastUnit<Q, R>(p, x, u, r0, acc);
    else exactUnit<Q, R, false>(p, x, u, r0, acc);
  }
  if (Q::kBlock == 32 && x.n % 256 != 0) {  // the last blocks, followed by zeros
    uint8_t last[Q::kBytes] = {0};
    memcpy(last, p, (size_t)(x.n % 256 / 32 * Q::kBlockBytes));
    if (Fast) fastUnit<Q, R>(last, x, units, r0, acc);
    else exactUnit<Q, R, true>(last, x, units, r0, acc);
  }
  for (int r = 0; r < R; r++) out[r * stride] = sumLanes(acc[r]);
}

}  // namespace
}  // namespace voxquant

#include "gemv_lanes_avx512.h"

namespace voxquant {
namespace {

template <class Q, bool Fast>
void gemvRows(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  if (Fast && x.laneCodes) {
    gemvLanes<Q>(w, begin, end, x, out, stride);
    return;
  }
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
        const __m256i u = _mm256_xor_si256(load256((const uint8_t*)codes + 32 * b), _mm256_set1_epi8((char)0x80));
        __m256i dot = load256((const uint8_t*)(x.offsets[7] + r * (x.padded / 4) + 8 * b));
        dot = _mm256_dpbusd_epi32(dot, u, load256((const uint8_t*)x.q + r * x.padded + 32 * b));
        const __m256 scale = _mm256_set1_ps(scales[b] * x.d[r * (x.padded / 32) + b]);
        acc = _mm512_add_ps(acc, _mm512_zextps256_ps512(_mm256_mul_ps(_mm256_cvtepi32_ps(dot), scale)));
      }
      out[r * stride + o - begin] = sumLanes(acc);
    }
  }
}

}  // namespace
}  // namespace voxquant
