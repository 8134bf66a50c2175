#pragma once
// The kernels of the AArch64 levels. The including file defines, in an anonymous namespace before this, struct Dot:
//   int32x4_t Dot::add(int32x4_t sums, int8x16_t w, int8x16_t q)   sums of products in any lane; q is never -128
//   Dot::kQuads    lane i sums bytes 4i … 4i+3 (what the int8 GEMM needs)
//   Dot::kPairs    there is Dot::square: two weight rows by two activation rows, eight products each
#include "codes_neon.h"
#include "unpack.h"
#include "vector_attention.h"
#include "vector_conv2d.h"

namespace voxquant {
namespace {

// Of vector_int8_cache.h and vector_int8_attention.h.
typedef int32x4_t I;
typedef int8x16_t KeyCodes;
typedef int16x8_t ValuePairs;
constexpr int kCodeOffset = 0;
inline I splatInt(int32_t x) { return vdupq_n_s32(x); }
inline F toFloat(I a) { return vcvtq_f32_s32(a); }
inline KeyCodes loadCodes(const uint8_t* p) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80))); }
inline ValuePairs loadPairs(const int8_t* p) { return vmovl_s8(vld1_s8(p)); }
inline I dotQuads(I sums, KeyCodes codes, int32_t quad) {
  const int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(quad));
  if (Dot::kQuads) return Dot::add(sums, codes, q);
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(codes), vget_low_s8(q)));
  const int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(codes), vget_high_s8(q)));
  return vaddq_s32(sums, vpaddq_s32(low, high));
}
inline I dotPairs(I sums, ValuePairs pairs, int32_t pair) {
  const int16x4_t weights = vreinterpret_s16_s32(vdup_n_s32(pair));
  return vaddq_s32(sums, vpaddq_s32(vmull_s16(vget_low_s16(pairs), weights), vmull_s16(vget_high_s16(pairs), weights)));
}
inline void storeInt8(int8_t* p, F v) {
  const int16x4_t narrow = vqmovn_s32(vcvtnq_s32_f32(v));
  const int8x8_t codes = vqmovn_s16(vcombine_s16(narrow, narrow));
  memcpy(p, &codes, 4);
}
inline void storeInt16(int16_t* p, F v) { vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(v))); }
inline void storeWeights(int16_t* p, F a, F b) { storeInt16(p, mul(a, b)); }

}  // namespace
}  // namespace voxquant

#include "vector_int8_attention.h"

