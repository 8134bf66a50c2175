// Encoders of the types with one scale per 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1. Recipes: src/quantize/small-blocks.ts.
#pragma once

#include "quantize_half.h"
#include "quantize_lanes.h"

namespace voxquant {
namespace {

constexpr int kBlock = 32;
constexpr int kSuperBlock = 256;

// The first element whose magnitude equals the largest.
VQ_INLINE float block_extreme(const float* x, int count) {
  Lanes largest = {};
  for (int i = 0; i < count; i += kLanes) {
    Lanes v;
    std::memcpy(&v, x + i, sizeof v);
    v = magnitude(v);
    largest = v > largest ? v : largest;
  }
  float top = 0;
  for (int lane = 0; lane < kLanes; lane++) top = largest[lane] > top ? largest[lane] : top;
  for (int i = 0; i < count; i++) {
    if (std::fabs(x[i]) == top) return top == 0 ? 0.0f : x[i];
  }
  return 0;
}

VQ_INLINE float block_magnitude(const float* x, int count) {
  Lanes largest = {};
  for (int i = 0; i < count; i += kLanes) {
    Lanes v;
    std::memcpy(&v, x + i, sizeof v);
    v = magnitude(v);
    largest = v > largest ? v : largest;
  }
  float top = 0;
  for (int lane = 0; lane < kLanes; lane++) top = largest[lane] > top ? largest[lane] : top;
  return top;
}

VQ_INLINE void pack_nibbles(const uint8_t* codes, uint8_t* out) {
  for (int j = 0; j < kBlock / 2; j++) out[j] = static_cast<uint8_t>((codes[j] & 15) | ((codes[j + kBlock / 2] & 15) << 4));
}

VQ_INLINE void pack_fifth_bits(const uint8_t* codes, uint8_t* out) {
  uint32_t bits = 0;
  for (int e = 0; e < kBlock; e++) bits |= static_cast<uint32_t>((codes[e] >> 4) & 1) << e;
  std::memcpy(out, &bits, 4);
}

VQ_INLINE void store_symmetric(float d, const uint8_t* codes, bool fifth, uint8_t* out) {
  store_u16(out, float_to_half(d));
  if (fifth) pack_fifth_bits(codes, out + 2);
  pack_nibbles(codes, out + (fifth ? 6 : 2));
}

VQ_INLINE void encode_symmetric(const float* x, size_t length, const float* importance, int limit, uint8_t* out) {
  const bool fifth = limit == 16;
  const size_t bytes = fifth ? 22 : 18;
  uint8_t codes[kLanes * kBlock];
  if (importance == nullptr) {
    for (size_t i = 0; i < length; i += kBlock, out += bytes) {
      const float d = block_extreme(x + i, kBlock) / static_cast<float>(-limit);
      const float inverse = reciprocal(d);
      for (int j = 0; j < kBlock; j++) {
        const int code = static_cast<int>(x[i + j] * inverse + (static_cast<float>(limit) + 0.5f));
        codes[j] = static_cast<uint8_t>(code > 2 * limit - 1 ? 2 * limit - 1 : code);
      }
      store_symmetric(d, codes, fifth, out);
    }
    return;
  }
  const Lanes variance = splat(sum_of_squares(x, length) / static_cast<float>(length));
  Lanes group[kBlock], weights[kBlock], lane_codes[kBlock];
  for (size_t i = 0; i < length; i += kLanes * kBlock) {
    const size_t left = (length - i) / kBlock;
    const int valid = left < kLanes ? static_cast<int>(left) : kLanes;
    load_groups(x + i, kBlock, valid, group);
    importance_weights(group, importance + i, kBlock, valid, variance, weights);
    const Lanes scale = search_symmetric(group, weights, kBlock, static_cast<float>(limit), lane_codes);
    store_codes(lane_codes, kBlock, valid, limit, codes);
    for (int lane = 0; lane < valid; lane++, out += bytes) store_symmetric(scale[lane], codes + lane * kBlock, fifth, out);
  }
}

VQ_INLINE void store_affine(float d, float minimum, const uint8_t* codes, bool fifth, uint8_t* out) {
  store_u16(out, float_to_half(d));
  store_u16(out + 2, float_to_half(minimum));
  if (fifth) pack_fifth_bits(codes, out + 4);
  pack_nibbles(codes, out + (fifth ? 8 : 4));
}

VQ_INLINE void encode_affine(const float* x, size_t length, const float* importance, int limit, uint8_t* out) {
  const bool fifth = limit == 31;
  const size_t bytes = fifth ? 24 : 20;
  uint8_t codes[kLanes * kBlock];
  if (importance == nullptr) {
    for (size_t i = 0; i < length; i += kBlock, out += bytes) {
      float minimum = x[i];
      float maximum = x[i];
      for (int j = 1; j < kBlock; j++) {
        minimum = x[i + j] < minimum ? x[i + j] : minimum;
        maximum = x[i + j] > maximum ? x[i + j] : maximum;
      }
      const float d = (maximum - minimum) / static_cast<float>(limit);
      const float inverse = reciprocal(d);
      for (int j = 0; j < kBlock; j++) {
        const int code = static_cast<int>((x[i + j] - minimum) * inverse + 0.5f);
        codes[j] = static_cast<uint8_t>(code > limit ? limit : code);
      }
      store_affine(d, minimum, codes, fifth, out);
    }
    return;
  }
  const Lanes variance = splat(sum_of_squares(x, length) / static_cast<float>(length));
  Lanes group[kBlock], weights[kBlock], lane_codes[kBlock], minima;
  for (size_t i = 0; i < length; i += kLanes * kBlock) {
    const size_t left = (length - i) / kBlock;
    const int valid = left < kLanes ? static_cast<int>(left) : kLanes;
    load_groups(x + i, kBlock, valid, group);
    importance_weights(group, importance + i, kBlock, valid, variance, weights);
    const Lanes scale =
        search_affine(group, weights, kBlock, static_cast<float>(limit), kImportanceGrid, lane_codes, &minima);
    store_codes(lane_codes, kBlock, valid, 0, codes);
    for (int lane = 0; lane < valid; lane++, out += bytes) {
      store_affine(scale[lane], -minima[lane], codes + lane * kBlock, fifth, out);
    }
  }
}

// Nearest integers, ties away from zero; exact for |v| < 2^22.
VQ_INLINE Mask round_half_away(Lanes v) {
  const Mask whole = __builtin_convertvector(v, Mask);
  const Lanes rest = v - __builtin_convertvector(whole, Lanes);
  return whole - (rest >= 0.5f) + (rest <= -0.5f);  // a true mask is -1
}

VQ_INLINE void encode_q8(const float* x, size_t length, bool with_sum, uint8_t* out) {
  typedef int8_t Bytes __attribute__((vector_size(kLanes)));
  const size_t codes_at = with_sum ? 4 : 2;
  for (size_t i = 0; i < length; i += kBlock, out += codes_at + kBlock) {
    const float d = block_magnitude(x + i, kBlock) / 127.0f;
    const float inverse = reciprocal(d);
    Mask sums = {};
    for (int j = 0; j < kBlock; j += kLanes) {
      Lanes v;
      std::memcpy(&v, x + i + j, sizeof v);
      const Mask codes = round_half_away(v * inverse);
      sums += codes;
      const Bytes packed = __builtin_convertvector(codes, Bytes);
      std::memcpy(out + codes_at + j, &packed, sizeof packed);
    }
    store_u16(out, float_to_half(d));
    if (with_sum) {
      int32_t sum = 0;
      for (int lane = 0; lane < kLanes; lane++) sum += sums[lane];
      store_u16(out + 2, float_to_half(static_cast<float>(sum) * d));
    }
  }
}

}  // namespace
}  // namespace voxquant
