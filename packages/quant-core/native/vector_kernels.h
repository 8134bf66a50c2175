#pragma once
// Kernels written once over a vector type and compiled in every ISA file. The including file defines, in an anonymous
// namespace: `F` (vector of W floats), W, kVectors (vectors per packed block), kTileOuts (outputs per float tile) and
// the operations load, loadPart, store, storePart, splat, add, sub, mul, div, fma, larger (b if unordered), smaller,
// magnitude, squareRoot, roundEven, scaleByPower2, zeroBelow, sumLanes, sumLanes4, largestLane, loadHalf, loadBf16.

namespace voxquant {
namespace {

constexpr int kLanes = W * kVectors;

inline F zero() { return splat(0.0f); }

// e^x to 1 ulp or so; 0 below -87, 2e38 above 88.
inline F exponential(F x) {
  F clamped = larger(splat(-88.0f), smaller(splat(88.0f), x));
  F n = roundEven(mul(clamped, splat(1.44269504f)));
  F r = fma(n, splat(-0.693145752f), clamped);
  r = fma(n, splat(-1.42860677e-6f), r);
  F p = splat(1.0f / 5040.0f);
  p = fma(p, r, splat(1.0f / 720.0f));
  p = fma(p, r, splat(1.0f / 120.0f));
  p = fma(p, r, splat(1.0f / 24.0f));
  p = fma(p, r, splat(1.0f / 6.0f));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  return zeroBelow(x, -87.0f, scaleByPower2(p, n));
}

inline F siluOf(F x) { return div(x, add(splat(1.0f), exponential(sub(zero(), x)))); }

// x/2 * erfc(-x/sqrt 2). erfc(z) = t * exp(p(t) - z^2), t = 1 / (1 + z/2), with p a Chebyshev interpolation of degree 9
// on 0 <= z <= 7.2, relative error 3e-8 before rounding.
inline F geluOf(F x) {
  F z = mul(magnitude(x), splat(0.707106781f));
  F t = div(splat(1.0f), fma(smaller(splat(7.2f), z), splat(0.5f), splat(1.0f)));
  F u = mul(sub(t, splat(0.608695652f)), splat(1.0f / 0.391304348f));
  F p = splat(2.35801615e-05f);
  p = fma(p, u, splat(6.39913205e-05f));
  p = fma(p, u, splat(-0.000299955238f));
  p = fma(p, u, splat(-0.000308934158f));
  p = fma(p, u, splat(0.0026062438f));
  p = fma(p, u, splat(3.97613703e-05f));
  p = fma(p, u, splat(-0.0245082138f));
  p = fma(p, u, splat(0.00912829956f));
  p = fma(p, u, splat(0.537084607f));
  p = fma(p, u, splat(-0.523829353f));
  F tail = mul(mul(splat(0.5f), t), exponential(sub(p, mul(z, z))));  // erfc(z) / 2
  return sub(larger(x, zero()), mul(magnitude(x), tail));
}

// The same to 2e-5, or 1e-5 of the value, for what is rounded to eight bits: x * (1/2 + x p(x^2)), with p of the least
// largest error on |x| <= 4.5.
inline F coarseGeluOf(F x) {
  const F near = larger(splat(-4.5f), smaller(splat(4.5f), x)), u = mul(near, near);
  F p = splat(-1.40006843e-12f);
  p = fma(p, u, splat(1.69730480e-10f));
  p = fma(p, u, splat(-9.19375331e-9f));
  p = fma(p, u, splat(2.95889976e-7f));
  p = fma(p, u, splat(-6.36525783e-6f));
  p = fma(p, u, splat(9.78713797e-5f));
  p = fma(p, u, splat(-1.12267863e-3f));
  p = fma(p, u, splat(9.83318500e-3f));
  p = fma(p, u, splat(-6.63370565e-2f));
  p = fma(p, u, splat(0.398883790f));
  return mul(larger(splat(-4.5f), x), fma(near, p, splat(0.5f)));
}

template <F (*f)(F)>
inline void mapElements(const float* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, f(load(x + i)));
  if (i < n) storePart(out + i, f(loadPart(x + i, (int)(n - i))), (int)(n - i));
}

void siluKernel(const float* x, int64_t n, float* out) { mapElements<siluOf>(x, n, out); }
void geluKernel(const float* x, int64_t n, float* out) { mapElements<geluOf>(x, n, out); }
void coarseGeluKernel(const float* x, int64_t n, float* out) { mapElements<coarseGeluOf>(x, n, out); }

void addKernel(const float* a, const float* b, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, add(load(a + i), load(b + i)));
  for (; i < n; i++) out[i] = a[i] + b[i];
}

