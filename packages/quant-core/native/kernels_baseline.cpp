// Portable kernels: the compiler's own vectors of four floats. Every other instruction set is checked against these.
#include <math.h>

#include "isa.h"
#include "quantize_half.h"
#include "unpack.h"

namespace voxquant {
namespace {

typedef float F __attribute__((vector_size(16)));
typedef int32_t I __attribute__((vector_size(16)));
constexpr int W = 4;
constexpr int kVectors = 2;
constexpr int kTileOuts = 4;

inline F load(const float* p) {
  F v;
  memcpy(&v, p, 16);
  return v;
}
inline void store(float* p, F v) { memcpy(p, &v, 16); }
inline F loadPart(const float* p, int n) {
  F v = {0, 0, 0, 0};
  memcpy(&v, p, sizeof(float) * (size_t)n);
  return v;
}
inline void storePart(float* p, F v, int n) { memcpy(p, &v, sizeof(float) * (size_t)n); }
inline F splat(float x) { return F{x, x, x, x}; }
inline F add(F a, F b) { return a + b; }
inline F sub(F a, F b) { return a - b; }
inline F mul(F a, F b) { return a * b; }
inline F div(F a, F b) { return a / b; }
inline F fma(F a, F b, F c) { return a * b + c; }
inline F larger(F a, F b) { return a > b ? a : b; }
inline F smaller(F a, F b) { return a < b ? a : b; }
inline F magnitude(F a) { return (F)((I)a & 0x7fffffff); }
inline F roundEven(F a) {  // |a| < 2^22
  const F magic = splat(12582912.0f);
  return (a + magic) - magic;
}
inline F scaleByPower2(F a, F n) { return a * (F)((__builtin_convertvector(n, I) + 127) << 23); }
inline F zeroBelow(F x, float limit, F value) { return x < limit ? F{0, 0, 0, 0} : value; }
inline float sumLanes(F a) { return (a[0] + a[2]) + (a[1] + a[3]); }
inline void sumLanes4(const F* a, float* sums) {
  for (int i = 0; i < 4; i++) sums[i] = sumLanes(a[i]);
}
inline float largestLane(F a) {
  float x = a[0];
  for (int i = 1; i < 4; i++) x = a[i] > x ? a[i] : x;
  return x;
}
inline void largestLanes4(const F* a, float* largest) {
  for (int i = 0; i < 4; i++) largest[i] = largestLane(a[i]);
}
inline float halfScalar(const uint8_t* p) { return halfToFloat(p); }
inline F loadHalf(const uint8_t* p) { return F{halfToFloat(p), halfToFloat(p + 2), halfToFloat(p + 4), halfToFloat(p + 6)}; }
inline F loadBf16(const uint8_t* p) { return F{bf16ToFloat(p), bf16ToFloat(p + 2), bf16ToFloat(p + 4), bf16ToFloat(p + 6)}; }

// Of vector_int8_cache.h and vector_int8_attention.h.
struct KeyCodes {
  int8_t codes[4 * W];
};
struct ValuePairs {
  int8_t values[2 * W];
};
constexpr int kCodeOffset = 0;
inline I splatInt(int32_t x) { return I{x, x, x, x}; }
inline F toFloat(I a) { return __builtin_convertvector(a, F); }
inline KeyCodes loadCodes(const uint8_t* p) {
  KeyCodes k;
  for (int i = 0; i < 4 * W; i++) k.codes[i] = (int8_t)(p[i] - 128);
  return k;
}
inline ValuePairs loadPairs(const int8_t* p) {
  ValuePairs v;
  memcpy(v.values, p, sizeof v.values);
  return v;
}
inline I dotQuads(I sums, const KeyCodes& keys, int32_t quad) {
  int8_t q[4];
  memcpy(q, &quad, 4);
  const int8_t* k = keys.codes;
  for (int i = 0; i < W; i++, k += 4) sums[i] += k[0] * q[0] + k[1] * q[1] + k[2] * q[2] + k[3] * q[3];
  return sums;
}
inline I dotPairs(I sums, const ValuePairs& pairs, int32_t pair) {
  int16_t w[2];
  memcpy(w, &pair, 4);
  for (int i = 0; i < W; i++) sums[i] += pairs.values[2 * i] * w[0] + pairs.values[2 * i + 1] * w[1];
  return sums;
}
inline void storeInt8(int8_t* p, F v) {
  const F rounded = roundEven(v);
  for (int i = 0; i < W; i++) p[i] = rounded[i] >= -127.0f && rounded[i] <= 127.0f ? (int8_t)rounded[i] : 0;
}
inline void storeInt16(int16_t* p, F v) {
  const F rounded = roundEven(v);
  for (int i = 0; i < W; i++) p[i] = rounded[i] >= -32767.0f && rounded[i] <= 32767.0f ? (int16_t)rounded[i] : 0;
}
inline void storeWeights(int16_t* p, F a, F b) { storeInt16(p, mul(a, b)); }

}  // namespace
}  // namespace voxquant

