// Norms, elementwise kernels and attention for JavaScript: sizes are checked here, once, then the data are used in place.
#include <math.h>

#include <memory>
#include <vector>

#include "attention.h"
#include "dispatch.h"
#include "napi_values.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kMostSize = INT64_C(1) << 31;
constexpr int64_t kMostHeads = 4096, kMostHeadDim = 4096;  // their product with any capacity stays far below 2^63

// ---- elementwise and norms ----

constexpr int64_t kElementChunk = 16384;

template <class Body>
void elements(int64_t n, double nanoseconds, Body&& body) {
  FlushDenormals flush;
  parallelFor((n + kElementChunk - 1) / kElementChunk, (double)n * nanoseconds, [&](int64_t task) {
    const int64_t begin = task * kElementChunk;
    body(begin, n - begin < kElementChunk ? n - begin : kElementChunk);
  });
}

// body(row) in runs of rows
template <class Body>
void rowsOf(int64_t rows, int64_t dim, double nanoseconds, Body&& body) {
  FlushDenormals flush;
  const int64_t run = dim >= kElementChunk ? 1 : (kElementChunk + dim - 1) / dim;
  parallelFor((rows + run - 1) / run, (double)(rows * dim) * nanoseconds, [&](int64_t task) {
    for (int64_t row = task * run; row < rows && row < (task + 1) * run; row++) body(row);
  });
}

napi_value addCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "add");
  int64_t n = 0;
  float* out = call.floats(2, 0, "out", &n);
  const float *a = call.floats(0, n, "a"), *b = call.floats(1, n, "b");
  if (!call.failed) elements(n, 0.15, [&](int64_t begin, int64_t count) { isa().add(a + begin, b + begin, count, out + begin); });
  return nullptr;
}

napi_value siluMulCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "siluMul");
  int64_t n = 0;
  float* out = call.floats(2, 0, "out", &n);
  const float *gate = call.floats(0, n, "gate"), *up = call.floats(1, n, "up");
  if (!call.failed) elements(n, 0.6, [&](int64_t begin, int64_t count) { isa().siluMul(gate + begin, up + begin, count, out + begin); });
  return nullptr;
}

napi_value geluCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "gelu");
  int64_t n = 0;
  float* out = call.floats(1, 0, "out", &n);
  const float* x = call.floats(0, n, "x");
  if (!call.failed) elements(n, 1.0, [&](int64_t begin, int64_t count) { isa().gelu(x + begin, count, out + begin); });
  return nullptr;
}

// rmsNorm(x, residual | null, gamma, eps, dim, sum | null, out)
napi_value rmsNormCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "rmsNorm");
  const int64_t dim = call.integer(4, "dim", 1, kMostSize);
  int64_t n = 0;
  float* out = call.floats(6, 0, "out", &n);
  const float *x = call.floats(0, n, "x"), *residual = call.floatsOrNull(1, n, "residual"), *gamma = call.floats(2, dim, "gamma");
  float* sum = residual ? call.floats(5, n, "sum") : nullptr;
  const float eps = (float)call.number(3, "eps");
  if (!call.failed && n % dim != 0) call.fail("the length is not a multiple of dim");
  if (call.failed) return nullptr;
  rowsOf(n / dim, dim, 0.3, [&](int64_t row) {
    const int64_t at = row * dim;
    isa().rmsNorm(x + at, residual ? residual + at : nullptr, gamma, eps, dim, sum ? sum + at : nullptr, out + at);
  });
  return nullptr;
}

