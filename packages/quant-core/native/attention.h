// Attention; cached keys and values are float32, or int8 in the layout of int8_cache.h.
#pragma once
#include "int8_cache.h"

namespace voxquant {

// One sequence: query rows [start, start + count), whose cache [kvHeads, capacity, headDim] held `position` tokens.
struct AttentionSegment {
  void *keys, *values;
  bool int8;
  int64_t start, count, position, capacity;
};

// Writes k and v [rows, kvHeads * headDim] to the caches, then attends causally to the last `window` positions, the row's
// own included. q, out [rows, heads * headDim]. Without heads it only writes.
void cachedAttention(const float* q, const float* k, const float* v, const AttentionSegment* segments, int64_t segmentCount,
                     int64_t heads, int64_t kvHeads, int64_t headDim, float scale, float* out, int64_t window = INT64_MAX);

// Moves the positions from `count` on of a head's keys and values, both int8, to the front.
void dropInt8Cached(uint8_t* keys, uint8_t* values, int64_t headDim, int64_t capacity, int64_t count);

// Rows [offsets[b], offsets[b + 1]) see each other. q, k, v, out [rows, heads * headDim].
void blockAttention(const float* q, const float* k, const float* v, const int32_t* offsets, int64_t blocks, int64_t heads,
                    int64_t headDim, float scale, float* out);

}  // namespace voxquant
