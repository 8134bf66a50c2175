// The fused decoder layer and stack for JavaScript: sizes are checked here, once, then the data are used in place.
#include <memory>

#include "bindings.h"
#include "decoder_layer.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr uint32_t kLayerWeights = 7, kLayerNorms = 4;
constexpr uint32_t kMostLayers = 4096;

// Seven arguments from `first` on: heads, kvHeads, headDim, eps, theta, scale, fast.
bool readSizes(Call& call, size_t first, DecoderLayer* layer) {
  layer->heads = call.integer(first, "heads", 1, kMostHeads);
  layer->kvHeads = call.integer(first + 1, "kvHeads", 1, kMostHeads);
  layer->headDim = call.integer(first + 2, "headDim", 2, kMostHeadDim);
  layer->eps = (float)call.number(first + 3, "eps");
  layer->theta = call.number(first + 4, "theta");
  layer->scale = (float)call.number(first + 5, "scale");
  layer->fast = call.boolean(first + 6, "fast");
  return !call.failed;
}

// Weights query, key, value, output, gate, up, down from item `firstWeight` of argument `weights` on, and norms query |
// null, key | null, mlp, next from item `firstNorm` of argument `norms` on. The layer's sizes are set already.
bool readLayer(Call& call, size_t weights, uint32_t firstWeight, size_t norms, uint32_t firstNorm, DecoderLayer* layer) {
  WeightMatrix* const matrices[kLayerWeights] = {&layer->query, &layer->key, &layer->value, &layer->output, &layer->gate, &layer->up, &layer->down};
  for (uint32_t i = 0; i < kLayerWeights; i++)
    if (!weightOf(call, call.listItem(weights, firstWeight + i), matrices[i])) return false;
  const int64_t hidden = layer->output.out, queries = layer->heads * layer->headDim, keys = layer->kvHeads * layer->headDim;
  const bool fits = layer->query.in == hidden && layer->key.in == hidden && layer->value.in == hidden && layer->query.out == queries &&
                    layer->key.out == keys && layer->value.out == keys && layer->output.in == queries && layer->gate.in == hidden &&
                    layer->up.in == hidden && layer->up.out == layer->gate.out && layer->down.in == layer->gate.out && layer->down.out == hidden;
  if (!fits || layer->kvHeads > layer->heads || layer->headDim % 2 != 0) {
    call.fail("the weights do not fit each other and the heads");
    return false;
  }
  const float** const vectors[kLayerNorms] = {&layer->queryNorm, &layer->keyNorm, &layer->mlpNorm, &layer->nextNorm};
  for (uint32_t i = 0; i < kLayerNorms; i++) {
    const napi_value norm = call.listItem(norms, firstNorm + i);
    const bool perHead = i < 2;
    *vectors[i] = perHead && call.isNull(norm)
                      ? nullptr
                      : static_cast<const float*>(call.array(norm, napi_float32_array, perHead ? layer->headDim : hidden, "norm"));
  }
  return !call.failed;
}

// False, with an exception, if a weight of the layer lies in a file that was cut.
bool checkFaults(Call& call, const DecoderLayer& layer) {
  for (const WeightMatrix* weight : {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate, &layer.up, &layer.down})
    if (!checkFault(call, *weight)) return false;
  return true;
}

// decoderLayer(x, normed, weights [query, key, value, output, gate, up, down], norms [query | null, key | null, mlp, next],
// keys[], values[], segments, positions, heads, kvHeads, headDim, eps, theta, scale, fast, sum, out)
napi_value decoderLayerCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "decoderLayer");
  DecoderLayer layer = {};
  if (!readSizes(call, 8, &layer) || !readLayer(call, 2, 0, 3, 0, &layer)) return nullptr;
  const int64_t hidden = layer.output.out;
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
    std::vector<StackSegment> alone;
    for (const AttentionSegment& segment : segments) alone.push_back({segment, 0});
    decoderLayers({layer}, 0, x, normed, positions, rows, alone, sum, out);
  }
  checkFaults(call, layer);
  return nullptr;
}

// decoderKeys(normed, weights and norms as decoderLayer has them, keys[], values[], segments, positions, heads, kvHeads, headDim,
// eps, theta, scale, fast)
napi_value decoderKeysCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "decoderKeys");
  DecoderLayer layer = {};
  if (!readSizes(call, 7, &layer) || !readLayer(call, 1, 0, 2, 0, &layer)) return nullptr;
  int64_t rows = 0;
  const int32_t* positions = call.integers(6, 0, "positions", &rows);
  std::vector<AttentionSegment> segments;
  if (!call.failed && readSegments(call, 3, 4, 5, layer.kvHeads, layer.headDim, &segments) > rows)
    call.fail("a segment lies behind the last row");
  const float* normed = call.floats(0, rows * layer.key.in, "normed");
  if (call.failed || rows == 0) return nullptr;
  {
    FlushDenormals flush;
    decoderKeys(layer, normed, positions, rows, segments.data(), (int64_t)segments.size());
  }
  checkFaults(call, layer);
  return nullptr;
}

