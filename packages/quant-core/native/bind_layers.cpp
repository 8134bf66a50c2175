// Norms, elementwise kernels and attention for JavaScript: sizes are checked here, once, then the data are used in place.
#include <vector>

#include "attention.h"
#include "bindings.h"
#include "elementwise.h"
#include "rope.h"

namespace voxquant {
namespace {

constexpr int64_t kMostSize = INT64_C(1) << 31;

// ---- elementwise and norms ----

napi_value addCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "add");
  int64_t n = 0;
  float* out = call.floats(2, 0, "out", &n);
  const float *a = call.floats(0, n, "a"), *b = call.floats(1, n, "b");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  addAll(a, b, n, out);
  return nullptr;
}

napi_value siluMulCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "siluMul");
  int64_t n = 0;
  float* out = call.floats(2, 0, "out", &n);
  const float *gate = call.floats(0, n, "gate"), *up = call.floats(1, n, "up");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  siluMulAll(gate, up, n, out);
  return nullptr;
}

napi_value geluCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "gelu");
  int64_t n = 0;
  float* out = call.floats(1, 0, "out", &n);
  const float* x = call.floats(0, n, "x");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  geluAll(x, n, out);
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
  FlushDenormals flush;
  rmsNormRows(x, residual, gamma, eps, n / dim, dim, sum, out);
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
  FlushDenormals flush;
  layerNormRows(x, residual, gamma, beta, eps, n / dim, dim, sum, out);
  return nullptr;
}

// ---- attention ----

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
  FlushDenormals flush;
  headNormRope(x, gamma, positions, rows, heads, headDim, eps, theta, out);
  return nullptr;
}

// cachedAttention(q, k, v, keys[], values[], segments Int32Array of (start, count, position, capacity), heads, kvHeads,
// headDim, scale, window, out)
napi_value cachedAttentionCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "cachedAttention");
  const int64_t heads = call.integer(6, "heads", 1, kMostHeads), kvHeads = call.integer(7, "kvHeads", 1, kMostHeads);
  const int64_t headDim = call.integer(8, "headDim", 1, kMostHeadDim);
  const float scale = (float)call.number(9, "scale");
  const int64_t window = call.integer(10, "window", 1);
  if (call.failed) return nullptr;
  if (kvHeads > heads) call.fail("there are more key-value heads than heads");
  std::vector<AttentionSegment> segments;
  const int64_t rows = readSegments(call, 3, 4, 5, kvHeads, headDim, &segments);
  const float* q = call.floats(0, rows * heads * headDim, "q");
  const float *k = call.floats(1, rows * kvHeads * headDim, "k"), *v = call.floats(2, rows * kvHeads * headDim, "v");
  float* out = call.floats(11, rows * heads * headDim, "out");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  cachedAttention(q, k, v, segments.data(), (int64_t)segments.size(), heads, kvHeads, headDim, scale, out, window);
  return nullptr;
}

// int8CacheBytes(headDim, capacity): of one head's keys or values
napi_value int8CacheBytesCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "int8CacheBytes");
  const int64_t headDim = call.integer(0, "headDim", 1, kMostHeadDim), capacity = call.integer(1, "capacity", 1, INT32_MAX);
  if (call.failed) return nullptr;
  napi_value bytes = nullptr;
  napi_create_int64(env, CacheLayout(headDim).headBytes(capacity), &bytes);
  return bytes;
}

// dropInt8Cached(keys, values, kvHeads, headDim, capacity, count)
napi_value dropInt8CachedCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "dropInt8Cached");
  const int64_t kvHeads = call.integer(2, "kvHeads", 1, kMostHeads), headDim = call.integer(3, "headDim", 1, kMostHeadDim);
  const int64_t capacity = call.integer(4, "capacity", 1, INT32_MAX);
  const int64_t count = call.integer(5, "count", 0, capacity);
  if (call.failed) return nullptr;
  const int64_t head = CacheLayout(headDim).headBytes(capacity);
  uint8_t* const keys = static_cast<uint8_t*>(call.array(call.args[0], napi_uint8_array, kvHeads * head, "keys"));
  uint8_t* const values = static_cast<uint8_t*>(call.array(call.args[1], napi_uint8_array, kvHeads * head, "values"));
  if (call.failed) return nullptr;
  for (int64_t h = 0; h < kvHeads; h++) dropInt8Cached(keys + h * head, values + h * head, headDim, capacity, count);
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

int64_t readSegments(Call& call, size_t keys, size_t values, size_t segments, int64_t kvHeads, int64_t headDim,
                     std::vector<AttentionSegment>* found) {
  const uint32_t count = call.listLength(keys, "keys");
  const int32_t* numbers = call.integers(segments, (int64_t)count * 4, "segments");
  if (!call.failed && call.listLength(values, "values") != count) call.fail("keys and values do not fit");
  int64_t rows = 0;
  for (uint32_t i = 0; i < count && !call.failed; i++) {
    AttentionSegment segment = {};
    segment.start = numbers[4 * i];
    segment.count = numbers[4 * i + 1];
    segment.position = numbers[4 * i + 2];
    segment.capacity = numbers[4 * i + 3];
    if (segment.start < 0 || segment.count < 0 || segment.position < 0 || segment.position + segment.count > segment.capacity) {
      call.fail("segment " + std::to_string(i) + " needs " + std::to_string(segment.position + segment.count) + " tokens of a cache of " +
                std::to_string(segment.capacity));
      break;
    }
    const napi_value key = call.listItem(keys, i), value = call.listItem(values, i);
    segment.int8 = call.isArrayOf(key, napi_uint8_array);
    const napi_typedarray_type type = segment.int8 ? napi_uint8_array : napi_float32_array;
    const int64_t size = kvHeads * (segment.int8 ? CacheLayout(headDim).headBytes(segment.capacity) : segment.capacity * headDim);
    segment.keys = call.array(key, type, size, "keys");
    segment.values = call.array(value, type, size, "values");
    if (segment.start + segment.count > rows) rows = segment.start + segment.count;
    found->push_back(segment);
  }
  return rows;
}

void registerLayers(napi_env env, napi_value exports) {
  exportFunction<addCall>(env, exports, "add");
  exportFunction<siluMulCall>(env, exports, "siluMul");
  exportFunction<geluCall>(env, exports, "gelu");
  exportFunction<rmsNormCall>(env, exports, "rmsNorm");
  exportFunction<layerNormCall>(env, exports, "layerNorm");
  exportFunction<headNormRopeCall>(env, exports, "headNormRope");
  exportFunction<cachedAttentionCall>(env, exports, "cachedAttention");
  exportFunction<int8CacheBytesCall>(env, exports, "int8CacheBytes");
  exportFunction<dropInt8CachedCall>(env, exports, "dropInt8Cached");
  exportFunction<blockAttentionCall>(env, exports, "blockAttention");
}

}  // namespace voxquant
