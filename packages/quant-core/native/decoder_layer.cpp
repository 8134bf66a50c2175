#include "decoder_layer.h"

#include <algorithm>

#include "elementwise.h"
#include "linear.h"
#include "rope.h"

namespace voxquant {
namespace {

// Rows that go through the MLP together: its wide activations are what takes memory.
constexpr int64_t kMlpRows = 512;

void linearAlone(const float* x, int64_t rows, const WeightMatrix& weight, float* out, bool fast) {
  const float* bias = nullptr;
  linear(x, rows, 1, &weight, &bias, &out, fast);
}

int64_t rowsOfMlp(int64_t rows) { return std::min(rows, kMlpRows); }

// Floats that layerBody takes.
int64_t bodyFloats(const DecoderLayer& layer, int64_t rows) {
  return rows * layer.output.out + std::max(rows * 2 * (layer.query.out + layer.key.out), rowsOfMlp(rows) * 2 * layer.gate.out);
}

// The sum of a stream x and what a layer's half added to it, and its norm, row by row. sum may be x.
RowMaker normedSum(const float* x, const float* added, const float* gamma, float eps, int64_t hidden, float* sum) {
  return [=](int64_t row, float* space) {
    const int64_t at = row * hidden;
    isa().rmsNorm(x + at, added + at, gamma, eps, hidden, sum + at, space);
    return space;
  };
}
constexpr double kNormedSumCost = 0.3;

// A layer up to what its MLP adds to the stream, which is returned: [rows, hidden], at the start of memory (bodyFloats). The
// norm that comes first is what `make` makes or, without it, normed. x: the stream, complete when its norm is made; sum: the
// stream that the MLP adds to; floats [rows, hidden]: space for norms, may be normed.
const float* layerBody(const DecoderLayer& layer, const RowMaker& make, const float* normed, const float* x, const int32_t* positions, 
                       int64_t rows, const AttentionSegment* segments, int64_t segmentCount, float* memory, float* sum, float* floats) {
  const int64_t hidden = layer.output.out, wide = layer.gate.out, mlpRows = rowsOfMlp(rows);
  const int64_t queries = layer.query.out, keys = layer.key.out;
  const float* noBias[3] = {};
  float *projected = memory, *q = memory + rows * hidden, *k = q + rows * queries, *v = k + rows * keys, *mixed = v + rows * keys;
  {
    const WeightMatrix weights[3] = {layer.query, layer.key, layer.value};
    float* const outs[3] = {q, k, v};
    if (make) linearOfMade(make, kNormedSumCost, floats, rows, 3, weights, noBias, outs, layer.fast);
    else linear(normed, rows, 3, weights, noBias, outs, layer.fast);
  }
  headNormRope(q, layer.queryNorm, positions, rows, layer.heads, layer.headDim, layer.eps, layer.theta, q);
  headNormRope(k, layer.keyNorm, positions, rows, layer.kvHeads, layer.headDim, layer.eps, layer.theta, k);
  cachedAttention(q, k, v, segments, segmentCount, layer.heads, layer.kvHeads, layer.headDim, layer.scale, mixed);
  linearAlone(mixed, rows, layer.output, projected, layer.fast);

  float *gate = memory + rows * hidden, *up = gate + mlpRows * wide;
  for (int64_t first = 0; first < rows; first += mlpRows) {
    const int64_t count = std::min(mlpRows, rows - first), at = first * hidden;
    const WeightMatrix weights[2] = {layer.gate, layer.up};
    float* const outs[2] = {gate, up};
    linearOfMade(normedSum(x + at, projected + at, layer.mlpNorm, layer.eps, hidden, sum + at), kNormedSumCost, floats + at, count, 2, weights,
                 noBias, outs, layer.fast);
    const RowMaker activated = [=](int64_t row, float* space) {
      isa().siluMul(gate + row * wide, up + row * wide, wide, space);
      return space;
    };
    float* const down = projected + at;
    linearOfMade(activated, 0.6, gate, count, 1, &layer.down, noBias, &down, layer.fast);
  }
  return projected;
}

float* bodyMemory(int64_t floats) { return static_cast<float*>(scratch(kScratchLayer, floats * 4)); }

}  // namespace

void decoderLayer(const DecoderLayer& layer, const float* x, const float* normed, const int32_t* positions, int64_t rows,
                  const AttentionSegment* segments, int64_t segmentCount, float* sum, float* out) {
  float* const memory = bodyMemory(bodyFloats(layer, rows));
  const float* const added = layerBody(layer, {}, normed, x, positions, rows, segments, segmentCount, memory, sum, out);
  rmsNormRows(sum, added, layer.nextNorm, layer.eps, rows, layer.output.out, sum, out);
}

void decoderLayersInPlace(const std::vector<DecoderLayer>& layers, float* stream, float* normed, const int32_t* positions, int64_t rows,
                          int64_t segmentCount, const std::function<const AttentionSegment*(size_t)>& segments) {
  const int64_t hidden = layers[0].output.out;
  int64_t floats = 0;
  for (const DecoderLayer& layer : layers) floats = std::max(floats, bodyFloats(layer, rows));
  float* const memory = bodyMemory(floats);
  const float* added = nullptr;
  RowMaker make;
  for (size_t l = 0; l < layers.size(); l++) {
    const DecoderLayer& layer = layers[l];
    added = layerBody(layer, make, normed, stream, positions, rows, segments(l), segmentCount, memory, stream, normed);
    make = normedSum(stream, added, layer.nextNorm, layer.eps, hidden, stream);
  }
  rmsNormRows(stream, added, layers.back().nextNorm, layers.back().eps, rows, hidden, stream, normed);
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
