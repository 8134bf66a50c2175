// Kernels of audio codecs for JavaScript: sizes are checked here, once, then the data are used in place.
#include "bindings.h"
#include "causal_conv.h"
#include "elementwise.h"

namespace voxquant {
namespace {

constexpr int64_t kMostSize = INT64_C(1) << 31;
constexpr int64_t kMostTaps = INT64_C(1) << 20;

// causalConv1d(x, rows, inChannels, kernel, dilation, activation, weight, bias | null, history | null, residual | null, out, fast)
napi_value causalConv1dCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "causalConv1d");
  CausalConv conv = {};
  conv.rows = call.integer(1, "rows", 0, kMostSize);
  conv.inChannels = call.integer(2, "inChannels", 1, kMostSize);
  conv.kernel = call.integer(3, "kernel", 1, kMostTaps);
  conv.dilation = call.integer(4, "dilation", 1, kMostTaps);
  conv.activation = (int32_t)call.integer(5, "activation", 0, kActSilu);
  WeightMatrix weight;
  if (call.failed || !weightOf(call, call.args[6], &weight)) return nullptr;
  if (weight.in != conv.kernel * conv.inChannels) call.fail("the weight does not fit the geometry");
  if (call.failed) return nullptr;
  if (conv.before() > kMostSize / conv.inChannels || conv.rows > kMostSize / weight.out) call.fail("the signal is too large");
  if (call.failed) return nullptr;
  const int64_t before = conv.before() * conv.inChannels, size = conv.rows * weight.out;
  const float *x = call.floats(0, conv.rows * conv.inChannels, "x"), *bias = call.floatsOrNull(7, weight.out, "bias");
  float* history = call.floatsOrNull(8, before, "history");
  const float* residual = call.floatsOrNull(9, size, "residual");
  float* out = call.floats(10, size, "out");
  const bool fast = call.boolean(11, "fast");
  if (call.failed || conv.rows == 0) return nullptr;
  {
    FlushDenormals flush;
    causalConv1d(x, conv, weight, bias, history, residual, out, fast);
  }
  checkFault(call, weight);
  return nullptr;
}

// depthwiseCausalConv1d(x, rows, channels, kernel, weight, bias, history | null, out)
napi_value depthwiseCausalConv1dCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "depthwiseCausalConv1d");
  const int64_t rows = call.integer(1, "rows", 0, kMostSize), channels = call.integer(2, "channels", 1, kMostSize);
  const int64_t kernel = call.integer(3, "kernel", 1, kMostTaps);
  const float *x = call.floats(0, rows * channels, "x"), *weight = call.floats(4, kernel * channels, "weight");
  const float* bias = call.floats(5, channels, "bias");
  float *history = call.floatsOrNull(6, (kernel - 1) * channels, "history"), *out = call.floats(7, rows * channels, "out");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  depthwiseCausalConv1d(x, rows, channels, kernel, weight, bias, history, out);
  return nullptr;
}

// Rows of `channels` elements with parameters per channel. Null if a size does not fit, else out and in *rows their count.
float* rowsOf(Call& call, size_t out, int64_t channels, int64_t* rows) {
  int64_t n = 0;
  float* data = call.floats(out, 0, "out", &n);
  if (!call.failed && n % channels != 0) call.fail("the length is not a multiple of the channels");
  *rows = call.failed ? 0 : n / channels;
  return data;
}

// snake(x, alpha, inverseBeta, channels, out)
napi_value snakeCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "snake");
  const int64_t channels = call.integer(3, "channels", 1, kMostSize);
  if (call.failed) return nullptr;
  int64_t rows = 0;
  float* out = rowsOf(call, 4, channels, &rows);
  const float *x = call.floats(0, rows * channels, "x"), *alpha = call.floats(1, channels, "alpha");
  const float* inverseBeta = call.floats(2, channels, "inverseBeta");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  forRows(rows, channels, 0.6, [&](int64_t row) { isa().snake(x + row * channels, alpha, inverseBeta, channels, out + row * channels); });
  return nullptr;
}

// addScaled(x, y, scale, channels, out)
napi_value addScaledCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "addScaled");
  const int64_t channels = call.integer(3, "channels", 1, kMostSize);
  if (call.failed) return nullptr;
  int64_t rows = 0;
  float* out = rowsOf(call, 4, channels, &rows);
  const float *x = call.floats(0, rows * channels, "x"), *y = call.floats(1, rows * channels, "y"), *scale = call.floats(2, channels, "scale");
  if (call.failed) return nullptr;
  FlushDenormals flush;
  forRows(rows, channels, 0.2, [&](int64_t row) { isa().addScaled(x + row * channels, y + row * channels, scale, channels, out + row * channels); });
  return nullptr;
}

}  // namespace

void registerCodec(napi_env env, napi_value exports) {
  exportFunction<causalConv1dCall>(env, exports, "causalConv1d");
  exportFunction<depthwiseCausalConv1dCall>(env, exports, "depthwiseCausalConv1d");
  exportFunction<snakeCall>(env, exports, "snake");
  exportFunction<addScaledCall>(env, exports, "addScaled");
}

}  // namespace voxquant
