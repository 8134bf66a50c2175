// One layer of a decoder: attention with head norms, rotary positions and caches, then a gated MLP.
#pragma once
#include <functional>
#include <vector>

#include "attention.h"
#include "types.h"

namespace voxquant {

struct DecoderLayer {
  WeightMatrix query, key, value, output, gate, up, down;
  const float *queryNorm, *keyNorm;  // [headDim] or null
  const float *mlpNorm, *nextNorm;   // [hidden]
  int64_t heads, kvHeads, headDim;
  float eps, scale;
  double theta;
  bool fast;
};

// x: the residual stream, normed: its norm, both [rows, hidden]; sum: the stream after the layer, out: its next norm.
// sum may be x and out may be normed.
void decoderLayer(const DecoderLayer& layer, const float* x, const float* normed, const int32_t* positions, int64_t rows,
                  const AttentionSegment* segments, int64_t segmentCount, float* sum, float* out);

// Layers one after the other, as wide as each other: stream and normed [rows, hidden] are those before the first and become
// those after the last. segments(l): those of layer l.
void decoderLayersInPlace(const std::vector<DecoderLayer>& layers, float* stream, float* normed, const int32_t* positions, int64_t rows,
                          int64_t segmentCount, const std::function<const AttentionSegment*(size_t)>& segments);

// Only what the layer leaves in the caches: keys and values of rows whose stream nobody asks for after it.
void decoderKeys(const DecoderLayer& layer, const float* normed, const int32_t* positions, int64_t rows, const AttentionSegment* segments,
                 int64_t segmentCount);

}  // namespace voxquant
