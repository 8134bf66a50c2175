#include "decoder_stack.h"

#include <string.h>

#include "elementwise.h"

namespace voxquant {

void decoderLayers(const std::vector<DecoderLayer>& layers, size_t index, float* stream, float* normed, const int32_t* positions, int64_t rows,
                   const std::vector<StackSegment>& segments) {
  std::vector<AttentionSegment> caches(segments.size());
  decoderLayersInPlace(layers, stream, normed, positions, rows, (int64_t)caches.size(), [&](size_t l) {
    for (size_t s = 0; s < segments.size(); s++) {
      const int64_t offset = (int64_t)(index + l) * segments[s].layerBytes;
      caches[s] = segments[s].first;
      caches[s].keys = static_cast<uint8_t*>(caches[s].keys) + offset;
      caches[s].values = static_cast<uint8_t*>(caches[s].values) + offset;
    }
    return caches.data();
  });
}

void decoderStack(const float* inputNorm, const std::vector<DecoderLayer>& layers, const float* x, const int32_t* positions, int64_t rows,
                  const std::vector<StackSegment>& segments, float* stream, float* out) {
  const int64_t hidden = layers[0].output.out;
  memcpy(stream, x, (size_t)(rows * hidden) * 4);
  rmsNormRows(x, nullptr, inputNorm, layers[0].eps, rows, hidden, nullptr, out);
  decoderLayers(layers, 0, stream, out, positions, rows, segments);
}

}  // namespace voxquant