// How far the layers of a cache lie apart in bytes, in a block of keys, values, keys, values…; 0 if `layers` of them do not
// fit into the rest of the block from the first keys on.
int64_t layerBytes(Call& call, napi_value block, const AttentionSegment& first, size_t layers) {
  napi_typedarray_type type;
  size_t elements = 0;
  if (napi_get_typedarray_info(call.env, block, &type, &elements, nullptr, nullptr, nullptr) != napi_ok) return 0;
  const int64_t elementBytes = type == napi_float32_array ? 4 : 1;
  const int64_t part = static_cast<uint8_t*>(first.values) - static_cast<uint8_t*>(first.keys);
  const bool fits = part > 0 && part <= (int64_t)elements * elementBytes / (2 * (int64_t)layers);
  return fits ? 2 * part : 0;
}

// What the layers of a decoder are called with.
struct StackCall {
  std::vector<DecoderLayer> layers;
  std::vector<StackSegment> segments;
  const int32_t* positions = nullptr;
  int64_t rows = 0;
};

// Arguments from `at` on: weights [of each layer query, key, value, output, gate, up, down], norms [of each layer query | null,
// key | null, mlp, next], caches [each sequence's whole block], values [each sequence's values in the decoder's first layer],
// segments, positions, heads, kvHeads, headDim, eps, theta, scale, fast. The first layer is layer `index` of the decoder.
bool readStack(Call& call, size_t at, int64_t index, StackCall* stack) {
  DecoderLayer sizes = {};
  const uint32_t weights = call.listLength(at, "weights"), layers = weights / kLayerWeights;
  if (!readSizes(call, at + 6, &sizes)) return false;
  if (layers == 0 || layers > kMostLayers || weights != layers * kLayerWeights || call.listLength(at + 1, "norms") != layers * kLayerNorms) {
    call.fail("takes 7 weights and 4 norms of each layer");
    return false;
  }
  stack->layers.assign(layers, sizes);
  for (uint32_t i = 0; i < layers; i++) {
    DecoderLayer& layer = stack->layers[i];
    if (!readLayer(call, at, i * kLayerWeights, at + 1, i * kLayerNorms, &layer)) return false;
    if (layer.output.out != stack->layers[0].output.out) call.fail("the layers differ in width");
  }
  stack->positions = call.integers(at + 5, 0, "positions", &stack->rows);
  std::vector<AttentionSegment> first;
  if (!call.failed && readSegments(call, at + 2, at + 3, at + 4, sizes.kvHeads, sizes.headDim, &first) > stack->rows)
    call.fail("a segment lies behind the last row");
  const size_t last = (size_t)index + layers;
  for (uint32_t i = 0; i < first.size() && !call.failed; i++) {
    stack->segments.push_back({first[i], layerBytes(call, call.listItem(at + 2, i), first[i], last)});
    if (stack->segments[i].layerBytes == 0) call.fail("cache " + std::to_string(i) + " is not that of " + std::to_string(last) + " layers");
  }
  return !call.failed;
}

// decoderStack(x, norm, what readStack reads, out)
napi_value decoderStackCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "decoderStack");
  StackCall stack;
  if (!readStack(call, 2, 0, &stack)) return nullptr;
  const int64_t hidden = stack.layers[0].output.out, size = stack.rows * hidden;
  const float *x = call.floats(0, size, "x"), *norm = call.floats(1, hidden, "norm");
  float* out = call.floats(15, size, "out");
  if (call.failed || stack.rows == 0) return nullptr;
  {
    FlushDenormals flush;
    const std::unique_ptr<float[]> stream(new float[size]);
    decoderStack(norm, stack.layers, x, stack.positions, stack.rows, stack.segments, stream.get(), out);
  }
  for (const DecoderLayer& layer : stack.layers)
    if (!checkFaults(call, layer)) return nullptr;
  return nullptr;
}

// decoderLayers(stream, normed, index, what readStack reads); both are overwritten
napi_value decoderLayersCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "decoderLayers");
  const int64_t index = call.integer(2, "index", 0, kMostLayers);
  StackCall stack;
  if (call.failed || !readStack(call, 3, index, &stack)) return nullptr;
  const int64_t size = stack.rows * stack.layers[0].output.out;
  float *stream = call.floats(0, size, "stream"), *normed = call.floats(1, size, "normed");
  if (call.failed || stack.rows == 0) return nullptr;
  {
    FlushDenormals flush;
    decoderLayers(stack.layers, (size_t)index, stream, normed, stack.positions, stack.rows, stack.segments, stream, normed);
  }
  for (const DecoderLayer& layer : stack.layers)
    if (!checkFaults(call, layer)) return nullptr;
  return nullptr;
}

}  // namespace

void registerDecoder(napi_env env, napi_value exports) {
  exportFunction<decoderLayerCall>(env, exports, "decoderLayer");
  exportFunction<decoderKeysCall>(env, exports, "decoderKeys");
  exportFunction<decoderStackCall>(env, exports, "decoderStack");
  exportFunction<decoderLayersCall>(env, exports, "decoderLayers");
}

}  // namespace voxquant
