// Layers of a decoder: attention with head norms, rotary positions and caches, then a gated MLP.
#pragma once
#include <stddef.h>

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

// Keys and values of a sequence in a decoder's first layer; those of layer l lie l * layerBytes behind.
struct StackSegment {
  AttentionSegment first;
  int64_t layerBytes;
};

// Layers of a decoder one after the other, as wide as each other, of which the first is layer `index`. x: the residual stream,
// normed: its norm; sum: the stream after the last of them, out: that layer's nextNorm of it; all [rows, hidden]. sum may be
// x, out may be normed.
void decoderLayers(const std::vector<DecoderLayer>& layers, size_t index, const float* x, const float* normed, const int32_t* positions,
                   int64_t rows, const std::vector<StackSegment>& segments, float* sum, float* out);

// All layers of a decoder with the norm before them. x: embeddings, stream: space, out: the final norm of the stream, all
// [rows, hidden]. They do not overlap.
void decoderStack(const float* inputNorm, const std::vector<DecoderLayer>& layers, const float* x, const int32_t* positions, int64_t rows,
                  const std::vector<StackSegment>& segments, float* stream, float* out);

// Only what a layer leaves in the caches: keys and values of rows whose stream nobody asks for after it.
void decoderKeys(const DecoderLayer& layer, const float* normed, const int32_t* positions, int64_t rows, const AttentionSegment* segments,
                 int64_t segmentCount);

}  // namespace voxquant
