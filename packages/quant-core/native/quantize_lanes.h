// Searches for scales of 8 groups of weights at once, one group per vector lane. Each lane does the operations of the
// scalar definition (src/quantize/scale-search.ts) in the same order, so the bytes do not depend on the vector width.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#endif

#define VQ_INLINE static inline __attribute__((always_inline))

namespace voxquant {
namespace {

constexpr int kLanes = 8;
typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef int32_t Mask __attribute__((vector_size(4 * kLanes)));

constexpr float kGroupEpsilon = 1e-15f;
constexpr float kRoundingMagic = 12582912.0f;  // 1.5 * 2^23
constexpr int kMaxGroup = 32;
constexpr int kMaxSweeps = 5;

VQ_INLINE Lanes splat(float value) { return Lanes{} + value; }

VQ_INLINE Lanes magnitude(Lanes v) { return (Lanes)((Mask)v & 0x7fffffff); }

VQ_INLINE bool any(Mask mask) {
  int32_t bits = 0;
  for (int lane = 0; lane < kLanes; lane++) bits |= mask[lane];
  return bits != 0;
}

VQ_INLINE Lanes nearest(Lanes value, float low, float high) {
  Lanes rounded = (value + kRoundingMagic) - kRoundingMagic;
  rounded = rounded > high ? splat(high) : rounded;
  return rounded >= low ? rounded : splat(low);
}

VQ_INLINE float nearest(float value, float low, float high) {
  float rounded = (value + kRoundingMagic) - kRoundingMagic;
  rounded = rounded > high ? high : rounded;
  return rounded >= low ? rounded : low;
}

VQ_INLINE float reciprocal(float d) {
  const float inverse = 1.0f / d;
  return std::fabs(inverse) == INFINITY ? 0.0f : inverse;
}

// Element i of group g, x[g * group + i], goes to lane g of out[i]; groups from `valid` on are zero.
VQ_INLINE void load_groups(const float* x, int group, int valid, Lanes* out) {
  float* flat = reinterpret_cast<float*>(out);
  if (valid < kLanes) std::memset(flat, 0, sizeof(Lanes) * group);
  for (int lane = 0; lane < valid; lane++) {
    for (int i = 0; i < group; i++) flat[i * kLanes + lane] = x[lane * group + i];
  }
}

// The reverse, to bytes: codes[g * group + i] = lane g of in[i] + bias.
VQ_INLINE void store_codes(const Lanes* in, int group, int valid, int bias, uint8_t* codes) {
  const float* flat = reinterpret_cast<const float*>(in);
  for (int lane = 0; lane < valid; lane++) {
    for (int i = 0; i < group; i++) codes[lane * group + i] = static_cast<uint8_t>(static_cast<int>(flat[i * kLanes + lane]) + bias);
  }
}

VQ_INLINE Lanes signed_extreme(const Lanes* x, int count) {
  Lanes extreme = {};
  Lanes largest = {};
  for (int i = 0; i < count; i++) {
    const Lanes size = magnitude(x[i]);
    const Mask larger = size > largest;
    largest = larger ? size : largest;
    extreme = larger ? x[i] : extreme;
  }
  return extreme;
}

VQ_INLINE float sum_of_squares(const float* x, size_t count) {
  float sum = 0;
  for (size_t i = 0; i < count; i++) sum += x[i] * x[i];
  return sum;
}

// Weights of one group per lane: importance * sqrt(variance + x^2).
VQ_INLINE void importance_weights(const Lanes* x, const float* importance, int group, int valid, Lanes variance,
                                  Lanes* weights) {
  load_groups(importance, group, valid, weights);
  for (int i = 0; i < group; i++) {
    const Lanes square = variance + x[i] * x[i];
    Lanes root = {};
    for (int lane = 0; lane < kLanes; lane++) root[lane] = std::sqrt(square[lane]);
    weights[i] = weights[i] * root;
  }
}

VQ_INLINE Lanes sum_lanes(const Lanes* v, int count) {
  Lanes sum = {};
  for (int i = 0; i < count; i++) sum = sum + v[i];
  return sum;
}

// searchSymmetric: codes in [-limit, limit - 1], returns the scales.
VQ_INLINE Lanes search_symmetric(const Lanes* x, const Lanes* weights, int count, float limit, Lanes* codes) {
  const Lanes extreme = signed_extreme(x, count);
  Lanes scale = {};
  Lanes best = {};
  Lanes candidate[kMaxGroup];
  for (int attempt = 0; attempt < 19; attempt++) {
    const float step = static_cast<float>(attempt == 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9);
    const Lanes inverse = splat(-(limit + 0.1f * step)) / extreme;
    Lanes sum_xl = {};
    Lanes sum_ll = {};
    for (int i = 0; i < count; i++) {
      const Lanes code = nearest(inverse * x[i], -limit, limit - 1);
      candidate[i] = code;
      const Lanes weight = weights[i];
      sum_xl = sum_xl + (weight * x[i]) * code;
      sum_ll = sum_ll + (weight * code) * code;
    }
    const Lanes fitted = sum_ll > 0 ? sum_xl / sum_ll : splat(0);
    if (attempt == 0) {
      scale = fitted;
      best = scale * sum_xl;
      for (int i = 0; i < count; i++) codes[i] = candidate[i];
      continue;
    }
    const Mask better = (sum_ll > 0) & (sum_xl * sum_xl > best * sum_ll);
    if (!any(better)) continue;
    scale = better ? fitted : scale;
    best = better ? fitted * sum_xl : best;
    for (int i = 0; i < count; i++) codes[i] = better ? candidate[i] : codes[i];
  }
  const Mask zero = magnitude(extreme) < kGroupEpsilon;
  for (int i = 0; i < count; i++) codes[i] = zero ? splat(-limit) : codes[i];
  return zero ? splat(0) : scale;
}

// descendSymmetric: codes in [-limit, limit - 1], weights x^2, returns the scales.
VQ_INLINE Lanes descend_symmetric(const Lanes* x, int count, float limit, Lanes* codes) {
  const Lanes extreme = signed_extreme(x, count);
  const Mask zero = magnitude(extreme) < kGroupEpsilon;
  const Lanes inverse = splat(-limit) / extreme;
  Lanes sum_xl = {};
  Lanes sum_ll = {};
  for (int i = 0; i < count; i++) {
    const Lanes code = nearest(inverse * x[i], -limit, limit - 1);
    codes[i] = code;
    const Lanes weight = x[i] * x[i];
    sum_xl = sum_xl + (weight * x[i]) * code;
    sum_ll = sum_ll + (weight * code) * code;
  }
  for (int sweep = 0; sweep < kMaxSweeps; sweep++) {
    Mask changed = {};
    for (int i = 0; i < count; i++) {
      const Lanes weight = x[i] * x[i];
      const Lanes weighted = weight * x[i];
      Lanes rest_xl = sum_xl - weighted * codes[i];
      Lanes rest_ll = sum_ll - (weight * codes[i]) * codes[i];
      const Mask possible = rest_xl > 0;
      const Lanes next = nearest((x[i] * rest_ll) / rest_xl, -limit, limit - 1);
      rest_xl = rest_xl + weighted * next;
      rest_ll = rest_ll + (weight * next) * next;
      const Mask better = possible & (next != codes[i]) & (rest_ll > 0) &
                          ((rest_xl * rest_xl) * sum_ll > (sum_xl * sum_xl) * rest_ll);
      codes[i] = better ? next : codes[i];
      sum_xl = better ? rest_xl : sum_xl;
      sum_ll = better ? rest_ll : sum_ll;
      changed |= better;
    }
    if (!any(changed)) break;
  }
  const Lanes scale = sum_ll > 0 ? sum_xl / sum_ll : splat(0);
  for (int i = 0; i < count; i++) codes[i] = zero ? splat(-limit) : codes[i];
  return zero ? splat(0) : scale;
}

struct AffineGrid {
  float first;
  float step;
  int steps;
  bool absolute_error;
};

constexpr AffineGrid kImportanceGrid = {-0.9f, 0.05f, 36, false};

VQ_INLINE Lanes weighted_error(Lanes scale, Lanes code, Lanes minimum, Lanes value, Lanes weight, bool absolute) {
  const Lanes difference = (scale * code + minimum) - value;
  return weight * (absolute ? magnitude(difference) : difference * difference);
}

// searchAffine: codes in [0, limit], returns the scales, writes -minimum to `minima`.
VQ_INLINE Lanes search_affine(const Lanes* x, const Lanes* weights, int count, float limit, AffineGrid grid,
                              Lanes* codes, Lanes* minima) {
  Lanes minimum = x[0];
  Lanes maximum = x[0];
  Lanes sum_w = weights[0];
  Lanes sum_x = sum_w * x[0];
  for (int i = 1; i < count; i++) {
    minimum = x[i] < minimum ? x[i] : minimum;
    maximum = x[i] > maximum ? x[i] : maximum;
    sum_w = sum_w + weights[i];
    sum_x = sum_x + weights[i] * x[i];
  }
  minimum = minimum > 0 ? splat(0) : minimum;
  const Mask flat = maximum <= minimum;
  const Lanes flat_minimum = minimum;
  const Lanes inverse = splat(limit) / (maximum - minimum);
  Lanes scale = splat(1) / inverse;
  Lanes best_error = {};
  for (int i = 0; i < count; i++) {
    codes[i] = nearest(inverse * (x[i] - minimum), 0, limit);
    best_error = best_error + weighted_error(scale, codes[i], minimum, x[i], weights[i], grid.absolute_error);
  }
  Lanes candidate[kMaxGroup];
  for (int step = 0; step <= grid.steps; step++) {
    const float shifted = (grid.first + grid.step * static_cast<float>(step)) + limit;
    const Lanes tried = splat(shifted) / (maximum - minimum);
    Lanes sum_l = {};
    Lanes sum_ll = {};
    Lanes sum_xl = {};
    for (int i = 0; i < count; i++) {
      const Lanes code = nearest(tried * (x[i] - minimum), 0, limit);
      candidate[i] = code;
      const Lanes weighted = weights[i] * code;
      sum_l = sum_l + weighted;
      sum_ll = sum_ll + weighted * code;
      sum_xl = sum_xl + weighted * x[i];
    }
    const Lanes determinant = sum_w * sum_ll - sum_l * sum_l;
    const Mask solvable = determinant > 0;
    if (!any(solvable)) continue;
    Lanes new_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    Lanes new_minimum = (sum_ll * sum_x - sum_l * sum_xl) / determinant;
    const Mask positive = new_minimum > 0;
    new_minimum = positive ? splat(0) : new_minimum;
    new_scale = positive ? sum_xl / sum_ll : new_scale;
    Lanes error = {};
    for (int i = 0; i < count; i++) {
      error = error + weighted_error(new_scale, candidate[i], new_minimum, x[i], weights[i], grid.absolute_error);
    }
    const Mask better = solvable & (error < best_error);
    if (!any(better)) continue;
    for (int i = 0; i < count; i++) codes[i] = better ? candidate[i] : codes[i];
    best_error = better ? error : best_error;
    scale = better ? new_scale : scale;
    minimum = better ? new_minimum : minimum;
  }
  for (int i = 0; i < count; i++) codes[i] = flat ? splat(0) : codes[i];
  *minima = -(flat ? flat_minimum : minimum);
  return flat ? splat(0) : scale;
}

VQ_INLINE float positive_error(const float* x, int count, float inverse, float limit, const float* weights) {
  const float scale = 1.0f / inverse;
  float error = 0;
  for (int i = 0; i < count; i++) {
    const float code = nearest(inverse * x[i], 0, limit);
    const float difference = x[i] - scale * code;
    error += (weights[i] * difference) * difference;
  }
  return error;
}

// searchPositive: codes in [0, limit] of a few non-negative scales, returns the super-scale.
VQ_INLINE float search_positive(const float* x, int count, float limit, const float* weights, uint8_t* codes) {
  float maximum = 0;
  for (int i = 0; i < count; i++) maximum = x[i] > maximum ? x[i] : maximum;
  if (maximum < kGroupEpsilon) {
    std::memset(codes, 0, count);
    return 0;
  }
  float inverse = limit / maximum;
  float best_error = positive_error(x, count, inverse, limit, weights);
  for (int step = -4; step <= 4; step++) {
    if (step == 0) continue;
    const float tried = (0.1f * static_cast<float>(step) + limit) / maximum;
    const float error = positive_error(x, count, tried, limit, weights);
    if (error < best_error) {
      best_error = error;
      inverse = tried;
    }
  }
  float sum_xl = 0;
  float sum_ll = 0;
  for (int i = 0; i < count; i++) {
    const float code = nearest(inverse * x[i], 0, limit);
    codes[i] = static_cast<uint8_t>(code);
    sum_xl += (weights[i] * x[i]) * code;
    sum_ll += (weights[i] * code) * code;
  }
  for (int sweep = 0; sweep < kMaxSweeps; sweep++) {
    bool changed = false;
    for (int i = 0; i < count; i++) {
      const float code = codes[i];
      const float weighted = weights[i] * x[i];
      float rest_xl = sum_xl - weighted * code;
      float rest_ll = sum_ll - (weights[i] * code) * code;
      if (!(rest_xl > 0 && rest_ll > 0)) continue;
      const float next = nearest((x[i] * rest_ll) / rest_xl, 0, limit);
      if (next == code) continue;
      rest_xl += weighted * next;
      rest_ll += (weights[i] * next) * next;
      if ((rest_xl * rest_xl) * sum_ll > (sum_xl * sum_xl) * rest_ll) {
        codes[i] = static_cast<uint8_t>(next);
        sum_xl = rest_xl;
        sum_ll = rest_ll;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return sum_ll > 0 ? sum_xl / sum_ll : 0;
}

}  // namespace
}  // namespace voxquant
