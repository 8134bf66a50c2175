// Weights and matrix products for JavaScript: sizes are checked here, once, then the data are used in place.
#include "bindings.h"
#include "conv.h"
#include "linear.h"
#include "mapping.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kMostRows = INT64_C(1) << 31;
constexpr int64_t kMostSize = INT64_C(1) << 31;

// ---- weights ----

struct WeightHandle {
  WeightMatrix matrix;
  napi_ref bytes;  // of the Uint8Array; null after release
  KeptFilter filter;
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

}  // namespace

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

bool checkFault(Call& call, const WeightMatrix& weight) {
  if (!anyFault()) return true;
  const char* path = faultedPath(weight.data);
  if (!path) return true;
  throwBackendError(call.env, std::string(path) + ": the file was cut while in use; the model must be loaded again");
  return false;
}

namespace {

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
  WeightHandle* handle = new WeightHandle{matrix, nullptr, {}};
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
    handle->filter = {};
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

// ---- convolution ----

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
    conv2d(x, g, weight, bias, out, fast, weightHandle(call, call.args[2])->filter);
  }
  checkFault(call, weight);
  return nullptr;
}

}  // namespace

void registerProducts(napi_env env, napi_value exports) {
  exportFunction<prepareWeight>(env, exports, "prepareWeight");
  exportFunction<releaseWeight>(env, exports, "releaseWeight");
  exportFunction<linearCall>(env, exports, "linear");
  exportFunction<linearArgmaxCall>(env, exports, "linearArgmax");
  exportFunction<embeddingCall>(env, exports, "embedding");
  exportFunction<conv2dCall>(env, exports, "conv2d");
}

}  // namespace voxquant
