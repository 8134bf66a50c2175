#pragma once
// Unpacking of every type in plain C++, compiled once per set of flags inside an anonymous namespace.
// Layouts: ggml's block structs (src/ggml-common.h); values: its dequantize_row_* (src/ggml-quants.c).
#include <math.h>
#include <string.h>

#include "types.h"

namespace voxquant {
namespace {

inline float halfToFloat(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
#if defined(__F16C__)
  return _cvtsh_ss(h);
#else
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff, bits;
  if (exponent == 31) bits = sign | 0x7f800000 | mantissa << 13;
  else if (exponent != 0) bits = sign | (exponent + 112) << 23 | mantissa << 13;
  else {
    float value = (float)mantissa * 0x1p-24f;
    memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float value;
  memcpy(&value, &bits, 4);
  return value;
#endif
}

inline float bf16ToFloat(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  uint32_t bits = (uint32_t)h << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

// 32 nibbles of 16 bytes: element j low, element j + 16 high.
inline void nibbles(const uint8_t* qs, int offset, int8_t* codes) {
  for (int j = 0; j < 16; j++) {
    codes[j] = (int8_t)((qs[j] & 15) - offset);
    codes[j + 16] = (int8_t)((qs[j] >> 4) - offset);
  }
}

inline void nibbles5(const uint8_t* qs, const uint8_t* qh, int offset, int8_t* codes) {
  uint32_t high;
  memcpy(&high, qh, 4);
  for (int j = 0; j < 16; j++) {
    codes[j] = (int8_t)(((qs[j] & 15) | (high >> j & 1) << 4) - offset);
    codes[j + 16] = (int8_t)((qs[j] >> 4 | (high >> (j + 16) & 1) << 4) - offset);
  }
}

const int8_t kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t kFp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

inline void tableNibbles(const uint8_t* qs, const int8_t* table, int8_t* codes) {
  for (int j = 0; j < 16; j++) {
    codes[j] = table[qs[j] & 15];
    codes[j + 16] = table[qs[j] >> 4];
  }
}

// The 6-bit scales and mins of Q4_K and Q5_K.
inline void scaleMin(const uint8_t* b, int s, int* scale, int* min) {
  if (s < 4) {
    *scale = b[s] & 63;
    *min = b[s + 4] & 63;
  } else {
    *scale = (b[s + 4] & 15) | b[s - 4] >> 6 << 4;
    *min = b[s + 4] >> 4 | b[s] >> 6 << 4;
  }
}

inline void unpackQ2K(const uint8_t* p, int8_t* codes, float* scales, float* shifts) {
  float d = halfToFloat(p + 80), dmin = halfToFloat(p + 82);
  for (int g = 0; g < 16; g++) {
    scales[g] = d * (float)(p[g] & 15);
    shifts[g] = -(dmin * (float)(p[g] >> 4));
  }
  const uint8_t* qs = p + 16;
  for (int h = 0; h < 2; h++)
    for (int k = 0; k < 4; k++)
      for (int l = 0; l < 32; l++) codes[128 * h + 32 * k + l] = (int8_t)(qs[32 * h + l] >> 2 * k & 3);
}

inline void unpackQ3K(const uint8_t* p, int8_t* codes, float* scales) {
  const uint8_t *hmask = p, *qs = p + 32, *packed = p + 96;
  float d = halfToFloat(p + 108);
  for (int j = 0; j < 16; j++) {
    int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
    int scale = low | (packed[8 + j % 4] >> 2 * (j >> 2) & 3) << 4;
    scales[j] = d * (float)(scale - 32);
  }
  for (int h = 0; h < 2; h++)
    for (int k = 0; k < 4; k++)
      for (int l = 0; l < 32; l++) {
        int high = hmask[l] >> (4 * h + k) & 1;
        codes[128 * h + 32 * k + l] = (int8_t)((qs[32 * h + l] >> 2 * k & 3) + 4 * high - 4);
      }
}

inline void unpackQ45K(const uint8_t* p, bool five, int8_t* codes, float* scales, float* shifts) {
  float d = halfToFloat(p), dmin = halfToFloat(p + 2);
  for (int s = 0; s < 8; s++) {
    int scale, min;
    scaleMin(p + 4, s, &scale, &min);
    scales[s] = d * (float)scale;
    shifts[s] = -(dmin * (float)min);
  }
  const uint8_t *qh = p + 16, *qs = p + (five ? 48 : 16);
  for (int g = 0; g < 4; g++)
    for (int l = 0; l < 32; l++) {
      int low = qs[32 * g + l] & 15, high = qs[32 * g + l] >> 4;
      if (five) {
        low |= (qh[l] >> 2 * g & 1) << 4;
        high |= (qh[l] >> (2 * g + 1) & 1) << 4;
      }
      codes[64 * g + l] = (int8_t)low;
      codes[64 * g + 32 + l] = (int8_t)high;
    }
}

inline void unpackQ6K(const uint8_t* p, int8_t* codes, float* scales) {
  const uint8_t *ql = p, *qh = p + 128;
  float d = halfToFloat(p + 208);
  for (int g = 0; g < 16; g++) scales[g] = d * (float)(int8_t)p[192 + g];
  for (int h = 0; h < 2; h++)
    for (int l = 0; l < 32; l++) {
      const uint8_t a = ql[64 * h + l], b = ql[64 * h + 32 + l], c = qh[32 * h + l];
      int8_t* out = codes + 128 * h + l;
      out[0] = (int8_t)((a & 15) + ((c & 3) << 4) - 32);
      out[32] = (int8_t)((b & 15) + ((c >> 2 & 3) << 4) - 32);
      out[64] = (int8_t)((a >> 4) + ((c >> 4 & 3) << 4) - 32);
      out[96] = (int8_t)((b >> 4) + ((c >> 6) << 4) - 32);
    }
}

inline void unpackIq4Xs(const uint8_t* p, int8_t* codes, float* scales) {
  float d = halfToFloat(p);
  int high = p[2] | p[3] << 8;
  for (int b = 0; b < 8; b++) {
    int scale = (p[4 + (b >> 1)] >> 4 * (b & 1) & 15) | (high >> 2 * b & 3) << 4;
    scales[b] = d * (float)(scale - 32);
    tableNibbles(p + 8 + 16 * b, kIq4, codes + 32 * b);
  }
}

inline void unpackTq1(const uint8_t* p, int8_t* codes, float* scales) {
  static const uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  for (int g = 0; g < 8; g++) scales[g] = halfToFloat(p + 52);
  for (int n = 0; n < 5; n++)
    for (int m = 0; m < 32; m++) codes[m + 32 * n] = (int8_t)(((uint8_t)(p[m] * kPowers[n]) * 3 >> 8) - 1);
  for (int n = 0; n < 5; n++)
    for (int m = 0; m < 16; m++) codes[160 + m + 16 * n] = (int8_t)(((uint8_t)(p[32 + m] * kPowers[n]) * 3 >> 8) - 1);
  for (int n = 0; n < 4; n++)
    for (int m = 0; m < 4; m++) codes[240 + m + 4 * n] = (int8_t)(((uint8_t)(p[48 + m] * kPowers[n]) * 3 >> 8) - 1);
}

inline void unpackTq2(const uint8_t* p, int8_t* codes, float* scales) {
  for (int g = 0; g < 8; g++) scales[g] = halfToFloat(p + 64);
  for (int h = 0; h < 2; h++)
    for (int k = 0; k < 4; k++)
      for (int l = 0; l < 32; l++) codes[128 * h + 32 * k + l] = (int8_t)((p[32 * h + l] >> 2 * k & 3) - 1);
}

void unpackRow(int32_t dtype, const uint8_t* p, int64_t n, int8_t* codes, float* scales, float* shifts) {
  switch (dtype) {
    case Q4_0:
      for (int64_t b = 0; b < n / 32; b++, p += 18, codes += 32) {
        scales[b] = halfToFloat(p);
        nibbles(p + 2, 8, codes);
      }
      break;
    case Q4_1:
      for (int64_t b = 0; b < n / 32; b++, p += 20, codes += 32) {
        scales[b] = halfToFloat(p);
        shifts[b] = halfToFloat(p + 2);
        nibbles(p + 4, 0, codes);
      }
      break;
    case Q5_0:
      for (int64_t b = 0; b < n / 32; b++, p += 22, codes += 32) {
        scales[b] = halfToFloat(p);
        nibbles5(p + 6, p + 2, 16, codes);
      }
      break;
    case Q5_1:
      for (int64_t b = 0; b < n / 32; b++, p += 24, codes += 32) {
        scales[b] = halfToFloat(p);
        shifts[b] = halfToFloat(p + 2);
        nibbles5(p + 8, p + 4, 0, codes);
      }
      break;
    case Q8_0:
      for (int64_t b = 0; b < n / 32; b++, p += 34, codes += 32) {
        scales[b] = halfToFloat(p);
        memcpy(codes, p + 2, 32);
      }
      break;
    case IQ4_NL:
      for (int64_t b = 0; b < n / 32; b++, p += 18, codes += 32) {
        scales[b] = halfToFloat(p);
        tableNibbles(p + 2, kIq4, codes);
      }
      break;
    case MXFP4:
      for (int64_t b = 0; b < n / 32; b++, p += 17, codes += 32) {
        scales[b] = ldexpf(1.0f, (int)p[0] - 128);
        tableNibbles(p + 1, kFp4, codes);
      }
      break;
    case Q2_K:
      for (int64_t b = 0; b < n / 256; b++, p += 84) unpackQ2K(p, codes + 256 * b, scales + 16 * b, shifts + 16 * b);
      break;
    case Q3_K:
      for (int64_t b = 0; b < n / 256; b++, p += 110) unpackQ3K(p, codes + 256 * b, scales + 16 * b);
      break;
    case Q4_K:
      for (int64_t b = 0; b < n / 256; b++, p += 144) unpackQ45K(p, false, codes + 256 * b, scales + 8 * b, shifts + 8 * b);
      break;
    case Q5_K:
      for (int64_t b = 0; b < n / 256; b++, p += 176) unpackQ45K(p, true, codes + 256 * b, scales + 8 * b, shifts + 8 * b);
      break;
    case Q6_K:
      for (int64_t b = 0; b < n / 256; b++, p += 210) unpackQ6K(p, codes + 256 * b, scales + 16 * b);
      break;
    case IQ4_XS:
      for (int64_t b = 0; b < n / 256; b++, p += 136) unpackIq4Xs(p, codes + 256 * b, scales + 8 * b);
      break;
    case TQ1_0:
      for (int64_t b = 0; b < n / 256; b++, p += 54) unpackTq1(p, codes + 256 * b, scales + 8 * b);
      break;
    case TQ2_0:
      for (int64_t b = 0; b < n / 256; b++, p += 66) unpackTq2(p, codes + 256 * b, scales + 8 * b);
      break;
  }
}

// Values in ggml's order of roundings: scale * code, then + shift, never contracted.
#if defined(__clang__)
#pragma clang fp contract(off)
#endif
void dequantizeRow(int32_t dtype, const uint8_t* p, int64_t n, float* out) {
  if (dtype == F32) {
    memcpy(out, p, (size_t)n * 4);
    return;
  }
  if (dtype == F16) {
    for (int64_t i = 0; i < n; i++) out[i] = halfToFloat(p + 2 * i);
    return;
  }
  if (dtype == BF16) {
    for (int64_t i = 0; i < n; i++) out[i] = bf16ToFloat(p + 2 * i);
    return;
  }
  const TypeTraits* traits = traitsOf(dtype);
  const int group = traits->group;
  int8_t codes[256];
  float scales[16], shifts[16];
  for (int64_t start = 0; start < n; start += 256) {
    const int count = n - start < 256 ? (int)(n - start) : 256;
    unpackRow(dtype, p + start / traits->block * traits->bytes, count, codes, scales, shifts);
    for (int g = 0; g < count / group; g++) {
      const int8_t* c = codes + g * group;
      float* o = out + start + g * group;
      const float scale = scales[g], shift = shifts[g];
      if (traits->shifted)
        for (int j = 0; j < group; j++) o[j] = scale * (float)c[j] + shift;
      else
        for (int j = 0; j < group; j++) o[j] = scale * (float)c[j];
    }
  }
}

}  // namespace
}  // namespace voxquant
