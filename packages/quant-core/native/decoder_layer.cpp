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

}  // namespace

void decoderLayer(const DecoderLayer& layer, const float* x, const float* normed, const int32_t* positions, int64_t rows,
                  const AttentionSegment* segments, int64_t segmentCount, float* sum, float* out) {
  const int64_t hidden = layer.output.out, wide = layer.gate.out, mlpRows = std::min(rows, kMlpRows);
  const int64_t queries = layer.query.out, keys = layer.key.out;
  const float* noBias[3] = {};
  float* memory = static_cast<float*>(
      scratch(kScratchLayer, (rows * hidden + std::max(rows * 2 * (queries + keys), mlpRows * 2 * wide)) * 4));
  float *projected = memory, *q = memory + rows * hidden, *k = q + rows * queries, *v = k + rows * keys, *mixed = v + rows * keys;
  {
    const WeightMatrix weights[3] = {layer.query, layer.key, layer.value};
    float* const outs[3] = {q, k, v};
    linear(normed, rows, 3, weights, noBias, outs, layer.fast);
  }
  headNormRope(q, layer.queryNorm, positions, rows, layer.heads, layer.headDim, layer.eps, layer.theta, q);
  headNormRope(k, layer.keyNorm, positions, rows, layer.kvHeads, layer.headDim, layer.eps, layer.theta, k);
  cachedAttention(q, k, v, segments, segmentCount, layer.heads, layer.kvHeads, layer.headDim, layer.scale, mixed);
  linearAlone(mixed, rows, layer.output, projected, layer.fast);
  rmsNormRows(x, projected, layer.mlpNorm, layer.eps, rows, hidden, sum, out);

  float *gate = memory + rows * hidden, *up = gate + mlpRows * wide;
  for (int64_t first = 0; first < rows; first += mlpRows) {
    const int64_t count = std::min(mlpRows, rows - first);
    const WeightMatrix weights[2] = {layer.gate, layer.up};
    float* const outs[2] = {gate, up};
    linear(out + first * hidden, count, 2, weights, noBias, outs, layer.fast);
    siluMulAll(gate, up, count * wide, gate);
    linearAlone(gate, count, layer.down, projected + first * hidden, layer.fast);
  }
  rmsNormRows(sum, projected, layer.nextNorm, layer.eps, rows, hidden, sum, out);
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
