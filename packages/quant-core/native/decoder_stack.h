// The layers of a decoder one after the other: a step of generation in one call, a prompt in some.
#pragma once
#include <stddef.h>

#include <vector>

#include "decoder_layer.h"

namespace voxquant {

// Keys and values of a sequence in the first layer; those of layer l lie l * layerBytes behind.
struct StackSegment {
  AttentionSegment first;
  int64_t layerBytes;
};

// Rows between two layers, [rows, hidden] each: the residual stream and its norm, and the same again. A layer reads one pair
// and writes the other, the next layer the other way round.
struct LayerRows {
  float *streams[2], *norms[2];
};

// Layers of a decoder of which the first is layer `index`. State n % 2 of the rows holds the result of n layers.
void decoderLayers(const std::vector<DecoderLayer>& layers, size_t index, const LayerRows& state, const int32_t* positions, int64_t rows,
                   const std::vector<StackSegment>& segments);

// All layers of a decoder with the norm before them. x: embeddings, out: the final norm of the stream, both [rows, hidden].
// workspace: 3 * rows * hidden. The three do not overlap.
void decoderStack(const float* inputNorm, const std::vector<DecoderLayer>& layers, const float* x, const int32_t* positions, int64_t rows,
                  const std::vector<StackSegment>& segments, float* workspace, float* out);

}  // namespace voxquant
