#pragma once
// Rounding to int8 and writing to 8-bit caches (int8_cache.h), over the vector type of vector_kernels.h. The including file
// defines besides, in an anonymous namespace:
//   storeInt8(int8_t*, F), storeInt16(int16_t*, F)   rounded to nearest even; |x| <= 127, 32767; anything for NaN
#include "int8_cache.h"
#include "vector_kernels.h"

namespace voxquant {
namespace {

constexpr int kGroupVectors = kCacheGroup / W;  // vectors of channels that share a scale

inline int32_t load32Bits(const void* p) {
  int32_t bits;
  memcpy(&bits, p, 4);
  return bits;
}

inline int groupSize(int64_t n, int64_t g) { return n - g * kCacheGroup < kCacheGroup ? (int)(n - g * kCacheGroup) : kCacheGroup; }

// A group of x [n] in vectors, what is missing zero.
struct Group {
  F v[kGroupVectors];

  Group(const float* x, int n) {
    for (int i = 0; i < kGroupVectors; i++) v[i] = (i + 1) * W <= n ? load(x + i * W) : i * W < n ? loadPart(x + i * W, n - i * W) : zero();
  }
  float largest() const {
    F top = magnitude(v[0]);
    for (int i = 1; i < kGroupVectors; i++) top = larger(magnitude(v[i]), top);
    return largestLane(top);
  }
};

// Whether a value is NaN or infinite.
inline bool anyInvalid(const float* x, int64_t n) {
  F invalid = zero();
  int64_t i = 0;
  for (; i + W <= n; i += W) invalid = add(invalid, sub(load(x + i), load(x + i)));
  if (i < n) invalid = add(invalid, sub(loadPart(x + i, (int)(n - i)), loadPart(x + i, (int)(n - i))));
  const float sum = sumLanes(invalid);
  return sum != sum;
}

// The scale of a cached group, in the upper half of its bits, up so that no code exceeds 127, and its inverse.
struct CachedScale {
  uint16_t bits;
  float inverse;

  explicit CachedScale(float largest) : bits(0), inverse(0.0f) {
    if (!(largest > 1e-30f)) return;
    const float d = largest * (1.0f / 127.0f);
    const uint32_t wide = ((uint32_t)load32Bits(&d) + 0xffff) & 0xffff0000;
    float rounded;
    memcpy(&rounded, &wide, 4);
    bits = (uint16_t)(wide >> 16);
    inverse = 1.0f / rounded;
  }
};

// NaN for keys; infinite for values, of whose scales the largest is looked for.
constexpr uint16_t kInvalidKey = 0x7fc0, kInvalidValue = 0x7f80;

// The block of a position, its first scale, and its place in them.
struct CachedPlace {
  uint8_t *block, *scales;
  int64_t at;

