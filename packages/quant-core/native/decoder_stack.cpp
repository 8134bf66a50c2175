#include "decoder_stack.h"

#include "elementwise.h"

namespace voxquant {

void decoderStack(const DecoderStack& stack, const float* x, const int32_t* positions, int64_t rows, const std::vector<StackSegment>& segments,
                  float* workspace, float* out) {
  const size_t count = stack.layers.size();
  const int64_t hidden = stack.layers[0].output.out, size = rows * hidden;
  // A layer reads one of each pair and writes the other.
  float* const streams[2] = {workspace, workspace + size};
  float* const norms[2] = {workspace + 2 * size, workspace + 3 * size};
  rmsNormRows(x, nullptr, stack.inputNorm, stack.layers[0].eps, rows, hidden, nullptr, norms[1]);
  std::vector<AttentionSegment> caches(segments.size());
  const float* stream = x;
  for (size_t index = 0; index < count; index++) {
    for (size_t s = 0; s < segments.size(); s++) {
      const int64_t offset = (int64_t)index * segments[s].layerBytes;
      caches[s] = segments[s].first;
      caches[s].keys = static_cast<uint8_t*>(caches[s].keys) + offset;
      caches[s].values = static_cast<uint8_t*>(caches[s].values) + offset;
    }
    decoderLayer(stack.layers[index], stream, norms[(index + 1) % 2], positions, rows, caches.data(), (int64_t)caches.size(), streams[index % 2],
                 index + 1 == count ? out : norms[index % 2]);
    stream = streams[index % 2];
  }
}

}  // namespace voxquant
