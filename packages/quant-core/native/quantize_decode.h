// One decoder per block type, each value with the float32 roundings that src/quantize documents.
#pragma once

#include "quantize_tables.h"

namespace voxquant {
namespace {

VQ_INLINE void decode_symmetric(const uint8_t* in, size_t count, int limit, float* out) {
  const bool fifth = limit == 16;
  const int at = fifth ? 6 : 2;
  for (size_t i = 0; i < count; i += kBlock, in += at + 16, out += kBlock) {
    const float d = half_to_float(load_u16(in));
    uint32_t high = 0;
    if (fifth) std::memcpy(&high, in + 2, 4);
    for (int j = 0; j < 16; j++) {
      out[j] = d * static_cast<float>(static_cast<int>((in[at + j] & 15) | (((high >> j) & 1) << 4)) - limit);
      out[j + 16] = d * static_cast<float>(static_cast<int>((in[at + j] >> 4) | (((high >> (j + 16)) & 1) << 4)) - limit);
    }
  }
}

VQ_INLINE void decode_affine(const uint8_t* in, size_t count, bool fifth, float* out) {
  const int at = fifth ? 8 : 4;
  for (size_t i = 0; i < count; i += kBlock, in += at + 16, out += kBlock) {
    const float d = half_to_float(load_u16(in));
    const float minimum = half_to_float(load_u16(in + 2));
    uint32_t high = 0;
    if (fifth) std::memcpy(&high, in + 4, 4);
    for (int j = 0; j < 16; j++) {
      out[j] = d * static_cast<float>((in[at + j] & 15) | (((high >> j) & 1) << 4)) + minimum;
      out[j + 16] = d * static_cast<float>((in[at + j] >> 4) | (((high >> (j + 16)) & 1) << 4)) + minimum;
    }
  }
}

VQ_INLINE void decode_q8(const uint8_t* in, size_t count, int codes_at, float* out) {
  for (size_t i = 0; i < count; i += kBlock, in += codes_at + kBlock, out += kBlock) {
    const float d = half_to_float(load_u16(in));
    for (int j = 0; j < kBlock; j++) out[j] = d * static_cast<float>(static_cast<int8_t>(in[codes_at + j]));
  }
}

VQ_INLINE void decode_q2_k(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 84) {
    const float d = half_to_float(load_u16(in + 80));
    const float dmin = half_to_float(load_u16(in + 82));
    for (int g = 0; g < 16; g++, out += 16) {
      const float scale = d * static_cast<float>(in[g] & 15);
      const float minimum = dmin * static_cast<float>(in[g] >> 4);
      const uint8_t* q = in + 16 + 32 * (g >> 3) + 16 * (g & 1);
      const int shift = 2 * ((g >> 1) & 3);
      for (int l = 0; l < 16; l++) out[l] = scale * static_cast<float>((q[l] >> shift) & 3) - minimum;
    }
  }
}

VQ_INLINE void decode_q3_k(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 110) {
    const float d = half_to_float(load_u16(in + 108));
    for (int g = 0; g < 16; g++, out += 16) {
      const int low = g < 8 ? in[96 + g] & 15 : in[88 + g] >> 4;
      const int high = (in[104 + (g & 3)] >> (2 * (g >> 2))) & 3;
      const float scale = d * static_cast<float>((low | (high << 4)) - 32);
      const uint8_t* q = in + 32 + 32 * (g >> 3) + 16 * (g & 1);
      const uint8_t* masks = in + 16 * (g & 1);
      const int shift = 2 * ((g >> 1) & 3);
      for (int l = 0; l < 16; l++) {
        const int code = ((q[l] >> shift) & 3) - (((masks[l] >> (g >> 1)) & 1) == 0 ? 4 : 0);
        out[l] = scale * static_cast<float>(code);
      }
    }
  }
}

