// Encoders of the types with a table of values and of the ternary ones. Recipes: src/quantize/table-blocks.ts and
// ternary-blocks.ts.
#pragma once

#include "quantize_k.h"

namespace voxquant {
namespace {

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