// layerNorm(x, residual | null, gamma, beta, eps, dim, sum | null, out)
napi_value layerNormCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "layerNorm");
  const int64_t dim = call.integer(5, "dim", 1, kMostSize);
  int64_t n = 0;
  float* out = call.floats(7, 0, "out", &n);
  const float *x = call.floats(0, n, "x"), *residual = call.floatsOrNull(1, n, "residual");
  const float *gamma = call.floats(2, dim, "gamma"), *beta = call.floats(3, dim, "beta");
  float* sum = residual ? call.floats(6, n, "sum") : nullptr;
  const float eps = (float)call.number(4, "eps");
  if (!call.failed && n % dim != 0) call.fail("the length is not a multiple of dim");
  if (call.failed) return nullptr;
  rowsOf(n / dim, dim, 0.4, [&](int64_t row) {
    const int64_t at = row * dim;
    isa().layerNorm(x + at, residual ? residual + at : nullptr, gamma, beta, eps, dim, sum ? sum + at : nullptr, out + at);
  });
  return nullptr;
}

// ---- attention ----

// Cosines and sines of every position so far, in double precision before the last rounding; one table per geometry.
class RopeTable {
 public:
  static constexpr int64_t kMostPositions = 1 << 16;

  RopeTable(int64_t headDim, double theta) : headDim_(headDim), theta_(theta) {}
  bool fits(int64_t headDim, double theta) const { return headDim_ == headDim && theta_ == theta; }

  void row(int64_t position, float* out) const {
    const int64_t half = headDim_ / 2;
    for (int64_t i = 0; i < half; i++) {
      const double angle = (double)position * pow(theta_, -2.0 * (double)i / (double)headDim_);
      out[i] = (float)cos(angle);
      out[half + i] = (float)sin(angle);
    }
  }

  void grow(int64_t positions) {
    int64_t have = (int64_t)values_.size() / headDim_;
    if (positions <= have) return;
    const int64_t wanted = positions + 256 < kMostPositions ? positions + 256 : kMostPositions;
    values_.resize((size_t)(wanted * headDim_));
    for (; have < wanted; have++) row(have, values_.data() + have * headDim_);
  }

  const float* at(int64_t position) const { return values_.data() + position * headDim_; }
  int64_t positions() const { return (int64_t)values_.size() / headDim_; }

 private:
  int64_t headDim_;
  double theta_;
  std::vector<float> values_;
};

// Several threads of JavaScript may run models: each has its own tables.
RopeTable& ropeTable(int64_t headDim, double theta) {
  thread_local std::vector<std::unique_ptr<RopeTable>> tables;
  for (auto& table : tables)
    if (table->fits(headDim, theta)) return *table;
  if (tables.size() >= 8) tables.clear();
  tables.emplace_back(new RopeTable(headDim, theta));
  return *tables.back();
}

// headNormRope(x, gamma | null, positions, heads, headDim, eps, theta, out)
napi_value headNormRopeCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "headNormRope");
  const int64_t heads = call.integer(3, "heads", 1, kMostHeads), headDim = call.integer(4, "headDim", 2, kMostHeadDim);
  int64_t rows = 0;
  const int32_t* positions = call.integers(2, 0, "positions", &rows);
  const float *x = call.floats(0, rows * heads * headDim, "x"), *gamma = call.floatsOrNull(1, headDim, "gamma");
  float* out = call.floats(7, rows * heads * headDim, "out");
  const float eps = (float)call.number(5, "eps");
  const double theta = call.number(6, "theta");
  if (!call.failed && headDim % 2 != 0) call.fail("headDim is odd");
  if (call.failed) return nullptr;
  RopeTable& table = ropeTable(headDim, theta);
  int64_t last = -1;
  for (int64_t r = 0; r < rows; r++)
    if (positions[r] > last && positions[r] < RopeTable::kMostPositions) last = positions[r];
  table.grow(last + 1);
  rowsOf(rows, heads * headDim, 0.5, [&](int64_t row) {
    const int64_t position = positions[row];
    const float* cosSin;
    if (position >= 0 && position < table.positions()) {
      cosSin = table.at(position);
    } else {
      float* own = static_cast<float*>(scratch(kScratchRow, headDim * 4));
      table.row(position, own);
      cosSin = own;
    }
    for (int64_t head = 0; head < heads; head++) {
      const int64_t at = (row * heads + head) * headDim;
      isa().normRope(x + at, gamma, cosSin, eps, headDim, out + at);
    }
  });
  return nullptr;
}

