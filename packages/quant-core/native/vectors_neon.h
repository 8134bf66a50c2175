#pragma once
// The vector type of vector_kernels.h on AArch64's Advanced SIMD.
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "isa.h"

namespace voxquant {
namespace {

typedef float32x4_t F;
constexpr int W = 4;
constexpr int kVectors = 2;
constexpr int kTileOuts = 8;

inline F load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, F v) { vst1q_f32(p, v); }
inline F loadPart(const float* p, int n) {
  float values[4] = {0, 0, 0, 0};
  memcpy(values, p, sizeof(float) * (size_t)n);
  return vld1q_f32(values);
}
inline void storePart(float* p, F v, int n) {
  float values[4];
  vst1q_f32(values, v);
  memcpy(p, values, sizeof(float) * (size_t)n);
}
inline F splat(float x) { return vdupq_n_f32(x); }
inline F add(F a, F b) { return vaddq_f32(a, b); }
inline F sub(F a, F b) { return vsubq_f32(a, b); }
inline F mul(F a, F b) { return vmulq_f32(a, b); }
inline F div(F a, F b) { return vdivq_f32(a, b); }
inline F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
inline F larger(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F smaller(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline F magnitude(F a) { return vabsq_f32(a); }
inline F squareRoot(F a) { return vsqrtq_f32(a); }
inline F roundEven(F a) { return vrndnq_f32(a); }
inline F scaleByPower2(F a, F n) {
  return mul(a, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23)));
}
inline F zeroBelow(F x, float limit, F value) {
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(value), vcltq_f32(x, splat(limit))));
}
inline float sumLanes(F a) { return vaddvq_f32(a); }
inline void sumLanes4(const F* a, float* sums) { store(sums, vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3]))); }
inline float largestLane(F a) { return vmaxvq_f32(a); }
inline void largestLanes4(const F* a, float* largest) { store(largest, vpmaxq_f32(vpmaxq_f32(a[0], a[1]), vpmaxq_f32(a[2], a[3]))); }
inline float halfScalar(const uint8_t* p) {
  __fp16 h;
  memcpy(&h, p, 2);
  return (float)h;
}
inline F loadHalf(const uint8_t* p) {
  float16x4_t h;
  memcpy(&h, p, 8);
  return vcvt_f32_f16(h);
}
inline F loadBf16(const uint8_t* p) {
  uint16x4_t h;
  memcpy(&h, p, 8);
  return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

inline void transpose4(F* r) {
  const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
  r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

}  // namespace
}  // namespace voxquant