namespace voxquant {
namespace {

// ---- unpacking ----

template <class Q>
void unpackBlocks(const uint8_t* p, int64_t n, int8_t* codes, float* scales, float* shifts) {
  constexpr int kScales = Q::kFine ? 16 : Q::kSteps;
  Header h;
  for (int64_t unit = 0; unit < n / (32 * Q::kSteps); unit++, p += Q::kBytes) {
    Q::header(p, &h);
    memcpy(scales + unit * kScales, h.scales, kScales * sizeof(float));
    if (Q::kShifts) memcpy(shifts + unit * kScales, h.shifts, kScales * sizeof(float));
    for (int j = 0; j < Q::kSteps; j++) {
      const Codes c = Q::codes(p, j);
      vst1q_s8(codes + (unit * Q::kSteps + j) * 32, c.low);
      vst1q_s8(codes + (unit * Q::kSteps + j) * 32 + 16, c.high);
    }
  }
}

inline void toFloats(int8x16_t codes, F* out) {
  const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_s8(vget_high_s8(codes));
  out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  out[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
  out[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  out[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
}

// scale * code (+ shift), each rounded once, in ggml's order.
template <class Q>
void dequantizeBlocks(const uint8_t* p, int64_t n, float* out) {
  Header h;
  for (int64_t unit = 0; unit < n / (32 * Q::kSteps); unit++, p += Q::kBytes) {
    Q::header(p, &h);
    for (int j = 0; j < Q::kSteps; j++) {
      const Codes codes = Q::codes(p, j);
      for (int half = 0; half < 2; half++, out += 16) {
        const int group = Q::kFine ? 2 * j + half : j;
        F values[4];
        toFloats(half ? codes.high : codes.low, values);
        for (int i = 0; i < 4; i++) {
          F value = mul(splat(h.scales[group]), values[i]);
          if (Q::kShifts) value = add(value, splat(h.shifts[group]));
          store(out + 4 * i, value);
        }
      }
    }
  }
}

void dequantizeDense(int32_t dtype, const uint8_t* p, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, dtype == F16 ? loadHalf(p + 2 * i) : loadBf16(p + 2 * i));
  for (; i < n; i++) out[i] = dtype == F16 ? halfScalar(p + 2 * i) : bf16ToFloat(p + 2 * i);
}

// One case per type whose blocks have codes above.
#define VOXQUANT_FOR_CODES(dtype, act)                          \
  switch (dtype) {                                              \
    case Q4_0: act(CodesQ4_0); break;                           \
    case Q4_1: act(CodesQ4_1); break;                           \
    case Q5_0: act(CodesQ5_0); break;                           \
    case Q5_1: act(CodesQ5_1); break;                           \
    case Q8_0: act(CodesQ8_0); break;                           \
    case IQ4_NL: act(CodesIq4Nl); break;                        \
    case IQ4_XS: act(CodesIq4Xs); break;                        \
    case Q2_K: act(CodesQ2_K); break;                           \
    case Q3_K: act(CodesQ3_K); break;                           \
    case Q4_K: act(CodesQ4_K); break;                           \
    case Q5_K: act(CodesQ5_K); break;                           \
    case Q6_K: act(CodesQ6_K); break;                           \
    default: break;                                             \
  }

void unpackNeon(int32_t dtype, const uint8_t* src, int64_t n, int8_t* codes, float* scales, float* shifts) {
#define VOXQUANT_UNPACK(Q) return unpackBlocks<Q>(src, n, codes, scales, shifts)
  VOXQUANT_FOR_CODES(dtype, VOXQUANT_UNPACK)
#undef VOXQUANT_UNPACK
  unpackRow(dtype, src, n, codes, scales, shifts);
}

void dequantizeNeon(int32_t dtype, const uint8_t* src, int64_t n, float* out) {
  if (dtype == F16 || dtype == BF16) return dequantizeDense(dtype, src, n, out);
#define VOXQUANT_DEQUANTIZE(Q) return dequantizeBlocks<Q>(src, n, out)
  VOXQUANT_FOR_CODES(dtype, VOXQUANT_DEQUANTIZE)
#undef VOXQUANT_DEQUANTIZE
  dequantizeRow(dtype, src, n, out);
}

// ---- matrix x vectors ----

// Shifts times sums of x; sums has one row per activation row.
template <class Q>
inline float shiftTerm(const Header& h, const GemvInput& x, int64_t unit, int row) {
  const float* sums = Q::kFine ? x.sums16 + row * (x.padded / 16) + unit * 16 : x.sums32 + row * (x.padded / 32) + unit * Q::kShifts;
  if (Q::kShifts == 1) return h.shifts[0] * sums[0];
  F acc = zero();
  for (int i = 0; i < Q::kShifts; i += 4) acc = fma(load(h.shifts + i), load(sums + i), acc);
  return sumLanes(acc);
}

// Integer sums times scale onto acc. Levels with Dot::square do that with whole sums, lane by lane, as dotSquare does: a
// row's result must not depend on the rows beside it.
inline F accumulate(F acc, int32x4_t sums, float scale) {
  if (Dot::kPairs) return vfmaq_n_f32(acc, F{(float)vaddvq_s32(sums), 0.0f, 0.0f, 0.0f}, scale);
  return vfmaq_n_f32(acc, vcvtq_f32_s32(sums), scale);
}

template <class Q, int R>
inline void fastUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc, float* shifts) {
  Header h;
  Q::header(p, &h);
#pragma GCC unroll 8
  for (int j = 0; j < Q::kSteps; j++) {
    const Codes w = Q::codes(p, j);
    const int64_t step = unit * Q::kSteps + j;
    for (int r = 0; r < R; r++) {
      const int8_t* q = x.q + (r0 + r) * x.padded + step * 32;
      const float d = x.d[(r0 + r) * (x.padded / 32) + step];
      const int32x4_t first = Dot::add(vdupq_n_s32(0), w.low, vld1q_s8(q));
      if (Q::kFine) {
        acc[r] = accumulate(acc[r], first, h.scales[2 * j] * d);
        acc[r] = accumulate(acc[r], Dot::add(vdupq_n_s32(0), w.high, vld1q_s8(q + 16)), h.scales[2 * j + 1] * d);
      } else {
        acc[r] = accumulate(acc[r], Dot::add(first, w.high, vld1q_s8(q + 16)), h.scales[j] * d);
      }
    }
  }
  if (Q::kShifts > 0)
    for (int r = 0; r < R; r++) shifts[r] += shiftTerm<Q>(h, x, unit, r0 + r);
}

template <class Q, int R>
inline void exactUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc, float* shifts) {
  Header h;
  Q::header(p, &h);
#pragma GCC unroll 8
  for (int j = 0; j < Q::kSteps; j++) {
    const Codes codes = Q::codes(p, j);
    F w[8];
    toFloats(codes.low, w);
    toFloats(codes.high, w + 4);
    for (int i = 0; i < 8; i++) w[i] = mul(w[i], splat(h.scales[Q::kFine ? 2 * j + i / 4 : j]));
    for (int r = 0; r < R; r++) {
      const float* row = x.x + (r0 + r) * x.n + (unit * Q::kSteps + j) * 32;
      F a = mul(w[0], load(row)), b = mul(w[1], load(row + 4));
      for (int i = 2; i < 8; i += 2) {
        a = fma(w[i], load(row + 4 * i), a);
        b = fma(w[i + 1], load(row + 4 * i + 4), b);
      }
      acc[r] = add(acc[r], add(a, b));
    }
  }
  if (Q::kShifts > 0)
    for (int r = 0; r < R; r++) shifts[r] += shiftTerm<Q>(h, x, unit, r0 + r);
}

constexpr int64_t kAhead = 4096;  // bytes that the prefetch runs ahead

template <class Q, int R, bool Fast>
inline void dotRow(const uint8_t* p, const GemvInput& x, int r0, float* out, int64_t stride) {
  F acc[R];
  float shifts[R];
  for (int r = 0; r < R; r++) {
    acc[r] = zero();
    shifts[r] = 0.0f;
  }
  const int64_t units = x.n / (32 * Q::kSteps);
  for (int64_t u = 0; u < units; u++, p += Q::kBytes) {
    for (int line = 0; line < Q::kBytes; line += 64) __builtin_prefetch(p + kAhead + line, 0, 2);
    if (Fast) fastUnit<Q, R>(p, x, u, r0, acc, shifts);
    else exactUnit<Q, R>(p, x, u, r0, acc, shifts);
  }
  for (int r = 0; r < R; r++) out[r * stride] = sumLanes(acc[r]) + shifts[r];
}

// Two weight rows by two activation rows: lanes are (w0 x0, w0 x1, w1 x0, w1 x1).
template <class D, class Q>
inline void dotSquare(const uint8_t* p0, const uint8_t* p1, const GemvInput& x, int r0, float* out, int64_t stride) {
  F acc = zero();
  const int64_t units = x.n / (32 * Q::kSteps), groups = x.padded / 32;
  const int8_t *q0 = x.q + r0 * x.padded, *q1 = q0 + x.padded;
  const float *d0 = x.d + r0 * groups, *d1 = d0 + groups;
  float shifts[4] = {0, 0, 0, 0};
  for (int64_t u = 0; u < units; u++, p0 += Q::kBytes, p1 += Q::kBytes) {
    for (int line = 0; line < Q::kBytes; line += 64) {
      __builtin_prefetch(p0 + kAhead + line, 0, 2);
      __builtin_prefetch(p1 + kAhead + line, 0, 2);
    }
    Header h0, h1;
    Q::header(p0, &h0);
    Q::header(p1, &h1);
    for (int j = 0; j < Q::kSteps; j++) {
      const Codes a = Q::codes(p0, j), b = Q::codes(p1, j);
      const int64_t step = u * Q::kSteps + j;
      const float32x2_t both = {d0[step], d1[step]};
      int32x4_t dot = vdupq_n_s32(0);
      for (int half = 0; half < 2; half++) {
        const int8x16_t w0 = half ? a.high : a.low, w1 = half ? b.high : b.low;
        const int8x16_t x0 = vld1q_s8(q0 + step * 32 + 16 * half), x1 = vld1q_s8(q1 + step * 32 + 16 * half);
        dot = D::square(dot, w0, w1, x0, x1);
        if (!Q::kFine && half == 0) continue;
        const int group = Q::kFine ? 2 * j + half : j;
        const F scale = vcombine_f32(vmul_n_f32(both, h0.scales[group]), vmul_n_f32(both, h1.scales[group]));
        acc = fma(vcvtq_f32_s32(dot), scale, acc);
        dot = vdupq_n_s32(0);
      }
    }
    if (Q::kShifts > 0)
      for (int r = 0; r < 2; r++) {
        shifts[r] += shiftTerm<Q>(h0, x, u, r0 + r);
        shifts[2 + r] += shiftTerm<Q>(h1, x, u, r0 + r);
      }
  }
  float sums[4];
  store(sums, add(acc, load(shifts)));
  out[0] = sums[0];
  out[stride] = sums[1];
  out[1] = sums[2];
  out[stride + 1] = sums[3];
}

template <class Q, bool Fast>
void gemvRows(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  int64_t o = begin;
  for (; o < end; o++) {
    const uint8_t* p = w.row(o);
    float* y = out + (o - begin);
    int r = 0;
    if constexpr (Fast && Dot::kPairs) {
      if (x.rows >= 2 && o + 2 <= end) {
        for (; r + 2 <= x.rows; r += 2) dotSquare<Dot, Q>(p, w.row(o + 1), x, r, y + r * stride, stride);
        if (r < x.rows) {
          dotRow<Q, 1, true>(p, x, r, y + r * stride, stride);
          dotRow<Q, 1, true>(w.row(o + 1), x, r, y + r * stride + 1, stride);
        }
        o++;
        continue;
      }
    }
    for (; r + 4 <= x.rows; r += 4) dotRow<Q, 4, Fast>(p, x, r, y + r * stride, stride);
    switch (x.rows - r) {
      case 1: dotRow<Q, 1, Fast>(p, x, r, y + r * stride, stride); break;
      case 2: dotRow<Q, 2, Fast>(p, x, r, y + r * stride, stride); break;
      case 3: dotRow<Q, 3, Fast>(p, x, r, y + r * stride, stride); break;
    }
  }
}

void gemvExact(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
#define VOXQUANT_GEMV(Q) return gemvRows<Q, false>(w, begin, end, x, out, stride)
  VOXQUANT_FOR_CODES(w.dtype, VOXQUANT_GEMV)
#undef VOXQUANT_GEMV
  gemvExactGeneric(w, begin, end, x, out, stride, scratch, dequantizeNeon);
}

// Types without codes above: a row unpacked first; all of them have groups of 32 and no shifts.
void gemvFast(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
#define VOXQUANT_GEMV(Q) return gemvRows<Q, true>(w, begin, end, x, out, stride)
  VOXQUANT_FOR_CODES(w.dtype, VOXQUANT_GEMV)
#undef VOXQUANT_GEMV
  int8_t* codes = (int8_t*)scratch;
  float* scales = (float*)(codes + x.padded);
  float* shifts = scales + x.padded / 16;
  for (int64_t o = begin; o < end; o++) {
    unpackNeon(w.dtype, w.row(o), x.n, codes, scales, shifts);
    for (int r = 0; r < x.rows; r++) {
      F acc = zero();
      for (int64_t b = 0; b < x.n / 32; b++) {
        const int8_t* q = x.q + r * x.padded + 32 * b;
        const int32x4_t dot = Dot::add(Dot::add(vdupq_n_s32(0), vld1q_s8(codes + 32 * b), vld1q_s8(q)), vld1q_s8(codes + 32 * b + 16), vld1q_s8(q + 16));
        acc = fma(vcvtq_f32_s32(dot), splat(scales[b] * x.d[r * (x.padded / 32) + b]), acc);
      }
      out[r * stride + o - begin] = sumLanes(acc);
    }
  }
}

// ---- activations ----

// The largest magnitude of some vectors.
inline float largestOf(const F* v, int vectors) {
  uint32x4_t bits = vdupq_n_u32(0);  // the bits of a magnitude order as integers, and a NaN stays the largest
  for (int i = 0; i < vectors; i++) bits = vmaxq_u32(bits, vreinterpretq_u32_f32(magnitude(v[i])));
  const uint32_t top = vmaxvq_u32(bits);
  float largest;
  memcpy(&largest, &top, 4);
  return largest;
}

// 32 values as eight vectors, times `inverse`, to int8.
inline void codesOf(const F* v, F inverse, int8x16_t* low, int8x16_t* high) {
  int16x8_t words[4];
  for (int i = 0; i < 4; i++)
    words[i] = vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(mul(v[2 * i], inverse))), vqmovn_s32(vcvtnq_s32_f32(mul(v[2 * i + 1], inverse))));
  *low = vcombine_s8(vqmovn_s16(words[0]), vqmovn_s16(words[1]));
  *high = vcombine_s8(vqmovn_s16(words[2]), vqmovn_s16(words[3]));
}

