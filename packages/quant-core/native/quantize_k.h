// Encoders of the K types, super-blocks of 256. Recipes: src/quantize/k-affine.ts and k-symmetric.ts.
#pragma once

#include "quantize_small.h"

namespace voxquant {
namespace {

// ---- K types with a minimum ----

struct AffineLayout {
  int group;
  float limit;
  float scale_limit;
  AffineGrid grid;
  float variance_factor;
};

constexpr AffineLayout kQ2Layout = {16, 3, 15, {-0.5f, 0.1f, 15, true}, 1};
constexpr AffineLayout kQ4Layout = {32, 15, 63, {-1.0f, 0.1f, 20, false}, 2};
constexpr AffineLayout kQ5Layout = {32, 31, 63, {-0.5f, 0.1f, 15, false}, 2};

VQ_INLINE float quantize_scales(const float* values, int count, float limit, uint8_t* codes) {
  float largest = 0;
  for (int i = 0; i < count; i++) largest = values[i] > largest ? values[i] : largest;
  const float inverse = largest > 0 ? limit / largest : 0.0f;
  for (int i = 0; i < count; i++) codes[i] = static_cast<uint8_t>(nearest(inverse * values[i], 0, limit));
  return largest / limit;
}

struct AffineCodes {
  uint8_t codes[kSuperBlock];
  uint8_t scales[16];
  uint8_t minima[16];
  uint16_t d;
  uint16_t dmin;
};

VQ_INLINE void search_super_block(const float* x, const float* importance, const AffineLayout& layout, AffineCodes* out) {
  const int group = layout.group;
  const int groups = kSuperBlock / group;
  Lanes values[kMaxGroup], weights[kMaxGroup], codes[kMaxGroup];
  float scales[16], minima[16], sums[16];
  const float variance =
      importance == nullptr ? 0 : (layout.variance_factor * sum_of_squares(x, kSuperBlock)) / static_cast<float>(kSuperBlock);
  for (int g = 0; g < groups; g += kLanes) {
    load_groups(x + g * group, group, kLanes, values);
    AffineGrid grid = kImportanceGrid;
    if (importance != nullptr) {
      importance_weights(values, importance + g * group, group, kLanes, splat(variance), weights);
    } else {
      grid = layout.grid;
      Lanes offset = {};
      if (group == 32) {  // root mean square of the sub-block
        Lanes square = {};
        for (int i = 0; i < group; i++) square = square + values[i] * values[i];
        square = square / 32.0f;
        for (int lane = 0; lane < kLanes; lane++) offset[lane] = std::sqrt(square[lane]);
      }
      for (int i = 0; i < group; i++) weights[i] = offset + magnitude(values[i]);
    }
    Lanes minimum;
    const Lanes scale = search_affine(values, weights, group, layout.limit, grid, codes, &minimum);
    const Lanes sum = sum_lanes(weights, group);
    std::memcpy(scales + g, &scale, sizeof scale);
    std::memcpy(minima + g, &minimum, sizeof minimum);
    std::memcpy(sums + g, &sum, sizeof sum);
    store_codes(codes, group, kLanes, 0, out->codes + g * group);
  }
  if (importance == nullptr) {
    out->d = float_to_half(quantize_scales(scales, groups, layout.scale_limit, out->scales));
    out->dmin = float_to_half(quantize_scales(minima, groups, layout.scale_limit, out->minima));
  } else {
    out->d = float_to_half(search_positive(scales, groups, layout.scale_limit, sums, out->scales));
    out->dmin = float_to_half(search_positive(minima, groups, layout.scale_limit, sums, out->minima));
  }
  const float d = half_to_float(out->d);
  const float dmin = half_to_float(out->dmin);
  for (int g = 0; g < groups; g++) {
    const float scale = d * static_cast<float>(out->scales[g]);
    if (scale == 0) continue;
    const float minimum = dmin * static_cast<float>(out->minima[g]);
    for (int i = g * group; i < (g + 1) * group; i++) {
      out->codes[i] = static_cast<uint8_t>(static_cast<int>(nearest((x[i] + minimum) / scale, 0, layout.limit)));
    }
  }
}

// Four 2-bit codes per byte: element e of each half in bits 2 * (e / 32) of byte e % 32.
VQ_INLINE void pack_pairs(const uint8_t* codes, uint8_t mask, uint8_t* out) {
  for (int half = 0; half < 2; half++) {
    for (int l = 0; l < 32; l++) {
      const uint8_t* c = codes + 128 * half + l;
      out[32 * half + l] = static_cast<uint8_t>((c[0] & mask) | ((c[32] & mask) << 2) | ((c[64] & mask) << 4) | ((c[96] & mask) << 6));
    }
  }
}

VQ_INLINE void encode_q2_k(const float* x, size_t length, const float* importance, uint8_t* out) {
  AffineCodes block;
  for (size_t i = 0; i < length; i += kSuperBlock, out += 84) {
    search_super_block(x + i, importance == nullptr ? nullptr : importance + i, kQ2Layout, &block);
    for (int g = 0; g < 16; g++) out[g] = static_cast<uint8_t>(block.scales[g] | (block.minima[g] << 4));
    pack_pairs(block.codes, 3, out + 16);
    store_u16(out + 80, block.d);
    store_u16(out + 82, block.dmin);
  }
}

VQ_INLINE void encode_nibble_k(const float* x, size_t length, const float* importance, const AffineLayout& layout, uint8_t* out) {
  const bool fifth = layout.limit == 31;
  const int nibbles_at = fifth ? 48 : 16;
  AffineCodes block;
  for (size_t i = 0; i < length; i += kSuperBlock, out += nibbles_at + 128) {
    search_super_block(x + i, importance == nullptr ? nullptr : importance + i, layout, &block);
    store_u16(out, block.d);
    store_u16(out + 2, block.dmin);
    for (int s = 0; s < 4; s++) {
      const uint8_t scale = block.scales[s + 4];
      const uint8_t minimum = block.minima[s + 4];
      out[4 + s] = static_cast<uint8_t>(block.scales[s] | ((scale >> 4) << 6));
      out[8 + s] = static_cast<uint8_t>(block.minima[s] | ((minimum >> 4) << 6));
      out[12 + s] = static_cast<uint8_t>((scale & 15) | ((minimum & 15) << 4));
    }
    for (int g = 0; g < 4; g++) {
      for (int l = 0; l < 32; l++) {
        const uint8_t* c = block.codes + 64 * g + l;
        out[nibbles_at + 32 * g + l] = static_cast<uint8_t>((c[0] & 15) | ((c[32] & 15) << 4));
      }
    }
    if (!fifth) continue;
    for (int l = 0; l < 32; l++) {
      int high = 0;
      for (int s = 0; s < 8; s++) high |= (block.codes[32 * s + l] >> 4) << s;
      out[16 + l] = static_cast<uint8_t>(high);
    }
  }
}

// ---- K types with a signed scale per 16 ----

constexpr int kGroup = 16;

VQ_INLINE void encode_q3_k(const float* x, size_t length, const float* importance, uint8_t* out) {
  Lanes values[kGroup], weights[kGroup], lane_codes[kGroup];
  uint8_t codes[kSuperBlock], scale_codes[kGroup];
  float scales[kGroup], sums[kGroup];
  for (size_t i = 0; i < length; i += kSuperBlock, x += kSuperBlock, out += 110) {
    const float variance = importance == nullptr ? 0 : (2 * sum_of_squares(x, kSuperBlock)) / static_cast<float>(kSuperBlock);
    for (int g = 0; g < kGroup; g += kLanes) {
      load_groups(x + kGroup * g, kGroup, kLanes, values);
      Lanes scale;
      if (importance == nullptr) {
        scale = descend_symmetric(values, kGroup, 4, lane_codes);
      } else {
        importance_weights(values, importance + i + kGroup * g, kGroup, kLanes, splat(variance), weights);
        const Lanes sum = sum_lanes(weights, kGroup);
        std::memcpy(sums + g, &sum, sizeof sum);
        scale = search_symmetric(values, weights, kGroup, 4, lane_codes);
      }
      std::memcpy(scales + g, &scale, sizeof scale);
      store_codes(lane_codes, kGroup, kLanes, 4, codes + kGroup * g);
    }
    uint16_t bits = 0;
    if (importance == nullptr) {
      const float extreme = block_extreme(scales, kGroup);
      std::memset(scale_codes, 0, sizeof scale_codes);
      if (extreme != 0) {
        const float inverse = -32.0f / extreme;
        for (int g = 0; g < kGroup; g++) {
          scale_codes[g] = static_cast<uint8_t>(static_cast<int>(nearest(inverse * scales[g], -32, 31)) + 32);
        }
        bits = float_to_half(1.0f / inverse);
      }
    } else {
      for (int g = 0; g < kGroup; g++) {
        values[g] = splat(scales[g]);
        weights[g] = splat(sums[g]);
      }
      bits = float_to_half(search_symmetric(values, weights, kGroup, 32, lane_codes)[0]);
      for (int g = 0; g < kGroup; g++) scale_codes[g] = static_cast<uint8_t>(static_cast<int>(lane_codes[g][0]) + 32);
    }
    const float d = half_to_float(bits);
    for (int g = 0; g < kGroup; g++) {
      const float scale = d * static_cast<float>(scale_codes[g] - 32);
      if (scale == 0) continue;
      for (int e = kGroup * g; e < kGroup * (g + 1); e++) {
        codes[e] = static_cast<uint8_t>(static_cast<int>(nearest(x[e] / scale, -4, 3)) + 4);
      }
    }
    for (int l = 0; l < 32; l++) {
      int high = 0;
      for (int s = 0; s < 8; s++) high |= (codes[32 * s + l] >> 2) << s;
      out[l] = static_cast<uint8_t>(high);
    }
    pack_pairs(codes, 3, out + 32);
    for (int s = 0; s < 8; s++) out[96 + s] = static_cast<uint8_t>((scale_codes[s] & 15) | ((scale_codes[s + 8] & 15) << 4));
    for (int s = 0; s < 4; s++) {
      out[104 + s] = static_cast<uint8_t>((scale_codes[s] >> 4) | ((scale_codes[s + 4] >> 4) << 2) |
                                          ((scale_codes[s + 8] >> 4) << 4) | ((scale_codes[s + 12] >> 4) << 6));
    }
    store_u16(out + 108, bits);
  }
}

VQ_INLINE void encode_q6_k(const float* x, size_t length, const float* importance, uint8_t* out) {
  Lanes values[kGroup], weights[kGroup], lane_codes[kGroup];
  uint8_t codes[kSuperBlock];
  float scales[kGroup];
  for (size_t i = 0; i < length; i += kSuperBlock, x += kSuperBlock, out += 210) {
    for (int g = 0; g < kGroup; g += kLanes) {
      load_groups(x + kGroup * g, kGroup, kLanes, values);
      if (importance != nullptr) {
        load_groups(importance + i + kGroup * g, kGroup, kLanes, weights);
      } else {
        for (int e = 0; e < kGroup; e++) weights[e] = values[e] * values[e];
      }
      const Lanes scale = search_symmetric(values, weights, kGroup, 32, lane_codes);
      std::memcpy(scales + g, &scale, sizeof scale);
      store_codes(lane_codes, kGroup, kLanes, 32, codes + kGroup * g);
    }
    const float extreme = block_extreme(scales, kGroup);
    if (std::fabs(extreme) < kGroupEpsilon) {
      std::memset(out, 0, 210);
      continue;
    }
    const float inverse = -128.0f / extreme;
    const uint16_t bits = float_to_half(1.0f / inverse);
    const float d = half_to_float(bits);
    for (int g = 0; g < kGroup; g++) {
      const float scale_code = nearest(inverse * scales[g], -128, 127);
      out[192 + g] = static_cast<uint8_t>(static_cast<int>(scale_code));
      const float scale = d * scale_code;
      if (scale == 0) continue;
      for (int e = kGroup * g; e < kGroup * (g + 1); e++) {
        codes[e] = static_cast<uint8_t>(static_cast<int>(nearest(x[e] / scale, -32, 31)) + 32);
      }
    }
    for (int half = 0; half < 2; half++) {
      for (int l = 0; l < 32; l++) {
        const uint8_t* c = codes + 128 * half + l;
        out[64 * half + l] = static_cast<uint8_t>((c[0] & 15) | ((c[64] & 15) << 4));
        out[64 * half + 32 + l] = static_cast<uint8_t>((c[32] & 15) | ((c[96] & 15) << 4));
        out[128 + 32 * half + l] =
            static_cast<uint8_t>((c[0] >> 4) | ((c[32] >> 4) << 2) | ((c[64] >> 4) << 4) | ((c[96] >> 4) << 6));
      }
    }
    store_u16(out + 208, bits);
  }
}

VQ_INLINE void encode_q8_k(const float* x, size_t length, uint8_t* out) {
  for (size_t i = 0; i < length; i += kSuperBlock, x += kSuperBlock, out += 292) {
    const float extreme = block_extreme(x, kSuperBlock);
    if (extreme == 0) {
      std::memset(out, 0, 292);
      continue;
    }
    const float inverse = -127.0f / extreme;
    const float d = 1.0f / inverse;
    std::memcpy(out, &d, 4);
    for (int g = 0; g < kGroup; g++) {
      int sum = 0;
      for (int e = kGroup * g; e < kGroup * (g + 1); e++) {
        const int code = static_cast<int>(nearest(inverse * x[e], -128, 127));
        out[4 + e] = static_cast<uint8_t>(code);
        sum += code;
      }
      store_u16(out + 260 + 2 * g, static_cast<uint16_t>(sum));
    }
  }
}

}  // namespace
}  // namespace voxquant
