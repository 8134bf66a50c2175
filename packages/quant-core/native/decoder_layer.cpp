#include "decoder_layer.h"

#include <algorithm>

#include "elementwise.h"
#include "linear.h"
#include "rope.h"

namespace voxquant {
namespace {

// Rows that go through the MLP together: its wide activations are what takes memory.
constexpr int64_t kMlpRows = 512;

int64_t rowsOfMlp(int64_t rows) { return std::min(rows, kMlpRows); }

// Floats that layerBody takes.
int64_t bodyFloats(const DecoderLayer& layer, int64_t rows) {
  return rows * layer.output.out + std::max(rows * 2 * (layer.query.out + layer.key.out), rowsOfMlp(rows) * 2 * layer.gate.out);
}

// The sum of a stream x and what half a layer added to it, and its norm, row by row. sum may be x.
RowMaker normedSum(const float* x, const float* added, const float* gamma, float eps, int64_t hidden, float* sum) {
  return [=](int64_t row, float* space) {
    const int64_t at = row * hidden;
    isa().rmsNorm(x + at, added + at, gamma, eps, hidden, sum + at, space);
    return space;
  };
}

// A layer up to what its MLP adds to the stream, which is returned: [rows, hidden], at the start of memory (bodyFloats).
// makeNormed: rows of the stream's norm; x: the stream, complete when they are made; sum: the stream that the MLP adds to, may
// be x; norms [rows, hidden]: space for norms.
const float* layerBody(const DecoderLayer& layer, const RowMaker& makeNormed, const float* x, const int32_t* positions, int64_t rows,
                       const std::vector<AttentionSegment>& segments, float* memory, float* sum, float* norms) {
  const int64_t hidden = layer.output.out, wide = layer.gate.out, mlpRows = rowsOfMlp(rows);
  const int64_t queries = layer.query.out, keys = layer.key.out;
  const float* noBias[3] = {};
  float *projected = memory, *q = memory + rows * hidden, *k = q + rows * queries, *v = k + rows * keys, *mixed = v + rows * keys;
  {
    const WeightMatrix weights[3] = {layer.query, layer.key, layer.value};
    float* const outs[3] = {q, k, v};
    linearOfMade(makeNormed, kRmsNormCost, norms, rows, 3, weights, noBias, outs, layer.fast);
  }
  headNormRope(q, layer.queryNorm, positions, rows, layer.heads, layer.headDim, layer.eps, layer.theta, q);
  headNormRope(k, layer.keyNorm, positions, rows, layer.kvHeads, layer.headDim, layer.eps, layer.theta, k);
  cachedAttention(q, k, v, segments.data(), (int64_t)segments.size(), layer.heads, layer.kvHeads, layer.headDim, layer.scale, mixed);
  linear(mixed, rows, 1, &layer.output, noBias, &projected, layer.fast);

  float *gate = memory + rows * hidden, *up = gate + mlpRows * wide;
  for (int64_t first = 0; first < rows; first += mlpRows) {
    const int64_t count = std::min(mlpRows, rows - first), at = first * hidden;
    float* const down = projected + at;
    const RowMaker makeNorm = normedSum(x + at, down, layer.mlpNorm, layer.eps, hidden, sum + at);
    gatedOfMade(makeNorm, kRmsNormCost, norms + at, count, layer.gate, layer.up, up, gate, layer.fast);
    linear(gate, count, 1, &layer.down, noBias, &down, layer.fast);
  }
  return projected;
}

}  // namespace

void decoderLayers(const std::vector<DecoderLayer>& layers, size_t index, const float* x, const float* normed, const int32_t* positions,
                   int64_t rows, const std::vector<StackSegment>& segments, float* sum, float* out) {
  const int64_t hidden = layers[0].output.out;
  int64_t floats = 0;
  for (const DecoderLayer& layer : layers) floats = std::max(floats, bodyFloats(layer, rows));
  float* const memory = static_cast<float*>(scratch(kScratchLayer, floats * 4));
  std::vector<AttentionSegment> caches(segments.size());
  RowMaker makeNormed = rowsOf(normed, hidden);
  const float *stream = x, *added = nullptr;
  for (const DecoderLayer& layer : layers) {
    for (size_t s = 0; s < segments.size(); s++) {
      const int64_t offset = (int64_t)index * segments[s].layerBytes;
      caches[s] = segments[s].first;
      caches[s].keys = static_cast<uint8_t*>(caches[s].keys) + offset;
      caches[s].values = static_cast<uint8_t*>(caches[s].values) + offset;
    }
    added = layerBody(layer, makeNormed, stream, positions, rows, caches, memory, sum, out);
    makeNormed = normedSum(sum, added, layer.nextNorm, layer.eps, hidden, sum);
    stream = sum;
    index++;
  }
  rmsNormRows(sum, added, layers.back().nextNorm, layers.back().eps, rows, hidden, sum, out);
}

void decoderStack(const float* inputNorm, const std::vector<DecoderLayer>& layers, const float* x, const int32_t* positions, int64_t rows,
                  const std::vector<StackSegment>& segments, float* stream, float* out) {
  rmsNormRows(x, nullptr, inputNorm, layers[0].eps, rows, layers[0].output.out, nullptr, out);
  decoderLayers(layers, 0, x, out, positions, rows, segments, stream, out);
}

void decoderKeys(const DecoderLayer& layer, const float* normed, const int32_t* positions, int64_t rows, const AttentionSegment* segments,
                 int64_t segmentCount) {
  const int64_t width = layer.key.out;
  float *k = static_cast<float*>(scratch(kScratchLayer, rows * 2 * width * 4)), *v = k + rows * width;
  const WeightMatrix weights[2] = {layer.key, layer.value};
  const float* noBias[2] = {};
  float* const outs[2] = {k, v};
  linear(normed, rows, 2, weights, noBias, outs, layer.fast);
  headNormRope(k, layer.keyNorm, positions, rows, layer.kvHeads, layer.headDim, layer.eps, layer.theta, k);
  const int64_t noQueries = 0;
  cachedAttention(nullptr, k, v, segments, segmentCount, noQueries, layer.kvHeads, layer.headDim, layer.scale, nullptr);
}

}  // namespace voxquant