// 32 values as eight vectors, rounded to int8 codes: returns d.
inline float round32(const F* v, int8x16_t* low, int8x16_t* high) {
  const float largest = largestOf(v, 8);
  const bool zeroBlock = largest <= 1e-30f;
  codesOf(v, splat(zeroBlock ? 0.0f : 127.0f / largest), low, high);
  return zeroBlock ? 0.0f : largest / 127.0f;
}

void quantizeRow(const float* x, int64_t n, int64_t padded, int8_t* q, float* d, int32_t* quads, float* sums16, float* sums32) {
  for (int64_t b = 0; b < padded / 32; b++) {
    int8x16_t low = vdupq_n_s8(0), high = low;
    d[b] = 0.0f;
    if (b * 32 < n) {
      F v[8];
      for (int i = 0; i < 8; i++) v[i] = load(x + 32 * b + 4 * i);
      d[b] = round32(v, &low, &high);
    }
    vst1q_s8(q + 32 * b, low);
    vst1q_s8(q + 32 * b + 16, high);
    const int32x4_t first = vpaddlq_s16(vpaddlq_s8(low)), second = vpaddlq_s16(vpaddlq_s8(high));
    vst1q_s32(quads + 8 * b, first);
    vst1q_s32(quads + 8 * b + 4, second);
    const int32_t a = vaddvq_s32(first), c = vaddvq_s32(second);
    sums16[2 * b] = d[b] * (float)a;
    sums16[2 * b + 1] = d[b] * (float)c;
    sums32[b] = d[b] * (float)(a + c);
  }
}

