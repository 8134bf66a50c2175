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

// Layers of a decoder of which the first is layer `index`: stream and normed [rows, hidden] as decoderLayersInPlace has them.
void decoderLayers(const std::vector<DecoderLayer>& layers, size_t index, float* stream, float* normed, const int32_t* positions, int64_t rows,
                   const std::vector<StackSegment>& segments);

// All layers of a decoder with the norm before them. x: embeddings, stream: space, out: the final norm of the stream, all
// [rows, hidden]. They do not overlap.
void decoderStack(const float* inputNorm, const std::vector<DecoderLayer>& layers, const float* x, const int32_t* positions, int64_t rows,
                  const std::vector<StackSegment>& segments, float* stream, float* out);

}  // namespace voxquant
