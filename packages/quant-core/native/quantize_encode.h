// One encoder per block type: a row of float32 to blocks. Layouts: ggml src/ggml-common.h; recipes as in src/quantize.
#pragma once

#include "quantize_half.h"
#include "quantize_lanes.h"

namespace voxquant {
namespace {

constexpr int kBlock = 32;
constexpr int kSuperBlock = 256;

// ---- blocks of 32 ----

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

// ---- tables ----

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct Level {
  Lanes code;
  Lanes value;
};

// Nearest table entry, of two equally near the upper: half the distance is exact in float32 where it decides.
VQ_INLINE Level nearest_level(Lanes x) {
  Mask code = {};
  Lanes value = splat(kIq4Values[0]);
  for (int k = 1; k < 16; k++) {
    const float middle = 0.5f * static_cast<float>(kIq4Values[k - 1] + kIq4Values[k]);
    const Mask above = x >= middle;
    code -= above;
    value = above ? splat(kIq4Values[k]) : value;
  }
  return {__builtin_convertvector(code, Lanes), value};
}

constexpr int kIq4Attempts = 7;

VQ_INLINE Lanes search_iq4(const Lanes* x, const Lanes* weights) {
  const Lanes extreme = signed_extreme(x, kBlock);
  const Lanes first = -extreme / static_cast<float>(kIq4Values[0]);
  Lanes scale = {};
  Lanes best = {};
  for (int pass = 0; pass < 2 * kIq4Attempts + 2; pass++) {
    const Lanes inverse = pass == 0 ? splat(1) / first
                                    : splat(static_cast<float>(pass - 1 - kIq4Attempts + kIq4Values[0])) / extreme;
    Lanes sum_xl = {};
    Lanes sum_ll = {};
    for (int i = 0; i < kBlock; i++) {
      const Lanes level = nearest_level(inverse * x[i]).value;
      const Lanes weighted = weights[i] * level;
      sum_xl = sum_xl + weighted * x[i];
      sum_ll = sum_ll + weighted * level;
    }
    Mask better = sum_ll > 0;
    if (pass > 0) better &= sum_xl * sum_xl > best * sum_ll;
    const Lanes fitted = sum_xl / sum_ll;
    scale = better ? fitted : scale;
    best = better ? fitted * sum_xl : best;
  }
  return magnitude(extreme) < kGroupEpsilon ? splat(0) : scale;
}

VQ_INLINE void encode_iq4(const Lanes* x, Lanes inverse, int valid, uint8_t* codes) {
  Lanes lane_codes[kBlock];
  for (int i = 0; i < kBlock; i++) lane_codes[i] = nearest_level(inverse * x[i]).code;
  store_codes(lane_codes, kBlock, valid, 0, codes);
}

VQ_INLINE Lanes reciprocals(Lanes d) {
  Lanes inverse = {};
  for (int lane = 0; lane < kLanes; lane++) inverse[lane] = reciprocal(d[lane]);
  return inverse;
}

VQ_INLINE void encode_iq4_nl(const float* x, size_t length, const float* importance, uint8_t* out) {
  Lanes values[kBlock], weights[kBlock];
  uint8_t codes[kLanes * kBlock];
  for (size_t i = 0; i < length; i += kLanes * kBlock) {
    const size_t left = (length - i) / kBlock;
    const int valid = left < kLanes ? static_cast<int>(left) : kLanes;
    load_groups(x + i, kBlock, valid, values);
    if (importance != nullptr) {
      Lanes variance = {};
      for (int j = 0; j < kBlock; j++) variance = variance + values[j] * values[j];
      importance_weights(values, importance + i, kBlock, valid, variance * (2.0f / kBlock), weights);
    } else {
      for (int j = 0; j < kBlock; j++) weights[j] = values[j] * values[j];
    }
    const Lanes scale = search_iq4(values, weights);
    encode_iq4(values, reciprocals(scale), valid, codes);
    for (int lane = 0; lane < valid; lane++, out += 18) {
      store_u16(out, float_to_half(scale[lane]));
      pack_nibbles(codes + lane * kBlock, out + 2);
    }
  }
}

VQ_INLINE void encode_iq4_xs(const float* x, size_t length, const float* importance, uint8_t* out) {
  Lanes values[kBlock], weights[kBlock];
  uint8_t codes[kSuperBlock];
  for (size_t i = 0; i < length; i += kSuperBlock, x += kSuperBlock, out += 136) {
    load_groups(x, kBlock, kLanes, values);
    if (importance != nullptr) {
      const Lanes variance = splat(sum_of_squares(x, kSuperBlock) * (2.0f / kSuperBlock));
      importance_weights(values, importance + i, kBlock, kLanes, variance, weights);
    } else {
      for (int j = 0; j < kBlock; j++) weights[j] = values[j] * values[j];
    }
    const Lanes scales = search_iq4(values, weights);
    float flat[kLanes];
    std::memcpy(flat, &scales, sizeof flat);
    const float d = -block_extreme(flat, kLanes) / 32.0f;
    const Lanes levels = nearest(reciprocal(d) * scales, -32, 31);
    encode_iq4(values, reciprocals(d * levels), kLanes, codes);
    store_u16(out, float_to_half(d));
    std::memset(out + 4, 0, 4);
    uint32_t upper = 0;
    for (int s = 0; s < kLanes; s++) {
      const uint32_t stored = static_cast<uint32_t>(static_cast<int>(levels[s]) + 32);
      out[4 + s / 2] |= static_cast<uint8_t>((stored & 15) << (4 * (s & 1)));
      upper |= (stored >> 4) << (2 * s);
      pack_nibbles(codes + s * kBlock, out + 8 + 16 * s);
    }
    store_u16(out + 2, static_cast<uint16_t>(upper));
  }
}

// 2^(e - 128), e = 0 and 1 being subnormal.
VQ_INLINE float mxfp4_scale(uint32_t e) { return float_of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23); }

VQ_INLINE void encode_mxfp4(const float* x, size_t length, uint8_t* out) {
  for (size_t i = 0; i < length; i += kBlock, x += kBlock, out += 17) {
    const float largest = block_magnitude(x, kBlock);
    int e = 0;
    if (largest != 0) {
      e = static_cast<int>(std::floor(static_cast<float>(std::log2(static_cast<double>(largest))))) + 125;
      if (e < 0) e = 0;
    }
    const float scale = mxfp4_scale(static_cast<uint32_t>(e));
    uint8_t codes[kBlock];
    for (int j = 0; j < kBlock; j += kLanes) {
      Lanes value;
      std::memcpy(&value, x + j, sizeof value);
      Lanes best_error = magnitude(value);
      Mask best = {};
      for (int code = 1; code < 16; code++) {
        const Lanes error = magnitude(static_cast<float>(kMxfp4Values[code]) * scale - value);
        const Mask better = error < best_error;
        best_error = better ? error : best_error;
        best = better ? Mask{} + code : best;
      }
      for (int lane = 0; lane < kLanes; lane++) codes[j + lane] = static_cast<uint8_t>(best[lane]);
    }
    out[0] = static_cast<uint8_t>(e);
    pack_nibbles(codes, out + 1);
  }
}

// ---- ternary ----

VQ_INLINE float ternary_codes(const float* x, uint8_t* codes) {
  const float d = block_magnitude(x, kSuperBlock);
  const float inverse = reciprocal(d);
  for (int i = 0; i < kSuperBlock; i += kLanes) {
    Lanes v;
    std::memcpy(&v, x + i, sizeof v);
    const Mask code = round_half_away(v * inverse) + 1;
    for (int lane = 0; lane < kLanes; lane++) codes[i + lane] = static_cast<uint8_t>(code[lane]);
  }
  return d;
}

VQ_INLINE void encode_tq2_0(const float* x, size_t length, uint8_t* out) {
  uint8_t codes[kSuperBlock];
  for (size_t i = 0; i < length; i += kSuperBlock, out += 66) {
    const float d = ternary_codes(x + i, codes);
    pack_pairs(codes, 3, out);
    store_u16(out + 64, float_to_half(d));
  }
}

struct TernaryRun {
  int first, count, digits, element;
};
constexpr TernaryRun kTernaryRuns[3] = {{0, 32, 5, 0}, {32, 16, 5, 160}, {48, 4, 4, 240}};

VQ_INLINE void encode_tq1_0(const float* x, size_t length, uint8_t* out) {
  uint8_t codes[kSuperBlock];
  for (size_t i = 0; i < length; i += kSuperBlock, out += 54) {
    const float d = ternary_codes(x + i, codes);
    for (const TernaryRun& run : kTernaryRuns) {
      for (int m = 0; m < run.count; m++) {
        int value = 0;
        for (int n = 0; n < 5; n++) value = 3 * value + (n < run.digits ? codes[run.element + m + n * run.count] : 0);
        out[run.first + m] = static_cast<uint8_t>((value * 256 + 242) / 243);
      }
    }
    store_u16(out + 52, float_to_half(d));
  }
}

}  // namespace
}  // namespace voxquant