  void setScale(int64_t g, uint16_t bits) const { memcpy(scales + g * kCacheBlock * 2, &bits, 2); }
};

inline CachedPlace placeOf(uint8_t* rows, const CacheLayout& layout, int64_t position) {
  const int64_t at = position % kCacheBlock;
  uint8_t* const block = rows + position / kCacheBlock * layout.blockBytes;
  return {block, block + layout.codeBytes + at * 2, at};
}

// Rows of activations lie far apart.
inline void prefetchRow(const float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(x + i);
}

inline void storeKey(const float* x, int64_t headDim, const CacheLayout& layout, const CachedPlace& to) {
  const bool invalid = anyInvalid(x, headDim);
  for (int64_t g = 0; g < layout.groups; g++) {
    const Group group(x + g * kCacheGroup, groupSize(headDim, g));
    const CachedScale scale(invalid ? 0.0f : group.largest());
    to.setScale(g, invalid ? kInvalidKey : scale.bits);
    uint8_t codes[kCacheGroup];
    for (int i = 0; i < kGroupVectors; i++) storeInt8((int8_t*)codes + i * W, mul(group.v[i], splat(scale.inverse)));
    uint8_t* const first = to.block + (g * kCacheGroup * kCacheBlock + to.at * 4);
    for (int i = 0; i < groupSize(layout.padded, g); i += 4) {
      const uint32_t quad = (uint32_t)load32Bits(codes + i) ^ 0x80808080;
      memcpy(first + i * kCacheBlock, &quad, 4);
    }
  }
}

void storeKeysKernel(const float* x, int64_t stride, int64_t count, int64_t headDim, uint8_t* keys, int64_t position) {
  const CacheLayout layout(headDim);
  for (int64_t r = 0; r < count; r++) {
    prefetchRow(x + (r + 2) * stride, headDim);
    storeKey(x + r * stride, headDim, layout, placeOf(keys, layout, position + r));
  }
}

inline void storeValue(const float* x, int64_t headDim, const CacheLayout& layout, const CachedPlace& to) {
  const bool invalid = anyInvalid(x, headDim);
  for (int64_t g = 0; g < layout.groups; g++) {
    const Group group(x + g * kCacheGroup, groupSize(headDim, g));
    const CachedScale scale(invalid ? 0.0f : group.largest());
    to.setScale(g, invalid ? kInvalidValue : scale.bits);
    int8_t codes[kCacheGroup];
    for (int i = 0; i < kGroupVectors; i++) storeInt8(codes + i * W, mul(group.v[i], splat(scale.inverse)));
    uint8_t* const first = to.block + (to.at / 2 * layout.padded + g * kCacheGroup) * 2 + to.at % 2;
    for (int i = 0; i < groupSize(layout.padded, g); i++) first[2 * i] = (uint8_t)codes[i];
  }
}

// Positions `to` and the one after it, which is odd: a pair of codes is the int16 of 256 * second + first modulo 256.
inline void storeValuePair(const float* x, const float* y, int64_t headDim, const CacheLayout& layout, const CachedPlace& to) {
  const bool invalidX = anyInvalid(x, headDim), invalidY = anyInvalid(y, headDim);
  const CachedPlace second = {to.block, to.scales + 2, to.at + 1};
  for (int64_t g = 0; g < layout.groups; g++) {
    const Group a(x + g * kCacheGroup, groupSize(headDim, g)), b(y + g * kCacheGroup, groupSize(headDim, g));
    const CachedScale scaleA(invalidX ? 0.0f : a.largest()), scaleB(invalidY ? 0.0f : b.largest());
    to.setScale(g, invalidX ? kInvalidValue : scaleA.bits);
    second.setScale(g, invalidY ? kInvalidValue : scaleB.bits);
    uint8_t* const first = to.block + (to.at / 2 * layout.padded + g * kCacheGroup) * 2;
    for (int i = 0; i * W < groupSize(layout.padded, g); i++) {
      const F low = roundEven(mul(a.v[i], splat(scaleA.inverse))), high = roundEven(mul(b.v[i], splat(scaleB.inverse)));
      const F borrow = roundEven(fma(low, splat(1.0f / 256), splat(-127.5f / 256)));  // -1 where low < 0
      storeInt16((int16_t*)first + i * W, fma(sub(high, borrow), splat(256.0f), low));
    }
  }
}

void storeValuesKernel(const float* x, int64_t stride, int64_t count, int64_t headDim, uint8_t* values, int64_t position) {
  const CacheLayout layout(headDim);
  for (int64_t r = 0; r < count;) {
    const CachedPlace to = placeOf(values, layout, position + r);
    prefetchRow(x + (r + 2) * stride, headDim);
    prefetchRow(x + (r + 3) * stride, headDim);
    if (to.at % 2 == 0 && r + 1 < count) {
      storeValuePair(x + r * stride, x + (r + 1) * stride, headDim, layout, to);
      r += 2;
    } else {
      storeValue(x + r++ * stride, headDim, layout, to);
    }
  }
}

}  // namespace
}  // namespace voxquant
