// The fused decoder layer for JavaScript: sizes are checked here, once, then the data are used in place.
#include "bindings.h"
#include "decoder_layer.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

// decoderLayer(x, normed, weights [query, key, value, output, gate, up, down], norms [query | null, key | null, mlp, next],
// keys[], values[], segments, positions, heads, kvHeads, headDim, eps, theta, scale, fast, sum, out)
napi_value decoderLayerCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "decoderLayer");
  DecoderLayer layer = {};
  layer.heads = call.integer(8, "heads", 1, kMostHeads);
  layer.kvHeads = call.integer(9, "kvHeads", 1, kMostHeads);
  layer.headDim = call.integer(10, "headDim", 2, kMostHeadDim);
  layer.eps = (float)call.number(11, "eps");
  layer.theta = call.number(12, "theta");
  layer.scale = (float)call.number(13, "scale");
  layer.fast = call.boolean(14, "fast");
  if (call.failed) return nullptr;
  WeightMatrix* const weights[] = {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate, &layer.up, &layer.down};
  constexpr uint32_t kWeights = 7;
  for (uint32_t i = 0; i < kWeights; i++)
    if (!weightOf(call, call.listItem(2, i), weights[i])) return nullptr;
  const int64_t hidden = layer.output.out, queries = layer.heads * layer.headDim, keys = layer.kvHeads * layer.headDim;
  const bool fits = layer.query.in == hidden && layer.key.in == hidden && layer.value.in == hidden && layer.query.out == queries &&
                    layer.key.out == keys && layer.value.out == keys && layer.output.in == queries && layer.gate.in == hidden &&
                    layer.up.in == hidden && layer.up.out == layer.gate.out && layer.down.in == layer.gate.out && layer.down.out == hidden;
  if (!fits || layer.kvHeads > layer.heads || layer.headDim % 2 != 0) {
    call.fail("the weights do not fit each other and the heads");
    return nullptr;
  }
  const float* norms[4];
  for (uint32_t i = 0; i < 4; i++) {
    const napi_value norm = call.listItem(3, i);
    const bool optional = i < 2;
    norms[i] = optional && call.isNull(norm)
                   ? nullptr
                   : static_cast<const float*>(call.array(norm, napi_float32_array, optional ? layer.headDim : hidden, "norm"));
  }
  layer.queryNorm = norms[0];
  layer.keyNorm = norms[1];
  layer.mlpNorm = norms[2];
  layer.nextNorm = norms[3];
  int64_t rows = 0;
  const int32_t* positions = call.integers(7, 0, "positions", &rows);
  std::vector<AttentionSegment> segments;
  if (!call.failed && readSegments(call, 4, 5, 6, layer.kvHeads, layer.headDim, &segments) > rows)
    call.fail("a segment lies behind the last row");
  const float *x = call.floats(0, rows * hidden, "x"), *normed = call.floats(1, rows * hidden, "normed");
  float *sum = call.floats(15, rows * hidden, "sum"), *out = call.floats(16, rows * hidden, "out");
  if (call.failed || rows == 0) return nullptr;
  {
    FlushDenormals flush;
    decoderLayer(layer, x, normed, positions, rows, segments.data(), (int64_t)segments.size(), sum, out);
  }
  for (const WeightMatrix* weight : weights)
    if (!checkFault(call, *weight)) return nullptr;
  return nullptr;
}

}  // namespace

void registerDecoder(napi_env env, napi_value exports) { exportFunction(env, exports, "decoderLayer", decoderLayerCall); }

}  // namespace voxquant
