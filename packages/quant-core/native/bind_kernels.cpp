// The kernels for JavaScript: sizes are checked here, once, then the data are used in place.
#include <string.h>

#include <memory>
#include <mutex>
#include <vector>

#include <math.h>

#include "attention.h"
#include "conv.h"
#include "linear.h"
#include "mapping.h"
#include "napi_values.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kMostRows = INT64_C(1) << 31;
constexpr int64_t kMostSize = INT64_C(1) << 31;
constexpr int64_t kMostHeads = 4096, kMostHeadDim = 4096;  // their product with any capacity stays far below 2^63

// ---- weights ----

struct WeightHandle {
  WeightMatrix matrix;
  napi_ref bytes;  // of the Uint8Array; null after release
};

const napi_type_tag kWeightTag = {0x3fa0c1d2886d4a05, 0xb6e4f1907c2d5e38};

void finalizeWeight(napi_env env, void* data, void*) {
  WeightHandle* handle = static_cast<WeightHandle*>(data);
  if (handle->bytes) napi_delete_reference(env, handle->bytes);
  delete handle;
}

WeightHandle* weightHandle(Call& call, napi_value value) {
  bool ours = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(call.env, value, &kWeightTag, &ours) != napi_ok || !ours ||
      napi_get_value_external(call.env, value, &data) != napi_ok) {
    call.fail("this is not a prepared weight");
    return nullptr;
  }
  return static_cast<WeightHandle*>(data);
}

// The bytes are looked up on every call: a buffer that was detached or unmapped since then is noticed.
bool weightOf(Call& call, napi_value value, WeightMatrix* matrix) {
  WeightHandle* handle = weightHandle(call, value);
  if (!handle) return false;
  napi_value bytes = nullptr;
  if (!handle->bytes || napi_get_reference_value(call.env, handle->bytes, &bytes) != napi_ok || !bytes) {
    call.fail("the weight was released");
    return false;
  }
  *matrix = handle->matrix;
  matrix->data = static_cast<const uint8_t*>(call.array(bytes, napi_uint8_array, matrix->out * matrix->rowBytes, "the weight's bytes (was its file closed?)"));
  return !call.failed;
}

// Throws if a weight lies in a file that was cut.
bool checkFault(Call& call, const WeightMatrix& weight) {
  if (!anyFault()) return true;
  const char* path = faultedPath(weight.data);
  if (!path) return true;
  napi_throw_error(call.env, "ERR_FILE_CUT", (std::string(path) + ": the file was cut while in use; the model must be loaded again").c_str());
  return false;
}

napi_value prepareWeight(napi_env env, napi_callback_info info) {
  Call call(env, info, "prepareWeight");
  WeightMatrix matrix = {};
  matrix.dtype = (int32_t)call.integer(0, "type", 0, 1000);
  matrix.out = call.integer(1, "rows", 0, kMostRows);
  matrix.in = call.integer(2, "row length", 1, kMostSize);
  if (call.failed) return nullptr;
  matrix.traits = traitsOf(matrix.dtype);
  if (!matrix.traits) {
    call.fail("there are no kernels for ggml type " + std::to_string(matrix.dtype));
    return nullptr;
  }
  if (matrix.in % matrix.traits->block != 0) {
    call.fail("row length " + std::to_string(matrix.in) + " is not a multiple of " + std::to_string(matrix.traits->block));
    return nullptr;
  }
  matrix.rowBytes = matrix.in / matrix.traits->block * matrix.traits->bytes;
  if (matrix.out > (INT64_C(1) << 53) / matrix.rowBytes) call.fail("the matrix is too large");
  else call.array(call.args[3], napi_uint8_array, matrix.out * matrix.rowBytes, "bytes");
  if (call.failed) return nullptr;
  WeightHandle* handle = new WeightHandle{matrix, nullptr};
  napi_create_reference(env, call.args[3], 1, &handle->bytes);
  napi_value external = nullptr;
  napi_create_external(env, handle, finalizeWeight, nullptr, &external);
  napi_type_tag_object(env, external, &kWeightTag);
  return external;
}

napi_value releaseWeight(napi_env env, napi_callback_info info) {
  Call call(env, info, "releaseWeight");
  WeightHandle* handle = weightHandle(call, call.args[0]);
  if (handle && handle->bytes) {
    napi_delete_reference(env, handle->bytes);
    handle->bytes = nullptr;
  }
  return nullptr;
}

