// The layers of a decoder one after the other: a step of generation in one call.
#pragma once
#include <stddef.h>

#include <vector>

#include "decoder_layer.h"

namespace voxquant {

struct DecoderStack {
  const float* inputNorm;            // [hidden], before the first layer
  std::vector<DecoderLayer> layers;  // the norm that follows a layer is the next one's input norm, after the last the final norm
};

// Keys and values of a sequence in the first layer; those of layer l lie l * layerBytes behind.
struct StackSegment {
  AttentionSegment first;
  int64_t layerBytes;
};

// x: embeddings [rows, hidden]; out: the final norm of the stream after all layers. workspace: 4 * rows * hidden. The
// three do not overlap.
void decoderStack(const DecoderStack& stack, const float* x, const int32_t* positions, int64_t rows, const std::vector<StackSegment>& segments,
                  float* workspace, float* out);

}  // namespace voxquant
