// Elementwise kernels and norms over whole arrays, cut into pieces for the thread pool.
#pragma once
#include "dispatch.h"
#include "thread_pool.h"

namespace voxquant {

constexpr int64_t kElementChunk = 16384;

// Nanoseconds that an element takes.
constexpr double kRmsNormCost = 0.3;

// body(begin, count) over [0, n)
template <class Body>
void forElements(int64_t n, double nanosecondsEach, Body&& body) {
  parallelFor((n + kElementChunk - 1) / kElementChunk, (double)n * nanosecondsEach, [&](int64_t task) {
    const int64_t begin = task * kElementChunk;
    body(begin, n - begin < kElementChunk ? n - begin : kElementChunk);
  });
}

// body(row) over [0, rows), in runs of rows; dim: elements of a row
template <class Body>
void forRows(int64_t rows, int64_t dim, double nanosecondsEach, Body&& body) {
  const int64_t run = dim >= kElementChunk ? 1 : (kElementChunk + dim - 1) / dim;
  parallelFor((rows + run - 1) / run, (double)(rows * dim) * nanosecondsEach, [&](int64_t task) {
    for (int64_t row = task * run; row < rows && row < (task + 1) * run; row++) body(row);
  });
}

inline void addAll(const float* a, const float* b, int64_t n, float* out) {
  forElements(n, 0.15, [&](int64_t begin, int64_t count) { isa().add(a + begin, b + begin, count, out + begin); });
}

// out = gate * sigmoid(gate) * up; out may be one of the inputs
inline void siluMulAll(const float* gate, const float* up, int64_t n, float* out) {
  forElements(n, 0.6, [&](int64_t begin, int64_t count) { isa().siluMul(gate + begin, up + begin, count, out + begin); });
}

inline void geluAll(const float* x, int64_t n, float* out) {
  forElements(n, 1.0, [&](int64_t begin, int64_t count) { isa().gelu(x + begin, count, out + begin); });
}

// Without a residual x is normed; with one, sum gets x + residual (sum may be x) and is normed.
inline void rmsNormRows(const float* x, const float* residual, const float* gamma, float eps, int64_t rows, int64_t dim, float* sum, float* out) {
  forRows(rows, dim, kRmsNormCost, [&](int64_t row) {
    const int64_t at = row * dim;
    isa().rmsNorm(x + at, residual ? residual + at : nullptr, gamma, eps, dim, sum ? sum + at : nullptr, out + at);
  });
}

inline void layerNormRows(const float* x, const float* residual, const float* gamma, const float* beta, float eps, int64_t rows, int64_t dim,
                          float* sum, float* out) {
  forRows(rows, dim, 0.4, [&](int64_t row) {
    const int64_t at = row * dim;
    isa().layerNorm(x + at, residual ? residual + at : nullptr, gamma, beta, eps, dim, sum ? sum + at : nullptr, out + at);
  });
}

}  // namespace voxquant
