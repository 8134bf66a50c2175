#pragma once
// Softmax and float32 attention kernels over the vector type of vector_kernels.h.
#include "vector_kernels.h"

namespace voxquant {
namespace {

void softmaxTileKernel(float* s, int keys, const int64_t* visible, float* m, float* l, float* factor) {
  if (visible)
    for (int lane = 0; lane < kLanes; lane++)
      for (int64_t t = visible[lane] < 0 ? 0 : visible[lane]; t < keys; t++) s[t * kLanes + lane] = -INFINITY;
  for (int v = 0; v < kVectors; v++) {
    float* column = s + v * W;
    F before = load(m + v * W), top = before;
    for (int t = 0; t < keys; t++) top = larger(top, load(column + t * kLanes));
    F total = zero();
    for (int t = 0; t < keys; t++) {
      F p = exponential(sub(load(column + t * kLanes), top));
      store(column + t * kLanes, p);
      total = add(total, p);
    }
    F change = exponential(sub(before, top));
    store(factor + v * W, change);
    store(m + v * W, top);
    store(l + v * W, fma(load(l + v * W), change, total));
  }
}

void scaleTileKernel(float* c, int64_t n, const float* factor) {
  for (int v = 0; v < kVectors; v++) {
    F f = load(factor + v * W);
    for (int64_t i = 0; i < n; i++) store(c + i * kLanes + v * W, mul(load(c + i * kLanes + v * W), f));
  }
}

constexpr int kTokenBlock = 64;

// G query heads against up to kTokenBlock keys: scores into s [G, kTokenBlock]. Four keys at a
// time, whose sums over lanes are then made together. Fetches the values, which come next, and the keys after them.
template <int G>
inline void tokenScores(const float* q, const float* keys, const float* values, int64_t tokens, int64_t stride, int64_t headDim, float scale, float* s) {
  constexpr int kKeys = 4;
  for (int64_t t = 0; t < tokens; t += kKeys) {
    const float* key[kKeys];
    for (int u = 0; u < kKeys; u++) {
      key[u] = keys + (t + u < tokens ? t + u : t) * stride;
      for (int64_t line = 0; line < headDim; line += 16) {
        __builtin_prefetch(values + (t + u) * stride + line, 0, 2);
        __builtin_prefetch(key[u] + kTokenBlock * stride + line, 0, 2);
      }
    }
    F acc[G][kKeys];
    for (int g = 0; g < G; g++)
      for (int u = 0; u < kKeys; u++) acc[g][u] = zero();
    int64_t i = 0;
    for (; i + W <= headDim; i += W) {
      F k[kKeys];
      for (int u = 0; u < kKeys; u++) k[u] = load(key[u] + i);
      for (int g = 0; g < G; g++) {
        const F query = load(q + g * headDim + i);
        for (int u = 0; u < kKeys; u++) acc[g][u] = fma(k[u], query, acc[g][u]);
      }
    }
    for (int g = 0; g < G; g++) {
      float dots[kKeys];
      sumLanes4(acc[g], dots);
      for (int u = 0; u < kKeys && t + u < tokens; u++) {
        for (int64_t j = i; j < headDim; j++) dots[u] += key[u][j] * q[g * headDim + j];
        s[g * kTokenBlock + t + u] = dots[u] * scale;
      }
    }
  }
}

// out [G, headDim] = factor * out + sum of the values with weights p [G, kTokenBlock]; columns [i, end) in steps of U vectors
template <int G, int U>
inline int64_t valueColumns(const float* p, const float* values, int64_t tokens, int64_t stride, int64_t headDim, int64_t i,
                            const float* factor, float* out) {
  for (; i + U * W <= headDim; i += U * W) {
    F acc[G][U];
    for (int g = 0; g < G; g++)
      for (int u = 0; u < U; u++) acc[g][u] = mul(load(out + g * headDim + i + u * W), splat(factor[g]));
    for (int64_t t = 0; t < tokens; t++) {
      const float* value = values + t * stride + i;
      F v[U];
      for (int u = 0; u < U; u++) v[u] = load(value + u * W);
      for (int g = 0; g < G; g++) {
        F weight = splat(p[g * kTokenBlock + t]);
        for (int u = 0; u < U; u++) acc[g][u] = fma(v[u], weight, acc[g][u]);
      }
    }
    for (int g = 0; g < G; g++)
      for (int u = 0; u < U; u++) store(out + g * headDim + i + u * W, acc[g][u]);
  }
  return i;
}

template <int G>
inline void tokenValues(const float* p, const float* values, int64_t tokens, int64_t stride, int64_t headDim,
                        const float* factor, float* out) {
  int64_t i = valueColumns<G, 4>(p, values, tokens, stride, headDim, 0, factor, out);
  i = valueColumns<G, 1>(p, values, tokens, stride, headDim, i, factor, out);
  for (; i < headDim; i++)
    for (int g = 0; g < G; g++) {
      float sum = out[g * headDim + i] * factor[g];
      for (int64_t t = 0; t < tokens; t++) sum += values[t * stride + i] * p[g * kTokenBlock + t];
      out[g * headDim + i] = sum;
    }
}

template <int G>
void attendTokenFixed(const float* q, const float* keys, const float* values, int64_t tokens, int64_t stride,
                      int64_t headDim, float scale, float* out) {
  float s[G * kTokenBlock], m[G], l[G], factor[G];
  for (int g = 0; g < G; g++) {
    m[g] = -1e30f;
    l[g] = 0.0f;
  }
  memset(out, 0, sizeof(float) * (size_t)(G * headDim));
  for (int64_t start = 0; start < tokens; start += kTokenBlock) {
    const int64_t count = tokens - start < kTokenBlock ? tokens - start : kTokenBlock;
    tokenScores<G>(q, keys + start * stride, values + start * stride, count, stride, headDim, scale, s);
    for (int g = 0; g < G; g++) {
      float* row = s + g * kTokenBlock;
      for (int64_t t = count; t < kTokenBlock; t++) row[t] = -INFINITY;
      F top = splat(m[g]);
      for (int t = 0; t < kTokenBlock; t += W) top = larger(top, load(row + t));
      const float largest = largestLane(top);
      F total = zero();
      for (int t = 0; t < kTokenBlock; t += W) {
        F p = exponential(sub(load(row + t), splat(largest)));
        store(row + t, p);
        total = add(total, p);
      }
      float change[W];
      store(change, exponential(splat(m[g] - largest)));
      factor[g] = change[0];
      l[g] = l[g] * factor[g] + sumLanes(total);
      m[g] = largest;
    }
    tokenValues<G>(s, values + start * stride, count, stride, headDim, factor, out);
  }
  for (int g = 0; g < G; g++) {
    const float inverse = 1.0f / l[g];
    for (int64_t i = 0; i < headDim; i++) out[g * headDim + i] *= inverse;
  }
}

void attendTokenKernel(const float* q, const float* keys, const float* values, int64_t tokens, int64_t stride, int group,
                       int64_t headDim, float scale, float* out) {
  int g = 0;
  for (; g + 4 <= group; g += 4)
    attendTokenFixed<4>(q + g * headDim, keys, values, tokens, stride, headDim, scale, out + g * headDim);
  q += g * headDim;
  out += g * headDim;
  switch (group - g) {
    case 1: attendTokenFixed<1>(q, keys, values, tokens, stride, headDim, scale, out); break;
    case 2: attendTokenFixed<2>(q, keys, values, tokens, stride, headDim, scale, out); break;
    case 3: attendTokenFixed<3>(q, keys, values, tokens, stride, headDim, scale, out); break;
  }
}

}  // namespace
}  // namespace voxquant