#include "vector_attention.h"
#include "vector_conv2d.h"
#include "vector_int8_attention.h"

namespace voxquant {
namespace {

void gemvExact(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  gemvExactGeneric(w, begin, end, x, out, stride, scratch, dequantizeRow);
}

// Unpacks a row, then dots its codes with every activation row's.
void gemvFast(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  const int group = w.traits->group;
  int8_t* codes = (int8_t*)scratch;
  float* scales = (float*)(codes + x.padded);
  float* shifts = scales + x.padded / 16;
  const float* sums = group == 16 ? x.sums16 : x.sums32;
  const int64_t groups = x.n / group, padded = x.padded / group;
  for (int64_t o = begin; o < end; o++) {
    unpackRow(w.dtype, w.row(o), x.n, codes, scales, shifts);
    for (int r = 0; r < x.rows; r++) {
      const int8_t* q = x.q + r * x.padded;
      const float* d = x.d + r * (x.padded / 32);
      float total = 0.0f;
      for (int64_t g = 0; g < groups; g++) {
        int32_t dot = 0;
        for (int j = 0; j < group; j++) dot += codes[g * group + j] * q[g * group + j];
        total += scales[g] * d[g * group / 32] * (float)dot;
        if (w.traits->shifted) total += shifts[g] * sums[r * padded + g];
      }
      out[r * stride + o - begin] = total;
    }
  }
}

void quantizeRow(const float* x, int64_t n, int64_t padded, int8_t* q, float* d, int32_t* quads, float* sums16, float* sums32) {
  for (int64_t b = 0; b < padded / 32; b++) {
    float largest = 0.0f;
    if (32 * b < n)
      for (int j = 0; j < 32; j++) {
        const float a = fabsf(x[32 * b + j]);
        largest = a > largest || a != a ? a : largest;
      }
    const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
    d[b] = largest > 1e-30f ? largest / 127.0f : largest != largest ? largest : 0.0f;
    int32_t total[8];
    for (int j = 0; j < 8; j++) {
      total[j] = 0;
      for (int i = 0; i < 4; i++) {
        const float v = 32 * b < n ? x[32 * b + 4 * j + i] * inverse : 0.0f;
        const float rounded = (v + 12582912.0f) - 12582912.0f;
        const int8_t code = rounded >= -127.0f && rounded <= 127.0f ? (int8_t)rounded : 0;
        q[32 * b + 4 * j + i] = code;
        total[j] += code;
      }
      quads[8 * b + j] = total[j];
    }
    const int32_t low = total[0] + total[1] + total[2] + total[3], high = total[4] + total[5] + total[6] + total[7];
    sums16[2 * b] = d[b] * (float)low;
    sums16[2 * b + 1] = d[b] * (float)high;
    sums32[b] = d[b] * (float)(low + high);
  }
}

void packF32(const float* x, int64_t stride, int rows, int64_t k, float* a) {
  for (int64_t i = 0; i < k; i++)
    for (int r = 0; r < kLanes; r++) a[i * kLanes + r] = r < rows ? x[r * stride + i] : 0.0f;
}

void storeTile(const float* c, int outs, int rows, const float* bias, int32_t act, float* out, int64_t stride) {
  for (int r = 0; r < rows; r++)
    for (int o = 0; o < outs; o++)
      out[r * stride + o] = activate(c[o * kLanes + r] + (bias ? bias[o] : 0.0f), act);
}

}  // namespace

const Isa* isaBaseline() {
  static const Isa table = {
      "baseline",   kLanes, false, unpackRow,      dequantizeRow,  gemvExact,         gemvFast,        quantizeRow,
      packF32,      tileF32Kernel, nullptr,        nullptr,         nullptr,
      storeTile,    addKernel,     siluMulKernel,  geluKernel,     siluKernel,        rmsNormKernel,   layerNormKernel,
      normRopeKernel, softmaxTileKernel, scaleTileKernel, attendTokenKernel, storeKeysKernel, storeValuesKernel, attendInt8Kernel,
      snakeKernel,  addScaledKernel, coarseGeluKernel, fewInputsKernel, nullptr, false,
  };
  return &table;
}

}  // namespace voxquant