VQ_INLINE void decode_nibble_k(const uint8_t* in, size_t count, bool fifth, float* out) {
  const int at = fifth ? 48 : 16;
  for (size_t i = 0; i < count; i += kSuperBlock, in += at + 128) {
    const float d = half_to_float(load_u16(in));
    const float dmin = half_to_float(load_u16(in + 2));
    const uint8_t* b = in + 4;
    for (int s = 0; s < 8; s++, out += 32) {
      const int sc = s < 4 ? b[s] & 63 : (b[s + 4] & 15) | ((b[s - 4] >> 6) << 4);
      const int mn = s < 4 ? b[s + 4] & 63 : (b[s + 4] >> 4) | ((b[s] >> 6) << 4);
      const float scale = d * static_cast<float>(sc);
      const float minimum = dmin * static_cast<float>(mn);
      const uint8_t* q = in + at + 32 * (s >> 1);
      const int shift = 4 * (s & 1);
      for (int l = 0; l < 32; l++) {
        int code = (q[l] >> shift) & 15;
        if (fifth) code |= ((in[16 + l] >> s) & 1) << 4;
        out[l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

VQ_INLINE void decode_q6_k(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 210) {
    const float d = half_to_float(load_u16(in + 208));
    for (int g = 0; g < 16; g++, out += 16) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(in[192 + g]));
      const int quarter = (g >> 1) & 3;
      const uint8_t* low = in + 64 * (g >> 3) + 32 * (quarter & 1) + 16 * (g & 1);
      const uint8_t* high = in + 128 + 32 * (g >> 3) + 16 * (g & 1);
      for (int l = 0; l < 16; l++) {
        const int code = ((low[l] >> (4 * (quarter >> 1))) & 15) | (((high[l] >> (2 * quarter)) & 3) << 4);
        out[l] = scale * static_cast<float>(code - 32);
      }
    }
  }
}

VQ_INLINE void decode_q8_k(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 292, out += kSuperBlock) {
    float d;
    std::memcpy(&d, in, 4);
    for (int e = 0; e < kSuperBlock; e++) out[e] = d * static_cast<float>(static_cast<int8_t>(in[4 + e]));
  }
}

VQ_INLINE void decode_table(const uint8_t* q, float scale, const int8_t* table, float* out) {
  for (int j = 0; j < 16; j++) {
    out[j] = scale * static_cast<float>(table[q[j] & 15]);
    out[j + 16] = scale * static_cast<float>(table[q[j] >> 4]);
  }
}

VQ_INLINE void decode_iq4_xs(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 136) {
    const float d = half_to_float(load_u16(in));
    const uint32_t upper = load_u16(in + 2);
    for (int s = 0; s < 8; s++, out += kBlock) {
      const uint32_t stored = ((in[4 + s / 2] >> (4 * (s & 1))) & 15) | (((upper >> (2 * s)) & 3) << 4);
      decode_table(in + 8 + 16 * s, d * static_cast<float>(static_cast<int>(stored) - 32), kIq4Values, out);
    }
  }
}

VQ_INLINE void decode_tq2_0(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 66, out += kSuperBlock) {
    const float d = half_to_float(load_u16(in + 64));
    for (int e = 0; e < kSuperBlock; e++) {
      const int code = (in[32 * (e >> 7) + (e & 31)] >> (2 * ((e & 127) >> 5))) & 3;
      out[e] = d * static_cast<float>(code - 1);
    }
  }
}

VQ_INLINE void decode_tq1_0(const uint8_t* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kSuperBlock, in += 54, out += kSuperBlock) {
    const float d = half_to_float(load_u16(in + 52));
    for (const TernaryRun& run : kTernaryRuns) {
      uint32_t power = 1;
      for (int n = 0; n < run.digits; n++, power *= 3) {
        for (int m = 0; m < run.count; m++) {
          const uint32_t digit = (((in[run.first + m] * power) & 255) * 3) >> 8;
          out[run.element + n * run.count + m] = d * static_cast<float>(static_cast<int>(digit) - 1);
        }
      }
    }
  }
}

}  // namespace
}  // namespace voxquant