void packF32(const float* x, int64_t stride, int rows, int64_t k, float* a) {
  for (int v = 0; v < kVectors; v++) {
    for (int64_t i = 0; i < k; i += W) {
      const int count = k - i < W ? (int)(k - i) : W;
      F r[W];
      for (int j = 0; j < W; j++) r[j] = v * W + j < rows ? loadPart(x + (v * W + j) * stride + i, count) : zero();
      transpose4(r);
      for (int j = 0; j < count; j++) store(a + (i + j) * kLanes + v * W, r[j]);
    }
  }
}

void storeTile(const float* c, int outs, int rows, const float* bias, int32_t act, float* out, int64_t stride) {
  for (int o = 0; o < outs; o += W) {
    const int count = outs - o < W ? outs - o : W;
    F b = bias ? loadPart(bias + o, count) : zero();
    for (int v = 0; v * W < rows; v++) {
      F r[W];
      for (int j = 0; j < W; j++) r[j] = j < count ? load(c + (o + j) * kLanes + v * W) : zero();
      transpose4(r);
      const int lanes = rows - v * W < W ? rows - v * W : W;
      for (int j = 0; j < lanes; j++) {
        F y = add(r[j], b);
        if (act == kActGelu) y = geluOf(y);
        else if (act == kActSilu) y = siluOf(y);
        storePart(out + (v * W + j) * stride + o, y, count);
      }
    }
  }
}

