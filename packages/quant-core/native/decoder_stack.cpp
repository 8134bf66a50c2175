#include "decoder_stack.h"

#include <string.h>

#include "elementwise.h"

namespace voxquant {

void decoderLayers(const std::vector<DecoderLayer>& layers, size_t index, const LayerRows& state, const int32_t* positions, int64_t rows,
                   const std::vector<StackSegment>& segments) {
  std::vector<AttentionSegment> caches(segments.size());
  for (size_t l = 0; l < layers.size(); l++) {
    for (size_t s = 0; s < segments.size(); s++) {
      const int64_t offset = (int64_t)(index + l) * segments[s].layerBytes;
      caches[s] = segments[s].first;
      caches[s].keys = static_cast<uint8_t*>(caches[s].keys) + offset;
      caches[s].values = static_cast<uint8_t*>(caches[s].values) + offset;
    }
    const size_t from = l % 2, to = 1 - from;
    decoderLayer(layers[l], state.streams[from], state.norms[from], positions, rows, caches.data(), (int64_t)caches.size(), state.streams[to],
                 state.norms[to]);
  }
}

void decoderStack(const float* inputNorm, const std::vector<DecoderLayer>& layers, const float* x, const int32_t* positions, int64_t rows,
                  const std::vector<StackSegment>& segments, float* workspace, float* out) {
  const int64_t hidden = layers[0].output.out, size = rows * hidden;
  LayerRows state = {{workspace, workspace + size}, {}};
  state.norms[layers.size() % 2] = out;
  state.norms[1 - layers.size() % 2] = workspace + 2 * size;
  memcpy(state.streams[0], x, (size_t)size * 4);
  rmsNormRows(x, nullptr, inputNorm, layers[0].eps, rows, hidden, nullptr, state.norms[0]);
  decoderLayers(layers, 0, state, positions, rows, segments);
}

}  // namespace voxquant