void addScaledKernel(const float* x, const float* y, const float* scale, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, fma(load(scale + i), load(y + i), load(x + i)));
  for (; i < n; i++) out[i] = x[i] + scale[i] * y[i];
}

// sin^2(y), |y| <= 8192, absolute error below 4e-7. The distance to the nearest multiple of pi is all it needs: squaring
// drops the sign. Pi in three parts of few bits, so that the products are exact without fused operations too.
inline F squaredSine(F y) {
  F n = roundEven(mul(y, splat(0.318309886f)));
  F u = fma(n, splat(-3.140625f), y);
  u = fma(n, splat(-9.67502593994140625e-4f), u);
  u = fma(n, splat(-1.509957990978376432e-7f), u);
  F s = mul(u, u);
  F p = splat(-1.0f / 39916800.0f);
  p = fma(p, s, splat(1.0f / 362880.0f));
  p = fma(p, s, splat(-1.0f / 5040.0f));
  p = fma(p, s, splat(1.0f / 120.0f));
  p = fma(p, s, splat(-1.0f / 6.0f));
  p = fma(mul(p, s), u, u);
  return mul(p, p);
}

inline F snakeOf(F x, F y, F inverseBeta) { return fma(squaredSine(y), inverseBeta, x); }

void snakeKernel(const float* x, const float* alpha, const float* inverseBeta, int64_t n, float* out) {
  constexpr int64_t kRun = 256;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = begin + kRun < n ? begin + kRun : n;
    F largest = zero();
    int64_t i = begin;
    for (; i + W <= end; i += W) {
      const F value = load(x + i), y = mul(value, load(alpha + i));
      largest = larger(magnitude(y), largest);
      store(out + i, snakeOf(value, y, load(inverseBeta + i)));
    }
    if (i < end) {
      const int rest = (int)(end - i);
      const F value = loadPart(x + i, rest), y = mul(value, loadPart(alpha + i, rest));
      largest = larger(magnitude(y), largest);
      storePart(out + i, snakeOf(value, y, loadPart(inverseBeta + i, rest)), rest);
    }
    if (largestLane(largest) <= 8192.0f) continue;
    for (i = begin; i < end; i++) {  // beyond the range of the reduction
      const float y = x[i] * alpha[i], sine = (float)sin((double)y);
      out[i] = x[i] + sine * sine * inverseBeta[i];
    }
  }
}

void siluMulKernel(const float* gate, const float* up, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, mul(siluOf(load(gate + i)), load(up + i)));
  if (i < n) {
    const int rest = (int)(n - i);
    storePart(out + i, mul(siluOf(loadPart(gate + i, rest)), loadPart(up + i, rest)), rest);
  }
}

// Sum of squares (of x - mean) over a row.
inline float sumSquares(const float* x, float mean, int64_t n) {
  F a = zero(), b = zero(), shift = splat(mean);
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    F u = sub(load(x + i), shift), v = sub(load(x + i + W), shift);
    a = fma(u, u, a);
    b = fma(v, v, b);
  }
  float rest = 0.0f;
  for (; i < n; i++) rest += (x[i] - mean) * (x[i] - mean);
  return sumLanes(add(a, b)) + rest;
}

inline float sumRow(const float* x, int64_t n) {
  F a = zero(), b = zero();
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    a = add(a, load(x + i));
    b = add(b, load(x + i + W));
  }
  float rest = 0.0f;
  for (; i < n; i++) rest += x[i];
  return sumLanes(add(a, b)) + rest;
}

void rmsNormKernel(const float* x, const float* residual, const float* gamma, float eps, int64_t n, float* sum, float* out) {
  if (residual) {
    addKernel(x, residual, n, sum);
    x = sum;
  }
  const float inverse = 1.0f / sqrtf(sumSquares(x, 0.0f, n) / (float)n + eps);
  F factor = splat(inverse);
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, mul(mul(load(x + i), factor), load(gamma + i)));
  for (; i < n; i++) out[i] = x[i] * inverse * gamma[i];
}

