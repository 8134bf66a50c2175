#pragma once
// Softmax and attention kernels over the vector type of vector_kernels.h.
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

// G query heads against up to kTokenBlock keys: scores into s [G, kTokenBlock].
template <int G>
inline void tokenScores(const float* q, const float* keys, int64_t tokens, int64_t stride, int64_t headDim, float scale, float* s) {
  for (int64_t t = 0; t < tokens; t++) {
    const float* key = keys + t * stride;
    F acc[G];
    for (int g = 0; g < G; g++) acc[g] = zero();
    int64_t i = 0;
    for (; i + W <= headDim; i += W) {
      F k = load(key + i);
      for (int g = 0; g < G; g++) acc[g] = fma(k, load(q + g * headDim + i), acc[g]);
    }
    for (int g = 0; g < G; g++) {
      float dot = sumLanes(acc[g]);
      for (int64_t j = i; j < headDim; j++) dot += key[j] * q[g * headDim + j];
      s[g * kTokenBlock + t] = dot * scale;
    }
  }
}

template <int G>
inline void tokenValues(const float* p, const float* values, int64_t tokens, int64_t stride, int64_t headDim,
                        const float* factor, float* out) {
  int64_t i = 0;
  for (; i + 2 * W <= headDim; i += 2 * W) {
    F acc[G][2];
    for (int g = 0; g < G; g++)
      for (int u = 0; u < 2; u++) acc[g][u] = mul(load(out + g * headDim + i + u * W), splat(factor[g]));
    for (int64_t t = 0; t < tokens; t++) {
      F a = load(values + t * stride + i), b = load(values + t * stride + i + W);
      for (int g = 0; g < G; g++) {
        F weight = splat(p[g * kTokenBlock + t]);
        acc[g][0] = fma(a, weight, acc[g][0]);
        acc[g][1] = fma(b, weight, acc[g][1]);
      }
    }
    for (int g = 0; g < G; g++)
      for (int u = 0; u < 2; u++) store(out + g * headDim + i + u * W, acc[g][u]);
  }
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
    tokenScores<G>(q, keys + start * stride, count, stride, headDim, scale, s);
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