// ---- matrix products ----

napi_value linearCall(napi_env env, napi_callback_info info) {
  constexpr uint32_t kMostWeights = 8;
  Call call(env, info, "linear");
  const int64_t rows = call.integer(1, "rows", 0, kMostRows);
  const uint32_t count = call.listLength(2, "weights");
  const bool fast = call.boolean(5, "fast");
  if (call.failed) return nullptr;
  if (count == 0 || count > kMostWeights || call.listLength(3, "biases") != count || call.listLength(4, "outs") != count) {
    call.fail("takes 1 to 8 weights and as many biases and outputs");
    return nullptr;
  }
  WeightMatrix weights[kMostWeights];
  const float* biases[kMostWeights];
  float* outs[kMostWeights];
  for (uint32_t i = 0; i < count; i++) {
    if (!weightOf(call, call.listItem(2, i), &weights[i])) return nullptr;
    if (weights[i].in != weights[0].in) call.fail("the weights have different row lengths");
    napi_value bias = call.listItem(3, i);
    biases[i] = call.isNull(bias) ? nullptr : static_cast<const float*>(call.array(bias, napi_float32_array, weights[i].out, "bias"));
    outs[i] = static_cast<float*>(call.array(call.listItem(4, i), napi_float32_array, rows * weights[i].out, "out"));
  }
  const float* x = call.floats(0, rows * weights[0].in, "x");
  if (call.failed) return nullptr;
  {
    FlushDenormals flush;
    linear(x, rows, (int)count, weights, biases, outs, fast);
  }
  for (uint32_t i = 0; i < count; i++)
    if (!checkFault(call, weights[i])) return nullptr;
  return nullptr;
}

napi_value linearArgmaxCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "linearArgmax");
  const int64_t rows = call.integer(1, "rows", 0, kMostRows);
  WeightMatrix weight;
  if (call.failed || !weightOf(call, call.args[2], &weight)) return nullptr;
  const float* x = call.floats(0, rows * weight.in, "x");
  int32_t* out = call.integers(3, rows, "out");
  const bool fast = call.boolean(4, "fast");
  if (call.failed) return nullptr;
  {
    FlushDenormals flush;
    linearArgmax(x, rows, weight, out, fast);
  }
  checkFault(call, weight);
  return nullptr;
}

napi_value embeddingCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "embedding");
  int64_t count = 0;
  const int32_t* ids = call.integers(0, 0, "ids", &count);
  WeightMatrix weight;
  if (call.failed || !weightOf(call, call.args[1], &weight)) return nullptr;
  float* out = call.floats(2, count * weight.in, "out");
  for (int64_t i = 0; i < count && !call.failed; i++)
    if (ids[i] < 0 || ids[i] >= weight.out) call.fail("id " + std::to_string(ids[i]) + " is not in 0.." + std::to_string(weight.out - 1));
  if (call.failed) return nullptr;
  {
    FlushDenormals flush;
    embedding(ids, count, weight, out);
  }
  checkFault(call, weight);
  return nullptr;
}

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

// conv2d(x, geometry Int32Array, weight, bias | null, out, fast)
napi_value conv2dCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "conv2d");
  const int32_t* n = call.integers(1, 13, "geometry");
  WeightMatrix weight;
  if (call.failed || !weightOf(call, call.args[2], &weight)) return nullptr;
  const ConvGeometry g = {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12] != 0};
  for (int i = 0; i < 9; i++)
    if (n[i] < 1) call.fail("geometry has a size below 1");
  int64_t size = 1;
  for (int i : {0, 1, 2, 3, 4, 9, 10})  // every product below is at most this one times a few paddings
    if ((size *= n[i] < 1 ? 1 : n[i]) > INT64_C(1) << 44) {
      call.fail("the image is too large");
      size = 1;
    }
  if (call.failed) return nullptr;
  if (n[9] < 0 || n[10] < 0 || g.outHeight() < 1 || g.outWidth() < 1) call.fail("the kernel does not fit the image");
  if (weight.out != g.outChannels || weight.in != g.inChannels * g.kernelH * g.kernelW) call.fail("the weight does not fit the geometry");
  const float* x = call.floats(0, g.batch * g.height * g.width * g.inChannels, "x");
  const float* bias = call.floatsOrNull(3, g.outChannels, "bias");
  float* out = call.failed ? nullptr : call.floats(4, g.batch * g.outHeight() * g.outWidth() * g.outChannels, "out");
  const bool fast = call.boolean(5, "fast");
  if (call.failed) return nullptr;
  {
    FlushDenormals flush;
    conv2d(x, g, weight, bias, out, fast);
  }
  checkFault(call, weight);
  return nullptr;
}