void layerNormKernel(const float* x, const float* residual, const float* gamma, const float* beta, float eps, int64_t n,
                     float* sum, float* out) {
  if (residual) {
    addKernel(x, residual, n, sum);
    x = sum;
  }
  const float mean = sumRow(x, n) / (float)n;
  const float inverse = 1.0f / sqrtf(sumSquares(x, mean, n) / (float)n + eps);
  F factor = splat(inverse), shift = splat(mean);
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, fma(mul(sub(load(x + i), shift), factor), load(gamma + i), load(beta + i)));
  for (; i < n; i++) out[i] = (x[i] - mean) * inverse * gamma[i] + beta[i];
}

void normRopeKernel(const float* x, const float* gamma, const float* cosSin, float eps, int64_t headDim, float* out) {
  const int64_t half = headDim / 2;
  const float inverse = gamma ? 1.0f / sqrtf(sumSquares(x, 0.0f, headDim) / (float)headDim + eps) : 1.0f;
  F factor = splat(inverse);
  int64_t i = 0;
  for (; i + W <= half; i += W) {
    F a = load(x + i), b = load(x + half + i), c = load(cosSin + i), s = load(cosSin + half + i);
    if (gamma) {
      a = mul(mul(a, factor), load(gamma + i));
      b = mul(mul(b, factor), load(gamma + half + i));
    }
    store(out + i, sub(mul(a, c), mul(b, s)));
    store(out + half + i, add(mul(b, c), mul(a, s)));
  }
  for (; i < half; i++) {
    float a = x[i], b = x[half + i];
    if (gamma) {
      a = a * inverse * gamma[i];
      b = b * inverse * gamma[half + i];
    }
    out[i] = a * cosSin[i] - b * cosSin[half + i];
    out[half + i] = b * cosSin[i] + a * cosSin[half + i];
  }
}

// ---- float GEMM tiles: activation rows in lanes, weights broadcast ----

template <int V, int O>
inline void tileF32Fixed(const float* a, int64_t k, const float* w, int64_t outStride, int64_t kStride, float* c,
                         bool accumulate) {
  F acc[O][V];
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) acc[o][v] = accumulate ? load(c + o * kLanes + v * W) : zero();
  for (int64_t i = 0; i < k; i++) {
    F x[V];
    for (int v = 0; v < V; v++) x[v] = load(a + i * kLanes + v * W);
    const float* column = w + i * kStride;
    for (int o = 0; o < O; o++) {
      F weight = splat(column[o * outStride]);
      for (int v = 0; v < V; v++) acc[o][v] = fma(x[v], weight, acc[o][v]);
    }
  }
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) store(c + o * kLanes + v * W, acc[o][v]);
}

template <int V, int O>
inline void tileF32Rest(int rest, const float* a, int64_t k, const float* w, int64_t outStride, int64_t kStride, float* c,
                        bool accumulate) {
  if constexpr (O > 0) {
    if (rest == O) tileF32Fixed<V, O>(a, k, w, outStride, kStride, c, accumulate);
    else tileF32Rest<V, O - 1>(rest, a, k, w, outStride, kStride, c, accumulate);
  }
}

template <int V>
void tileF32Wide(const float* a, int64_t k, const float* w, int64_t outStride, int64_t kStride, int outs, float* c,
                 bool accumulate) {
  int o = 0;
  for (; o + kTileOuts <= outs; o += kTileOuts)
    tileF32Fixed<V, kTileOuts>(a, k, w + o * outStride, outStride, kStride, c + o * kLanes, accumulate);
  tileF32Rest<V, kTileOuts - 1>(outs - o, a, k, w + o * outStride, outStride, kStride, c + o * kLanes, accumulate);
}

void tileF32Kernel(const float* a, int64_t k, const float* w, int64_t outStride, int64_t kStride, int outs, int rows,
                   float* c, bool accumulate) {
  if (rows <= W) tileF32Wide<1>(a, k, w, outStride, kStride, outs, c, accumulate);
  else tileF32Wide<kVectors>(a, k, w, outStride, kStride, outs, c, accumulate);
}

