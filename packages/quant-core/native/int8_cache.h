// Layout of 8-bit keys and values: int8 codes, rounded per kCacheGroup channels (the last group may be shorter) with a
// scale of the upper half of a float32. A head's positions lie in blocks of kCacheBlock, first the codes, then the scales
// [groups, kCacheBlock]. Channels are filled up to `padded` with zeros.
//   keys: codes [padded / 4, kCacheBlock, 4], as unsigned bytes code + 128
//   values: codes [kCacheBlock / 2, padded, 2]
#pragma once
#include <stdint.h>

namespace voxquant {
namespace {

constexpr int kCacheBlock = 16, kCacheGroup = 32;

struct CacheLayout {
  int64_t padded, groups, codeBytes, blockBytes;

  constexpr explicit CacheLayout(int64_t headDim)
      : padded((headDim + 15) / 16 * 16),
        groups((headDim + kCacheGroup - 1) / kCacheGroup),
        codeBytes(kCacheBlock * padded),
        blockBytes(codeBytes + 2 * groups * kCacheBlock) {}

  constexpr int64_t headBytes(int64_t capacity) const { return (capacity + kCacheBlock - 1) / kCacheBlock * blockBytes; }
};

constexpr int kInt8Vectors = 32;  // most query vectors that one call of attendInt8 takes
constexpr int kRowTile = 8;       // of these, how many are weighed together
constexpr int kInt8Tile = 128;    // positions between two updates of the running maximum

constexpr int kMostLanes = 16;    // of a level's vectors

constexpr int64_t scaleStride(const CacheLayout& layout) { return (layout.groups + kMostLanes - 1) / kMostLanes * kMostLanes; }

// Of attendInt8: rounded queries and their sums, then scores, weights and ratios of a tile.
constexpr int64_t int8AttentionScratch(int64_t headDim) {
  const CacheLayout layout(headDim);
  return kInt8Vectors * (layout.padded * 4 + layout.groups * (kCacheGroup + 8) + (kMostLanes + 1) * 4) +
         kRowTile * (kInt8Tile * 4 + layout.groups * kInt8Tile * 2 + scaleStride(layout) * 4) +
         layout.groups * kInt8Tile * 4 + scaleStride(layout) * 8;
}

}  // namespace

// Causal attention of query vectors [begin, end) to one head. Vector v is head v % group of row v / group and lies
// (v / group * heads + v % group) * headDim behind q, its result as far behind out; row r sees the last `window` of
// position + r + 1 positions.
struct Int8Attention {
  const float* q;
  float* out;
  int64_t heads, headDim, group, begin, end;
  const uint8_t *keys, *values;
  int64_t position, window;
  float scale;
  void* scratch;  // int8AttentionScratch(headDim) bytes, aligned to 64
};

}  // namespace voxquant