// ---- int8 products of many rows: signed codes on both sides, so that nothing has to be corrected ----

typedef int32x4_t I;
typedef int8x16_t Quads;
constexpr int kTileVectors = 4;
inline I startOf(int32_t value) { return vdupq_n_s32(value); }
inline Quads panelCodes(const uint8_t* codes) { return vld1q_s8((const int8_t*)codes); }
inline Quads quadOf(const int8_t* codes) {
  int32_t quad;
  memcpy(&quad, codes, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(quad));
}
inline I dotOf(I sums, Quads weights, Quads quad) { return Dot::add(sums, weights, quad); }
inline F floatsOf(I sums) { return vcvtq_f32_s32(sums); }
inline F codeFloats(const int8_t* codes) {
  int32_t quad;
  memcpy(&quad, codes, 4);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(quad))))));
}
inline void codes32(const F* v, F inverse, int8_t* codes) {
  int8x16_t low, high;
  codesOf(v, inverse, &low, &high);
  vst1q_s8(codes, low);
  vst1q_s8(codes + 16, high);
}
inline int32_t startFor(const int8_t*, int) { return 0; }

}  // namespace
}  // namespace voxquant

#include "int8_panel.h"

namespace voxquant {
namespace {

void packInt8(const int8_t* codes, const float* scales, const Int8Panel& panel) {
  packPanel(scales, panel, [&](int first, int outs, uint8_t* tile, int vectors, int v) {
    uint8_t* const to = tile + v * W * 4;
    for (int64_t i = 0; i < panel.k; i += 16) {
      F quads[4];
      for (int o = 0; o < 4; o++)
        quads[o] = vreinterpretq_f32_s8(o < outs ? vld1q_s8(codes + (first + o) * panel.k + i) : vdupq_n_s8(0));
      transpose4(quads);
      for (int j = 0; j < 4; j++) vst1q_s8((int8_t*)to + (i / 4 + j) * vectors * 16, vreinterpretq_s8_f32(quads[j]));
    }
  });
}

void coarsenRow(const WeightMatrix& w, int64_t row, int8_t* codes, float* coarse, void* space) {
  float* scales = (float*)space;
  float* shifts = scales + w.in / w.traits->group;
  unpackNeon(w.dtype, w.row(row), w.in, codes, scales, shifts);
  coarsenScaled<127>(codes, scales, w.traits->shifted ? shifts : nullptr, w.traits->group, w.in, coarse);
}

const Int8Kernels kInt8 = {127, roundRow<QuadSums>, coarsenRow, coarsenFloats<127>, packInt8, multiplyPanel<QuadSums>, multiplyGathered<QuadSums>};

inline Isa levelOf(const char* name) {
  Isa level = {};
  level.name = name;
  level.lanes = kLanes;
  level.unpack = unpackNeon;
  level.dequantize = dequantizeNeon;
  level.gemvExact = gemvExact;
  level.gemvFast = gemvFast;
  level.quantizeRow = quantizeRow;
  level.packF32 = packF32;
  level.tileF32 = tileF32Kernel;
  if (Dot::kQuads) level.int8 = &kInt8;
  level.storeTile = storeTile;
  level.add = addKernel;
  level.siluMul = siluMulKernel;
  level.gelu = geluKernel;
  level.silu = siluKernel;
  level.rmsNorm = rmsNormKernel;
  level.layerNorm = layerNormKernel;
  level.normRope = normRopeKernel;
  level.softmaxTile = softmaxTileKernel;
  level.scaleTile = scaleTileKernel;
  level.attendToken = attendTokenKernel;
  level.storeKeys = storeKeysKernel;
  level.storeValues = storeValuesKernel;
  level.attendInt8 = attendInt8Kernel;
  level.snake = snakeKernel;
  level.addScaled = addScaledKernel;
  level.coarseGelu = coarseGeluKernel;
  level.fewInputs = fewInputsKernel;
  return level;
}

}  // namespace
}  // namespace voxquant