// cachedAttention(q, k, v, keys[], values[], segments Int32Array of (start, count, position, capacity), heads, kvHeads,
// headDim, scale, out)
napi_value cachedAttentionCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "cachedAttention");
  const int64_t heads = call.integer(6, "heads", 1, kMostHeads), kvHeads = call.integer(7, "kvHeads", 1, kMostHeads);
  const int64_t headDim = call.integer(8, "headDim", 1, kMostHeadDim);
  const float scale = (float)call.number(9, "scale");
  const uint32_t count = call.listLength(3, "keys");
  const int32_t* numbers = call.integers(5, (int64_t)count * 4, "segments");
  if (call.failed) return nullptr;
  if (call.listLength(4, "values") != count || kvHeads > heads) call.fail("keys and values do not fit");
  std::vector<AttentionSegment> segments(count);
  int64_t rows = 0;
  for (uint32_t i = 0; i < count && !call.failed; i++) {
    AttentionSegment& segment = segments[i];
    segment.start = numbers[4 * i];
    segment.count = numbers[4 * i + 1];
    segment.position = numbers[4 * i + 2];
    segment.capacity = numbers[4 * i + 3];
    if (segment.start < 0 || segment.count < 0 || segment.position < 0 || segment.position + segment.count > segment.capacity) {
      call.fail("segment " + std::to_string(i) + " needs " + std::to_string(segment.position + segment.count) + " tokens of a cache of " +
                std::to_string(segment.capacity));
      break;
    }
    const int64_t size = kvHeads * segment.capacity * headDim;
    segment.keys = static_cast<float*>(call.array(call.listItem(3, i), napi_float32_array, size, "keys"));
    segment.values = static_cast<float*>(call.array(call.listItem(4, i), napi_float32_array, size, "values"));
    if (segment.start + segment.count > rows) rows = segment.start + segment.count;
  }
  const float* q = call.floats(0, rows * heads * headDim, "q");
  const float *k = call.floats(1, rows * kvHeads * headDim, "k"), *v = call.floats(2, rows * kvHeads * headDim, "v");
  float* out = call.floats(10, rows * heads * headDim, "out");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  cachedAttention(q, k, v, segments.data(), (int64_t)count, heads, kvHeads, headDim, scale, out);
  return nullptr;
}

// blockAttention(q, k, v, offsets, heads, headDim, scale, out)
napi_value blockAttentionCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "blockAttention");
  const int64_t heads = call.integer(4, "heads", 1, kMostHeads), headDim = call.integer(5, "headDim", 1, kMostHeadDim);
  int64_t length = 0;
  const int32_t* offsets = call.integers(3, 1, "offsets", &length);
  if (call.failed) return nullptr;
  for (int64_t b = 0; b < length; b++)
    if (offsets[b] < (b ? offsets[b - 1] : 0)) call.fail("offsets decrease");
  const int64_t size = (int64_t)offsets[length - 1] * heads * headDim;
  const float *q = call.floats(0, size, "q"), *k = call.floats(1, size, "k"), *v = call.floats(2, size, "v");
  const float scale = (float)call.number(6, "scale");
  float* out = call.floats(7, size, "out");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  blockAttention(q, k, v, offsets, length - 1, heads, headDim, scale, out);
  return nullptr;
}

}  // namespace

void registerLayers(napi_env env, napi_value exports) {
  exportFunction(env, exports, "add", addCall);
  exportFunction(env, exports, "siluMul", siluMulCall);
  exportFunction(env, exports, "gelu", geluCall);
  exportFunction(env, exports, "rmsNorm", rmsNormCall);
  exportFunction(env, exports, "layerNorm", layerNormCall);
  exportFunction(env, exports, "headNormRope", headNormRopeCall);
  exportFunction(env, exports, "cachedAttention", cachedAttentionCall);
  exportFunction(env, exports, "blockAttention", blockAttentionCall);
}

}  // namespace voxquant
