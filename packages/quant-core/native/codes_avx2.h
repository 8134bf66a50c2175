#pragma once
// Weight codes on AVX2, 32 at a time. A unit is a block: of 32 elements (one step) or 256 (eight steps).
#include "vectors_avx2.h"

namespace voxquant {
namespace {

inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }

inline uint32_t load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

inline __m256i nibbles32(const uint8_t* p) {
  const __m128i v = _mm_loadu_si128((const __m128i*)p);
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

// 16 where bit e of the 32 is set.
inline __m256i highBits(const uint8_t* p) {
  __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)load32(p)),
                                  _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit), _mm256_set1_epi8(16));
}

inline __m256i tableIq4(__m256i index) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
  return _mm256_shuffle_epi8(table, index);
}

inline __m256i minus(__m256i codes, int offset) { return _mm256_sub_epi8(codes, _mm256_set1_epi8((char)offset)); }

struct Header {
  float scales[16];
  float shifts[16];
};

template <int Bytes, int Shifts>
struct Block32 {
  static constexpr int kBytes = Bytes, kSteps = 1, kShifts = Shifts;
  static constexpr bool kFine = false, kSigned = Shifts == 0;
  static void header(const uint8_t* p, Header* h) {
    h->scales[0] = halfScalar(p);
    if (Shifts) h->shifts[0] = halfScalar(p + 2);
  }
};
template <int Bytes, int Shifts, bool Fine>
struct Block256 {
  static constexpr int kBytes = Bytes, kSteps = 8, kShifts = Shifts;
  static constexpr bool kFine = Fine, kSigned = Shifts == 0;
};

// codes: signed where the type has no shifts, else 0 … 31.
struct CodesQ4_0 : Block32<18, 0> {
  static __m256i codes(const uint8_t* p, int) { return minus(nibbles32(p + 2), 8); }
};
struct CodesQ4_1 : Block32<20, 1> {
  static __m256i codes(const uint8_t* p, int) { return nibbles32(p + 4); }
};
struct CodesQ5_0 : Block32<22, 0> {
  static __m256i codes(const uint8_t* p, int) { return minus(_mm256_or_si256(nibbles32(p + 6), highBits(p + 2)), 16); }
};
struct CodesQ5_1 : Block32<24, 1> {
  static __m256i codes(const uint8_t* p, int) { return _mm256_or_si256(nibbles32(p + 8), highBits(p + 4)); }
};
struct CodesQ8_0 : Block32<34, 0> {
  static __m256i codes(const uint8_t* p, int) { return load256(p + 2); }
};
struct CodesIq4Nl : Block32<18, 0> {
  static __m256i codes(const uint8_t* p, int) { return tableIq4(nibbles32(p + 2)); }
};
struct CodesIq4Xs : Block256<136, 0, false> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t low = load32(p + 4), high = load32(p) >> 16;
    const float d = halfScalar(p);
    for (int b = 0; b < 8; b++) h->scales[b] = d * (float)((int)((low >> 4 * b & 15) | (high >> 2 * b & 3) << 4) - 32);
  }
  static __m256i codes(const uint8_t* p, int j) { return tableIq4(nibbles32(p + 8 + 16 * j)); }
};
struct CodesQ4_K : Block256<144, 8, false> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t a = load32(p + 4), b = load32(p + 8), c = load32(p + 12);
    const __m128i both = _mm_setr_epi32((int)(a & 0x3f3f3f3f), (int)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)), (int)(b & 0x3f3f3f3f),
                                        (int)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)));
    store(h->scales, mul(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(both)), splat(halfScalar(p))));
    store(h->shifts, mul(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(both, 8))), splat(-halfScalar(p + 2))));
  }
  static __m256i codes(const uint8_t* p, int j) {
    const __m256i v = load256(p + 16 + 32 * (j >> 1));
    return _mm256_and_si256(j & 1 ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }
};
struct CodesQ5_K : Block256<176, 8, false> {
  static void header(const uint8_t* p, Header* h) { CodesQ4_K::header(p, h); }
  static __m256i codes(const uint8_t* p, int j) {
    const __m256i bit = _mm256_set1_epi8((char)(1 << j));
    const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(load256(p + 16), bit), bit);
    return _mm256_or_si256(CodesQ4_K::codes(p + 32, j), _mm256_and_si256(high, _mm256_set1_epi8(16)));
  }
};
struct CodesQ6_K : Block256<210, 0, true> {
  static void header(const uint8_t* p, Header* h) {
    const F d = splat(halfScalar(p + 208));
    for (int i = 0; i < 2; i++)
      store(h->scales + 8 * i, mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)(p + 192 + 8 * i))))));
  }
  static __m256i codes(const uint8_t* p, int j) {
    const int h = j >> 2, k = j & 3;
    __m256i low = load256(p + 64 * h + 32 * (k & 1));
    if (k & 2) low = _mm256_srli_epi16(low, 4);
    __m256i high = _mm256_srl_epi16(load256(p + 128 + 32 * h), _mm_cvtsi32_si128(2 * k));
    high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
    return minus(_mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi8(15)), high), 32);
  }
};

inline __m256i pairsOfBits(const uint8_t* qs, int j) {
  const __m256i v = _mm256_srl_epi16(load256(qs + 32 * (j >> 2)), _mm_cvtsi32_si128(2 * (j & 3)));
  return _mm256_and_si256(v, _mm256_set1_epi8(3));
}

struct CodesQ2_K : Block256<84, 16, true> {
  static void header(const uint8_t* p, Header* h) {
    const F d = splat(halfScalar(p + 80)), dmin = splat(-halfScalar(p + 82));
    for (int i = 0; i < 2; i++) {
      const __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8 * i)));
      store(h->scales + 8 * i, mul(d, _mm256_cvtepi32_ps(_mm256_and_si256(both, _mm256_set1_epi32(15)))));
      store(h->shifts + 8 * i, mul(dmin, _mm256_cvtepi32_ps(_mm256_srli_epi32(both, 4))));
    }
  }
  static __m256i codes(const uint8_t* p, int j) { return pairsOfBits(p + 16, j); }
};
struct CodesQ3_K : Block256<110, 0, true> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t a = load32(p + 96), b = load32(p + 100), c = load32(p + 104);
    const __m128i scales = _mm_setr_epi32((int)((a & 0x0f0f0f0f) | (c << 4 & 0x30303030)), (int)((b & 0x0f0f0f0f) | (c << 2 & 0x30303030)),
                                          (int)((a >> 4 & 0x0f0f0f0f) | (c & 0x30303030)), (int)((b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030)));
    const __m128i centred = _mm_sub_epi8(scales, _mm_set1_epi8(32));
    const F d = splat(halfScalar(p + 108));
    store(h->scales, mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(centred))));
    store(h->scales + 8, mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(centred, 8)))));
  }
  static __m256i codes(const uint8_t* p, int j) {
    const __m256i bit = _mm256_set1_epi8((char)(1 << j));
    const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(load256(p), bit), bit);
    return minus(_mm256_or_si256(pairsOfBits(p + 32, j), _mm256_and_si256(high, _mm256_set1_epi8(4))), 4);
  }
};

}  // namespace
}  // namespace voxquant
