// Attention with float32 queries; cached keys and values are float32 or float16.
#pragma once
#include <stdint.h>

namespace voxquant {

// One sequence: query rows [start, start + count), whose cache [kvHeads, capacity, headDim] held `position` tokens.
struct AttentionSegment {
  void *keys, *values;
  bool half;  // float16, else float32
  int64_t start, count, position, capacity;
};

// Writes k and v [rows, kvHeads * headDim] to the caches, then attends causally to the last `window` positions, the row's
// own included. q, out [rows, heads * headDim]. Without heads it only writes.
void cachedAttention(const float* q, const float* k, const float* v, const AttentionSegment* segments, int64_t segmentCount,
                     int64_t heads, int64_t kvHeads, int64_t headDim, float scale, float* out, int64_t window = INT64_MAX);

// Rows [offsets[b], offsets[b + 1]) see each other. q, k, v, out [rows, heads * headDim].
void blockAttention(const float* q, const float* k, const float* v, const int32_t* offsets, int64_t blocks, int64_t heads,
                    int64_t headDim, float scale, float* out);

}  // namespace voxquant
