#pragma once
// Weight codes on Advanced SIMD, 32 at a time. A unit is a block: of 32 elements (one step) or 256 (eight steps).
#include "vectors_neon.h"

namespace voxquant {
namespace {

struct Codes {
  int8x16_t low, high;  // the first and the second 16 elements
};

inline uint32_t load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

inline Codes asCodes(uint8x16_t low, uint8x16_t high) { return {vreinterpretq_s8_u8(low), vreinterpretq_s8_u8(high)}; }

inline Codes nibbles32(const uint8_t* p) {
  const uint8x16_t v = vld1q_u8(p);
  return asCodes(vandq_u8(v, vdupq_n_u8(15)), vshrq_n_u8(v, 4));
}

inline Codes minus(Codes c, int offset) {
  const int8x16_t o = vdupq_n_s8((int8_t)offset);
  return {vsubq_s8(c.low, o), vsubq_s8(c.high, o)};
}

inline Codes either(Codes a, Codes b) { return {vorrq_s8(a.low, b.low), vorrq_s8(a.high, b.high)}; }

// 16 where bit e of the 32 is set.
inline Codes highBits(const uint8_t* p) {
  static const uint8_t kByte[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  static const uint8_t kBit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t v = vreinterpretq_u8_u32(vdupq_n_u32(load32(p))), index = vld1q_u8(kByte), bit = vld1q_u8(kBit), sixteen = vdupq_n_u8(16);
  return asCodes(vandq_u8(vtstq_u8(vqtbl1q_u8(v, index), bit), sixteen),
                 vandq_u8(vtstq_u8(vqtbl1q_u8(v, vaddq_u8(index, vdupq_n_u8(2))), bit), sixteen));
}

inline Codes tableIq4(Codes index) {
  static const int8_t kTable[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  const int8x16_t table = vld1q_s8(kTable);
  return {vqtbl1q_s8(table, vreinterpretq_u8_s8(index.low)), vqtbl1q_s8(table, vreinterpretq_u8_s8(index.high))};
}

// 16 bytes right by `bits`, masked.
inline uint8x16_t shifted(const uint8_t* p, int bits, uint8_t mask) {
  return vandq_u8(vshlq_u8(vld1q_u8(p), vdupq_n_s8((int8_t)-bits)), vdupq_n_u8(mask));
}

// `value` in the bytes of p [32] whose bit `bit` is set.
inline Codes flagged(const uint8_t* p, int bit, uint8_t value) {
  const uint8x16_t flag = vdupq_n_u8((uint8_t)(1 << bit)), v = vdupq_n_u8(value);
  return asCodes(vandq_u8(vtstq_u8(vld1q_u8(p), flag), v), vandq_u8(vtstq_u8(vld1q_u8(p + 16), flag), v));
}

inline Codes pairsOfBits(const uint8_t* qs, int j) {
  const uint8_t* p = qs + 32 * (j >> 2);
  return asCodes(shifted(p, 2 * (j & 3), 3), shifted(p + 16, 2 * (j & 3), 3));
}

// n values of int8 or uint8 times d.
inline void scaled(const int8_t* values, int n, float d, float* out) {
  for (int i = 0; i < n; i++) out[i] = d * (float)values[i];
}

struct Header {
  float scales[16];
  float shifts[16];
};

template <int Bytes, int Shifts>
struct Block32 {
  static constexpr int kBytes = Bytes, kSteps = 1, kShifts = Shifts;
  static constexpr bool kFine = false;
  static void header(const uint8_t* p, Header* h) {
    h->scales[0] = halfScalar(p);
    if (Shifts) h->shifts[0] = halfScalar(p + 2);
  }
};
template <int Bytes, int Shifts, bool Fine>
struct Block256 {
  static constexpr int kBytes = Bytes, kSteps = 8, kShifts = Shifts;
  static constexpr bool kFine = Fine;
};

struct CodesQ4_0 : Block32<18, 0> {
  static Codes codes(const uint8_t* p, int) { return minus(nibbles32(p + 2), 8); }
};
struct CodesQ4_1 : Block32<20, 1> {
  static Codes codes(const uint8_t* p, int) { return nibbles32(p + 4); }
};
struct CodesQ5_0 : Block32<22, 0> {
  static Codes codes(const uint8_t* p, int) { return minus(either(nibbles32(p + 6), highBits(p + 2)), 16); }
};
struct CodesQ5_1 : Block32<24, 1> {
  static Codes codes(const uint8_t* p, int) { return either(nibbles32(p + 8), highBits(p + 4)); }
};
struct CodesQ8_0 : Block32<34, 0> {
  static Codes codes(const uint8_t* p, int) { return {vld1q_s8((const int8_t*)p + 2), vld1q_s8((const int8_t*)p + 18)}; }
};
struct CodesIq4Nl : Block32<18, 0> {
  static Codes codes(const uint8_t* p, int) { return tableIq4(nibbles32(p + 2)); }
};
struct CodesIq4Xs : Block256<136, 0, false> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t low = load32(p + 4), high = load32(p) >> 16;
    const float d = halfScalar(p);
    for (int b = 0; b < 8; b++) h->scales[b] = d * (float)((int)((low >> 4 * b & 15) | (high >> 2 * b & 3) << 4) - 32);
  }
  static Codes codes(const uint8_t* p, int j) { return tableIq4(nibbles32(p + 8 + 16 * j)); }
};
struct CodesQ4_K : Block256<144, 8, false> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t a = load32(p + 4), b = load32(p + 8), c = load32(p + 12);
    const uint32_t packed[4] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030), b & 0x3f3f3f3f,
                                (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
    scaled((const int8_t*)packed, 8, halfScalar(p), h->scales);
    scaled((const int8_t*)packed + 8, 8, -halfScalar(p + 2), h->shifts);
  }
  static Codes codes(const uint8_t* p, int j) {
    const uint8_t* q = p + 16 + 32 * (j >> 1);
    return asCodes(shifted(q, 4 * (j & 1), 15), shifted(q + 16, 4 * (j & 1), 15));
  }
};
struct CodesQ5_K : Block256<176, 8, false> {
  static void header(const uint8_t* p, Header* h) { CodesQ4_K::header(p, h); }
  static Codes codes(const uint8_t* p, int j) { return either(CodesQ4_K::codes(p + 32, j), flagged(p + 16, j, 16)); }
};
struct CodesQ6_K : Block256<210, 0, true> {
  static void header(const uint8_t* p, Header* h) { scaled((const int8_t*)p + 192, 16, halfScalar(p + 208), h->scales); }
  static Codes codes(const uint8_t* p, int j) {
    const int half = j >> 2, k = j & 3;
    const uint8_t *low = p + 64 * half + 32 * (k & 1), *high = p + 128 + 32 * half;
    const int bits = k & 2 ? 4 : 0;
    return minus(asCodes(vorrq_u8(shifted(low, bits, 15), vshlq_n_u8(shifted(high, 2 * k, 3), 4)),
                         vorrq_u8(shifted(low + 16, bits, 15), vshlq_n_u8(shifted(high + 16, 2 * k, 3), 4))),
                 32);
  }
};
struct CodesQ2_K : Block256<84, 16, true> {
  static void header(const uint8_t* p, Header* h) {
    const float d = halfScalar(p + 80), dmin = -halfScalar(p + 82);
    for (int i = 0; i < 16; i++) {
      h->scales[i] = d * (float)(p[i] & 15);
      h->shifts[i] = dmin * (float)(p[i] >> 4);
    }
  }
  static Codes codes(const uint8_t* p, int j) { return pairsOfBits(p + 16, j); }
};
struct CodesQ3_K : Block256<110, 0, true> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t a = load32(p + 96), b = load32(p + 100), c = load32(p + 104);
    const uint32_t packed[4] = {(a & 0x0f0f0f0f) | (c << 4 & 0x30303030), (b & 0x0f0f0f0f) | (c << 2 & 0x30303030),
                                (a >> 4 & 0x0f0f0f0f) | (c & 0x30303030), (b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030)};
    const int8_t* scales = (const int8_t*)packed;
    const float d = halfScalar(p + 108);
    for (int i = 0; i < 16; i++) h->scales[i] = d * (float)(scales[i] - 32);
  }
  static Codes codes(const uint8_t* p, int j) { return minus(either(pairsOfBits(p + 32, j), flagged(p, j, 4)), 4); }
};

}  // namespace
}  // namespace voxquant