// ---- matrix x vectors with float activations ----

struct LoadF32 {
  static constexpr int kBytes = 4;
  static F vector(const uint8_t* p) { return load((const float*)p); }
  static float scalar(const uint8_t* p) {
    float value;
    memcpy(&value, p, 4);
    return value;
  }
};
struct LoadF16 {
  static constexpr int kBytes = 2;
  static F vector(const uint8_t* p) { return loadHalf(p); }
  static float scalar(const uint8_t* p) { return halfScalar(p); }
};
struct LoadBf16 {
  static constexpr int kBytes = 2;
  static F vector(const uint8_t* p) { return loadBf16(p); }
  static float scalar(const uint8_t* p) {
    uint16_t h;
    memcpy(&h, p, 2);
    uint32_t bits = (uint32_t)h << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
  }
};

// The same order of additions for every R, so that a row's result does not depend on the rows beside it.
template <class L, int R>
inline void dotRows(const uint8_t* w, const float* x, int64_t n, int64_t xStride, float* out, int64_t stride) {
  F acc[R][2];
  for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = zero();
  int64_t i = 0;
  for (; i + 2 * W <= n; i += 2 * W) {
    __builtin_prefetch(w + i * L::kBytes + 8192, 0, 2);  // into the second-level cache
    F u = L::vector(w + i * L::kBytes), v = L::vector(w + (i + W) * L::kBytes);
    for (int r = 0; r < R; r++) {
      acc[r][0] = fma(u, load(x + r * xStride + i), acc[r][0]);
      acc[r][1] = fma(v, load(x + r * xStride + i + W), acc[r][1]);
    }
  }
  for (int r = 0; r < R; r++) {
    float rest = 0.0f;
    for (int64_t j = i; j < n; j++) rest += L::scalar(w + j * L::kBytes) * x[r * xStride + j];
    out[r * stride] = sumLanes(add(acc[r][0], acc[r][1])) + rest;
  }
}

template <class L>
void gemvDense(const uint8_t* w, int64_t rowBytes, int64_t count, const GemvInput& x, float* out, int64_t stride) {
  for (int64_t o = 0; o < count; o++) {
    const uint8_t* row = w + o * rowBytes;
    float* y = out + o;
    switch (x.rows) {
      case 1: dotRows<L, 1>(row, x.x, x.n, x.n, y, stride); break;
      case 2: dotRows<L, 2>(row, x.x, x.n, x.n, y, stride); break;
      case 3: dotRows<L, 3>(row, x.x, x.n, x.n, y, stride); break;
      case 4: dotRows<L, 4>(row, x.x, x.n, x.n, y, stride); break;
      case 8: dotRows<L, 8>(row, x.x, x.n, x.n, y, stride); break;
      default:
        dotRows<L, 4>(row, x.x, x.n, x.n, y, stride);
        for (int r = 4; r < x.rows; r++) dotRows<L, 1>(row, x.x + r * x.n, x.n, x.n, y + r * stride, stride);
    }
  }
}

// scratch: one row of floats
void gemvExactGeneric(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride,
                      void* scratch, void (*dequantize)(int32_t, const uint8_t*, int64_t, float*)) {
  switch (w.dtype) {
    case F32: return gemvDense<LoadF32>(w.row(begin), w.rowBytes, end - begin, x, out, stride);
    case F16: return gemvDense<LoadF16>(w.row(begin), w.rowBytes, end - begin, x, out, stride);
    case BF16: return gemvDense<LoadBf16>(w.row(begin), w.rowBytes, end - begin, x, out, stride);
  }
  float* row = (float*)scratch;
  for (int64_t o = begin; o < end; o++) {
    dequantize(w.dtype, w.row(o), w.in, row);
    gemvDense<LoadF32>((const uint8_t*)row, 0, 1, x, out + (o - begin), stride);
  }
}

inline float activate(float x, int32_t act) {
  float out = x;
  if (act == kActGelu) geluKernel(&x, 1, &out);
  else if (act == kActSilu) siluKernel(&x, 1, &out);
  return out;
}

}  // namespace
}  // namespace voxquant
