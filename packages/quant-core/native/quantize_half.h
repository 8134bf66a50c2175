// IEEE half precision and bfloat16 in portable integer arithmetic (no flush-to-zero, no rounding mode of the machine).
#pragma once

#include <cstdint>
#include <cstring>

namespace voxquant {
namespace {

static inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

static inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t size = half & 0x7fff;
  if (size < 0x0400) return float_of_bits(sign | bits_of_float(static_cast<float>(size) * 0x1p-24f));
  if (size < 0x7c00) return float_of_bits(sign | ((size << 13) + 0x38000000));
  return float_of_bits(sign | 0x7f800000 | ((size & 0x3ff) << 13));
}

static inline uint16_t float_to_half(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t size = bits & 0x7fffffff;
  if (size >= 0x47800000) return static_cast<uint16_t>(sign | (size > 0x7f800000 ? 0x7e00 : 0x7c00));
  if (size >= 0x38800000) {
    size += 0xfff + ((size >> 13) & 1);
    return static_cast<uint16_t>(sign | ((size - 0x38000000) >> 13));
  }
  // Half subnormals are multiples of 2^-24, the float spacing at 0.5: the addition rounds to even.
  return static_cast<uint16_t>(sign | (bits_of_float(float_of_bits(size) + 0.5f) - 0x3f000000));
}

static inline float bf16_to_float(uint16_t bits) { return float_of_bits(static_cast<uint32_t>(bits) << 16); }

static inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 64);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline uint16_t load_u16(const uint8_t* at) {
  uint16_t value;
  std::memcpy(&value, at, 2);
  return value;
}

static inline void store_u16(uint8_t* at, uint16_t value) { std::memcpy(at, &value, 2); }

}  // namespace
}  // namespace voxquant