// ---- machine ----

// Reads all bytes once with all threads, for benchmarks: the speed that a matrix x vector product can have at most.
napi_value streamReadCall(napi_env env, napi_callback_info info) {
  constexpr int64_t kChunk = 1 << 20;
  Call call(env, info, "streamRead");
  int64_t length = 0;
  const uint8_t* bytes = static_cast<const uint8_t*>(call.array(call.args[0], napi_uint8_array, 0, "bytes", &length));
  if (call.failed) return nullptr;
  std::vector<uint64_t> sums((size_t)((length + kChunk - 1) / kChunk));
  parallelFor((int64_t)sums.size(), (double)length, [&](int64_t task) {
    const int64_t end = (task + 1) * kChunk < length ? (task + 1) * kChunk : length;
    uint64_t sum[8] = {};
    for (int64_t at = task * kChunk; at + 64 <= end; at += 64) {
      uint64_t words[8];
      memcpy(words, bytes + at, 64);
      for (int i = 0; i < 8; i++) sum[i] += words[i];
    }
    for (uint64_t part : sum) sums[(size_t)task] += part;
  });
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  napi_value result = nullptr;
  napi_create_double(env, (double)(total & 0xffffffff), &result);
  return result;
}

napi_value isaCall(napi_env env, napi_callback_info) { return makeString(env, isa().name); }

napi_value isaLevelsCall(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  for (int i = 0; i < isaCount(); i++) napi_set_element(env, list, (uint32_t)i, makeString(env, isaAt(i)->name));
  return list;
}

napi_value setIsaCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "setIsa");
  const std::string name = call.text(0, "name");
  napi_value result = nullptr;
  napi_get_boolean(env, !call.failed && setIsa(name.c_str()), &result);
  return result;
}

napi_value checkIsaCall(napi_env env, napi_callback_info) {
  const char* problem = checkIsa(&isa());
  if (problem) return makeString(env, problem);
  napi_value result = nullptr;
  napi_get_null(env, &result);
  return result;
}

napi_value threadsCall(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_int32(env, threads(), &result);
  return result;
}

napi_value setThreadsCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "setThreads");
  const int64_t count = call.integer(0, "threads", 1, 256);
  if (!call.failed) setThreads((int)count);
  return nullptr;
}

}  // namespace

void registerKernels(napi_env env, napi_value exports) {
  exportFunction(env, exports, "prepareWeight", prepareWeight);
  exportFunction(env, exports, "releaseWeight", releaseWeight);
  exportFunction(env, exports, "linear", linearCall);
  exportFunction(env, exports, "linearArgmax", linearArgmaxCall);
  exportFunction(env, exports, "embedding", embeddingCall);
  exportFunction(env, exports, "add", addCall);
  exportFunction(env, exports, "siluMul", siluMulCall);
  exportFunction(env, exports, "gelu", geluCall);
  exportFunction(env, exports, "rmsNorm", rmsNormCall);
  exportFunction(env, exports, "layerNorm", layerNormCall);
  exportFunction(env, exports, "headNormRope", headNormRopeCall);
  exportFunction(env, exports, "cachedAttention", cachedAttentionCall);
  exportFunction(env, exports, "blockAttention", blockAttentionCall);
  exportFunction(env, exports, "conv2d", conv2dCall);
  exportFunction(env, exports, "streamRead", streamReadCall);
  exportFunction(env, exports, "isa", isaCall);
  exportFunction(env, exports, "isaLevels", isaLevelsCall);
  exportFunction(env, exports, "setIsa", setIsaCall);
  exportFunction(env, exports, "checkIsa", checkIsaCall);
  exportFunction(env, exports, "threads", threadsCall);
  exportFunction(env, exports, "setThreads", setThreadsCall);
}

}  // namespace voxquant
