#pragma once
// Attention over 8-bit caches (int8_cache.h), over the vector type of vector_kernels.h. Queries are rounded to int8 per
// kCacheGroup channels, weights of values to int16 per kInt8Tile positions; sums of products are exact in int32. A row's
// result has the same bits whatever rows are beside it.
//
// The including file defines besides, in an anonymous namespace:
//   I                 vector of W int32: splatInt, toFloat
//   KeyCodes          four codes of each of W keys: loadCodes(const uint8_t*)
//   ValuePairs        W pairs of int16: loadPairs(const int8_t*)
//   dotQuads(sums, codes, quad)    plus the four products of each key with the signed bytes of quad
//   kCodeOffset                    what dotQuads finds added to a code, 0 or 128
//   dotPairs(sums, pairs, pair)    plus the two products of each pair with the int16 halves of pair
//   storeInt8(int8_t*, F), storeInt16(int16_t*, F)   rounded to nearest even; |x| <= 127, 32767; anything for NaN
#include "int8_cache.h"
#include "vector_kernels.h"

namespace voxquant {
namespace {

constexpr int kTileBlocks = kInt8Tile / kCacheBlock;
constexpr int kAheadBlocks = 6;                 // how far ahead of their use blocks are fetched into the second-level cache
constexpr int kGroupVectors = kCacheGroup / W;  // vectors of channels that share a scale
constexpr int kScoreRows = W == 16 ? 4 : 2, kValueRows = W == 16 ? 8 : 2;  // in registers

inline int32_t load32Bits(const void* p) {
  int32_t bits;
  memcpy(&bits, p, 4);
  return bits;
}

// ---- rounding ----

inline int groupSize(int64_t n, int64_t g) { return n - g * kCacheGroup < kCacheGroup ? (int)(n - g * kCacheGroup) : kCacheGroup; }

// A group of x [n] in vectors, what is missing zero.
struct Group {
  F v[kGroupVectors];

  Group(const float* x, int n) {
    for (int i = 0; i < kGroupVectors; i++) v[i] = (i + 1) * W <= n ? load(x + i * W) : i * W < n ? loadPart(x + i * W, n - i * W) : zero();
  }
  float largest() const {
    F top = magnitude(v[0]);
    for (int i = 1; i < kGroupVectors; i++) top = larger(magnitude(v[i]), top);
    return largestLane(top);
  }
};

// Whether a value is NaN or infinite.
inline bool anyInvalid(const float* x, int64_t n) {
  F invalid = zero();
  int64_t i = 0;
  for (; i + W <= n; i += W) invalid = add(invalid, sub(load(x + i), load(x + i)));
  if (i < n) invalid = add(invalid, sub(loadPart(x + i, (int)(n - i)), loadPart(x + i, (int)(n - i))));
  const float sum = sumLanes(invalid);
  return sum != sum;
}

// The scale of a cached group, in the upper half of its bits, up so that no code exceeds 127, and its inverse.
struct CachedScale {
  uint16_t bits;
  float inverse;

  explicit CachedScale(float largest) : bits(0), inverse(0.0f) {
    if (!(largest > 1e-30f)) return;
    const float d = largest * (1.0f / 127.0f);
    const uint32_t wide = ((uint32_t)load32Bits(&d) + 0xffff) & 0xffff0000;
    float rounded;
    memcpy(&rounded, &wide, 4);
    bits = (uint16_t)(wide >> 16);
    inverse = 1.0f / rounded;
  }
};

constexpr uint16_t kInvalidScale = 0x7fc0;  // NaN

// The block of a position, its first scale, and its place in them.
struct CachedPlace {
  uint8_t *block, *scales;
  int64_t at;

  void setScale(int64_t g, uint16_t bits) const { memcpy(scales + g * kCacheBlock * 2, &bits, 2); }
};

inline CachedPlace placeOf(uint8_t* rows, const CacheLayout& layout, int64_t position) {
  const int64_t at = position % kCacheBlock;
  uint8_t* const block = rows + position / kCacheBlock * layout.blockBytes;
  return {block, block + layout.codeBytes + at * 2, at};
}

inline void storeKey(const float* x, int64_t headDim, const CacheLayout& layout, const CachedPlace& to) {
  const bool invalid = anyInvalid(x, headDim);
  for (int64_t g = 0; g < layout.groups; g++) {
    const Group group(x + g * kCacheGroup, groupSize(headDim, g));
    const CachedScale scale(invalid ? 0.0f : group.largest());
    to.setScale(g, invalid ? kInvalidScale : scale.bits);
    uint8_t codes[kCacheGroup];
    for (int i = 0; i < kGroupVectors; i++) storeInt8((int8_t*)codes + i * W, mul(group.v[i], splat(scale.inverse)));
    uint8_t* const first = to.block + (g * kCacheGroup * kCacheBlock + to.at * 4);
    for (int i = 0; i < groupSize(layout.padded, g); i += 4) {
      const uint32_t quad = (uint32_t)load32Bits(codes + i) ^ 0x80808080;
      memcpy(first + i * kCacheBlock, &quad, 4);
    }
  }
}

void storeKeysKernel(const float* x, int64_t stride, int64_t count, int64_t headDim, uint8_t* keys, int64_t position) {
  const CacheLayout layout(headDim);
  for (int64_t r = 0; r < count; r++) storeKey(x + r * stride, headDim, layout, placeOf(keys, layout, position + r));
}

inline void storeValue(const float* x, int64_t headDim, const CacheLayout& layout, const CachedPlace& to) {
  const bool invalid = anyInvalid(x, headDim);
  for (int64_t g = 0; g < layout.groups; g++) {
    const Group group(x + g * kCacheGroup, groupSize(headDim, g));
    const CachedScale scale(invalid ? 0.0f : group.largest());
    to.setScale(g, invalid ? kInvalidScale : scale.bits);
    int8_t codes[kCacheGroup];
    for (int i = 0; i < kGroupVectors; i++) storeInt8(codes + i * W, mul(group.v[i], splat(scale.inverse)));
    uint8_t* const first = to.block + (to.at / 2 * layout.padded + g * kCacheGroup) * 2 + to.at % 2;
    for (int i = 0; i < groupSize(layout.padded, g); i++) first[2 * i] = (uint8_t)codes[i];
  }
}

// Positions `to` and the one after it, which is odd: a pair of codes is the int16 of 256 * second + first modulo 256.
inline void storeValuePair(const float* x, const float* y, int64_t headDim, const CacheLayout& layout, const CachedPlace& to) {
  const bool invalidX = anyInvalid(x, headDim), invalidY = anyInvalid(y, headDim);
  const CachedPlace second = {to.block, to.scales + 2, to.at + 1};
  for (int64_t g = 0; g < layout.groups; g++) {
    const Group a(x + g * kCacheGroup, groupSize(headDim, g)), b(y + g * kCacheGroup, groupSize(headDim, g));
    const CachedScale scaleA(invalidX ? 0.0f : a.largest()), scaleB(invalidY ? 0.0f : b.largest());
    to.setScale(g, invalidX ? kInvalidScale : scaleA.bits);
    second.setScale(g, invalidY ? kInvalidScale : scaleB.bits);
    uint8_t* const first = to.block + (to.at / 2 * layout.padded + g * kCacheGroup) * 2;
    for (int i = 0; i * W < groupSize(layout.padded, g); i++) {
      const F low = roundEven(mul(a.v[i], splat(scaleA.inverse))), high = roundEven(mul(b.v[i], splat(scaleB.inverse)));
      const F borrow = roundEven(fma(low, splat(1.0f / 256), splat(-127.5f / 256)));  // -1 where low < 0
      storeInt16((int16_t*)first + i * W, fma(sub(high, borrow), splat(256.0f), low));
    }
  }
}

void storeValuesKernel(const float* x, int64_t stride, int64_t count, int64_t headDim, uint8_t* values, int64_t position) {
  const CacheLayout layout(headDim);
  for (int64_t r = 0; r < count;) {
    const CachedPlace to = placeOf(values, layout, position + r);
    if (to.at % 2 == 0 && r + 1 < count) {
      storeValuePair(x + r * stride, x + (r + 1) * stride, headDim, layout, to);
      r += 2;
    } else {
      storeValue(x + r++ * stride, headDim, layout, to);
    }
  }
}

// ---- attention ----

// Query vectors, rounded, and what accumulates for them. All arrays have `vectors` rows.
struct Int8Queries {
  int8_t* codes;    // [groups, kCacheGroup]
  float* d;         // [groups], times the softmax scale
  int32_t* starts;  // [groups]: -kCodeOffset * sum of codes
  float* sums;      // [padded]
  float *top, *total;
};

struct Int8Tile {
  float* scores;     // [kRowTile, kInt8Tile], then exponentials
  int16_t* weights;  // [kRowTile, groups, kInt8Tile]
  float* scales;     // [kRowTile, groups] of the sums of weights
  float* changes;    // [2, kRowTile]: factors of what was accumulated before, and of this tile's sums
  float* ratios;     // [groups, kInt8Tile]: 32767 * a position's scale / the largest of those seen
  float* tops;       // [groups]: that largest / 32767
};

// Q query vectors against K vectors of keys from vector k on.
template <int Q, int K>
inline void scoreKeys(const Int8Queries& x, int64_t row, const uint8_t* keys, const CacheLayout& layout, int k, float* scores) {
  const uint8_t *codes[K], *scales[K];
  for (int j = 0; j < K; j++) {
    const int64_t at = (k + j) * W;
    codes[j] = keys + at / kCacheBlock * layout.blockBytes + at % kCacheBlock * 4;
    scales[j] = keys + at / kCacheBlock * layout.blockBytes + layout.codeBytes + at % kCacheBlock * 2;
  }
  const int64_t width = layout.groups * kCacheGroup;
  const int8_t* query = x.codes + row * width;
  const float* d = x.d + row * layout.groups;
  const int32_t* start = x.starts + row * layout.groups;
  const int64_t ahead = kAheadBlocks * layout.blockBytes;
  F acc[Q][K];
  for (int q = 0; q < Q; q++)
    for (int j = 0; j < K; j++) acc[q][j] = zero();
  int64_t i = 0;
  for (int64_t g = 0; g < layout.groups; g++) {
    I dot[Q][K];
    for (int q = 0; q < Q; q++)
      for (int j = 0; j < K; j++) dot[q][j] = splatInt(start[q * layout.groups + g]);
    for (const int64_t end = i + kCacheGroup < layout.padded ? i + kCacheGroup : layout.padded; i < end; i += 16) {
#pragma GCC unroll 4
      for (int s = 0; s < 16; s += 4) {
        KeyCodes key[K];
        for (int j = 0; j < K; j++) {
          key[j] = loadCodes(codes[j] + (i + s) * kCacheBlock);
          __builtin_prefetch(codes[j] + (i + s) * kCacheBlock + ahead, 0, 2);
        }
        for (int q = 0; q < Q; q++) {
          const int32_t quad = load32Bits(query + q * width + i + s);
          for (int j = 0; j < K; j++) dot[q][j] = dotQuads(dot[q][j], key[j], quad);
        }
      }
    }
    for (int j = 0; j < K; j++) {
      const F scale = loadBf16(scales[j] + g * kCacheBlock * 2);
      for (int q = 0; q < Q; q++) acc[q][j] = fma(toFloat(dot[q][j]), mul(scale, splat(d[q * layout.groups + g])), acc[q][j]);
    }
  }
  for (int q = 0; q < Q; q++)
    for (int j = 0; j < K; j++) store(scores + q * kInt8Tile + (k + j) * W, acc[q][j]);
}

template <int Q>
inline void scoreRows(const Int8Queries& x, int64_t row, int rows, const uint8_t* keys, const CacheLayout& layout, int vectors, float* scores) {
  if constexpr (Q > 0) {
    if (rows < Q) return scoreRows<Q - 1>(x, row, rows, keys, layout, vectors, scores);
    constexpr int K = W == 16 && Q <= 2 ? 4 : 2;
    int k = 0;
    for (; k + K <= vectors; k += K) scoreKeys<Q, K>(x, row, keys, layout, k, scores);
    for (; k < vectors; k++) scoreKeys<Q, 1>(x, row, keys, layout, k, scores);
  }
}

inline int within(int64_t position, int most) { return position < 0 ? 0 : position > most ? most : (int)position; }

// What a row sees of `count` positions of a tile: of those counted from the tile's start, [first, end).
struct Visible {
  bool all, none;
  const float *from, *to;

  Visible(int64_t first, int64_t end, int count) {
    const int low = within(first, kInt8Tile), high = within(end, kInt8Tile);
    all = low == 0 && high >= count;
    none = low >= high;
    from = kLimits + kInt8Tile - low;
    to = kLimits + 2 * kInt8Tile - high;
  }
  // Infinite where the row sees a position, else -infinite.
  F limit(int t) const { return smaller(load(from + t), load(to + t)); }

  static const float kLimits[3 * kInt8Tile];
};

#define VOX_16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#define VOX_64(x) VOX_16(x), VOX_16(x), VOX_16(x), VOX_16(x)
const float Visible::kLimits[3 * kInt8Tile] = {VOX_64(-INFINITY), VOX_64(INFINITY), VOX_64(-INFINITY)};
#undef VOX_64
#undef VOX_16

// Ratios and tops for a row that sees these of `count` positions.
inline void weighPositions(const uint8_t* values, const CacheLayout& layout, const Visible& visible, int count, const Int8Tile& tile) {
  for (int64_t g = 0; g < layout.groups; g++) {
    float* ratios = tile.ratios + g * kInt8Tile;
    F top = zero(), invalid = zero();
    for (int t = 0; t < count; t += W) {
      F v = loadBf16(values + t / kCacheBlock * layout.blockBytes + layout.codeBytes + (g * kCacheBlock + t % kCacheBlock) * 2);
      if (!visible.all) v = larger(smaller(v, visible.limit(t)), zero());
      store(ratios + t, v);
      top = larger(v, top);
      invalid = add(invalid, sub(v, v));
    }
    const float largest = largestLane(top) + sumLanes(invalid), inverse = largest > 0.0f ? 32767.0f / largest : 0.0f;
    tile.tops[g] = largest * (1.0f / 32767.0f);
    for (int t = 0; t < count; t += W) store(ratios + t, mul(load(ratios + t), splat(inverse)));
  }
}

// The largest score of a row, of `count` of which it sees some; those of the others become -infinite.
inline float largestScore(float* scores, const Visible& visible, int count) {
  F most = splat(-INFINITY);
  for (int t = 0; t < count; t += W) {
    F s = load(scores + t);
    if (!visible.all) {
      s = smaller(s, visible.limit(t));
      store(scores + t, s);
    }
    most = larger(s, most);
  }
  return largestLane(most);
}

// Scores of a row to weights, given the largest of them; returns the sum of their exponentials.
inline float weighRow(int r, const CacheLayout& layout, float largest, int count, const Int8Tile& tile) {
  float* scores = tile.scores + r * kInt8Tile;
  F total = zero();
  for (int t = 0; t < count; t += W) {
    const F p = exponential(sub(load(scores + t), splat(largest)));
    store(scores + t, p);
    total = add(total, p);
  }
  for (int64_t g = 0; g < layout.groups; g++) {
    const float* ratios = tile.ratios + g * kInt8Tile;
    int16_t* weights = tile.weights + (r * layout.groups + g) * kInt8Tile;
    for (int t = 0; t < count; t += W) storeInt16(weights + t, mul(load(scores + t), load(ratios + t)));
    tile.scales[r * layout.groups + g] = tile.tops[g];
  }
  return sumLanes(total);
}

// A row that sees nothing of the tile.
inline void skipRow(int r, const CacheLayout& layout, const Int8Tile& tile) {
  memset(tile.weights + r * layout.groups * kInt8Tile, 0, sizeof(int16_t) * (size_t)(layout.groups * kInt8Tile));
  for (int64_t g = 0; g < layout.groups; g++) tile.scales[r * layout.groups + g] = 0.0f;
}

// Q rows of weights times values, of N groups of V vectors from group g on; blocks of positions.
template <int Q, int N, int V>
inline void addValues(const Int8Queries& x, int64_t row, int r, const uint8_t* values, const CacheLayout& layout, int blocks, int64_t g,
                      const Int8Tile& tile) {
  const int16_t* weights = tile.weights + (r * layout.groups + g) * kInt8Tile;
  const int64_t ahead = kAheadBlocks * layout.blockBytes;
  I acc[Q][N][V];
  for (int q = 0; q < Q; q++)
    for (int n = 0; n < N; n++)
      for (int v = 0; v < V; v++) acc[q][n][v] = splatInt(0);
  for (int block = 0; block < blocks; block++, weights += kCacheBlock) {
    const int8_t* codes = (const int8_t*)(values + block * layout.blockBytes) + g * kCacheGroup * 2;
#pragma GCC unroll 2
    for (int pair = 0; pair < kCacheBlock / 2; pair++, codes += 2 * layout.padded) {
      for (int n = 0; n < N; n++) {
        ValuePairs value[V];
        for (int v = 0; v < V; v++) value[v] = loadPairs(codes + (n * kGroupVectors + v) * 2 * W);
        __builtin_prefetch(codes + n * kCacheGroup * 2 + ahead, 0, 2);
        for (int q = 0; q < Q; q++) {
          const int32_t weight = load32Bits(weights + (q * layout.groups + n) * kInt8Tile + 2 * pair);
          for (int v = 0; v < V; v++) acc[q][n][v] = dotPairs(acc[q][n][v], value[v], weight);
        }
      }
    }
  }
  for (int q = 0; q < Q; q++)
    for (int n = 0; n < N; n++) {
      const F scale = splat(tile.scales[(r + q) * layout.groups + g + n] * tile.changes[kRowTile + r + q]), factor = splat(tile.changes[r + q]);
      float* sums = x.sums + (row + q) * layout.padded + (g + n) * kCacheGroup;
      for (int v = 0; v < V; v++) store(sums + v * W, fma(toFloat(acc[q][n][v]), scale, mul(load(sums + v * W), factor)));
    }
}

template <int Q>
inline void addValueRows(const Int8Queries& x, int64_t row, int r, int rows, const uint8_t* values, const CacheLayout& layout, int blocks,
                         const Int8Tile& tile) {
  if constexpr (Q > 0) {
    if (rows < Q) return addValueRows<Q == 8 ? 4 : Q - 1>(x, row, r, rows, values, layout, blocks, tile);
    constexpr int N = W == 16 && Q <= 2 ? 4 : 1;
    const int64_t whole = layout.padded / kCacheGroup;
    int64_t g = 0;
    for (; g + N <= whole; g += N) addValues<Q, N, kGroupVectors>(x, row, r, values, layout, blocks, g, tile);
    for (; g < whole; g++) addValues<Q, 1, kGroupVectors>(x, row, r, values, layout, blocks, g, tile);
    if (g < layout.groups) addValues<Q, 1, kGroupVectors / 2>(x, row, r, values, layout, blocks, g, tile);
    if (rows > Q) addValueRows<Q>(x, row + Q, r + Q, rows - Q, values, layout, blocks, tile);
  }
}

// Codes are fetched where those so far before them are used.
inline void prefetchScales(const uint8_t* rows, const CacheLayout& layout) {
  for (int block = kAheadBlocks; block < kAheadBlocks + kTileBlocks; block++)
    for (int64_t at = layout.codeBytes; at < layout.blockBytes; at += 64) __builtin_prefetch(rows + block * layout.blockBytes + at, 0, 2);
}

inline Int8Queries roundQueries(const Int8Attention& a, const CacheLayout& layout, float* memory, float** rest) {
  Int8Queries x;
  x.sums = memory;
  x.d = x.sums + kInt8Vectors * layout.padded;
  x.starts = (int32_t*)(x.d + kInt8Vectors * layout.groups);
  x.top = (float*)(x.starts + kInt8Vectors * layout.groups);
  x.total = x.top + kInt8Vectors;
  x.codes = (int8_t*)(x.total + kInt8Vectors);
  *rest = (float*)(x.codes + kInt8Vectors * layout.groups * kCacheGroup);
  const auto query = [&](int64_t v) { return a.q + (v / a.group * a.heads + v % a.group) * a.headDim; };
  for (int64_t v = a.begin; v < a.end; v++)  // rows lie far apart
    for (int64_t i = 0; i < a.headDim; i += 16) __builtin_prefetch(query(v) + i);
  for (int64_t v = a.begin; v < a.end; v++) {
    const int64_t row = v - a.begin;
    const float* q = query(v);
    const bool invalid = anyInvalid(q, a.headDim);
    for (int64_t g = 0; g < layout.groups; g++) {
      const Group group(q + g * kCacheGroup, groupSize(a.headDim, g));
      const float top = invalid ? 0.0f : group.largest();
      const F inverse = splat(top > 1e-30f ? 127.0f / top : 0.0f);
      int8_t* codes = x.codes + (row * layout.groups + g) * kCacheGroup;
      F sum = zero();
      for (int i = 0; i < kGroupVectors; i++) {
        const F code = roundEven(mul(group.v[i], inverse));
        storeInt8(codes + i * W, code);
        sum = add(sum, code);
      }
      x.d[row * layout.groups + g] = invalid ? NAN : top > 1e-30f ? top * (1.0f / 127.0f) * a.scale : 0.0f;
      x.starts[row * layout.groups + g] = invalid ? 0 : -kCodeOffset * (int32_t)sumLanes(sum);
    }
    x.top[row] = -1e30f;
    x.total[row] = 0.0f;
  }
  memset(x.sums, 0, sizeof(float) * (size_t)((a.end - a.begin) * layout.padded));
  return x;
}

void attendInt8Kernel(const Int8Attention& a) {
  const CacheLayout layout(a.headDim);
  Int8Tile tile;
  const Int8Queries x = roundQueries(a, layout, (float*)a.scratch, &tile.scores);
  tile.scales = tile.scores + kRowTile * kInt8Tile;
  tile.changes = tile.scales + kRowTile * layout.groups;
  tile.ratios = tile.changes + 2 * kRowTile;
  tile.tops = tile.ratios + layout.groups * kInt8Tile;
  tile.weights = (int16_t*)(tile.tops + layout.groups);

  // Positions [first, end) that a vector sees.
  const int64_t vectors = a.end - a.begin;
  int64_t first[kInt8Vectors], end[kInt8Vectors];
  int64_t seen = a.position + a.begin / a.group + 1, left = a.group - a.begin % a.group;
  for (int64_t v = 0; v < vectors; v++) {
    end[v] = seen;
    first[v] = seen > a.window ? seen - a.window : 0;
    if (--left > 0) continue;
    seen++;
    left = a.group;
  }
  for (int64_t t = first[0] / kInt8Tile * kInt8Tile; t < end[vectors - 1]; t += kInt8Tile) {
    const uint8_t* const keys = a.keys + t / kCacheBlock * layout.blockBytes;
    const uint8_t* const values = a.values + t / kCacheBlock * layout.blockBytes;
    prefetchScales(keys, layout);
    prefetchScales(values, layout);
    Visible weighed(0, 0, 0);
    int weighedCount = 0;
    for (int64_t row = 0; row < vectors; row += kRowTile) {
      const int rows = (int)(vectors - row < kRowTile ? vectors - row : kRowTile);
      const int blocks = (within(end[row + rows - 1] - t, kInt8Tile) + kCacheBlock - 1) / kCacheBlock, count = blocks * kCacheBlock;
      if (count == 0 || first[row] >= t + kInt8Tile) continue;
      for (int r = 0; r < rows; r += kScoreRows)
        scoreRows<kScoreRows>(x, row + r, rows - r < kScoreRows ? rows - r : kScoreRows, keys, layout, count / W, tile.scores + r * kInt8Tile);
      float largest[kRowTile];
      for (int r = 0; r < rows; r++) {
        const Visible visible(first[row + r] - t, end[row + r] - t, count);
        largest[r] = visible.none ? x.top[row + r] : largestScore(tile.scores + r * kInt8Tile, visible, count);
        const float before = x.top[row + r], top = largest[r] > before ? largest[r] : before;
        tile.changes[r] = before - top;
        tile.changes[kRowTile + r] = largest[r] - top;
        x.top[row + r] = top;
      }
      for (int i = 0; i < 2 * kRowTile; i += W) store(tile.changes + i, exponential(load(tile.changes + i)));
      for (int r = 0; r < rows; r++) {
        const Visible visible(first[row + r] - t, end[row + r] - t, count);
        if (visible.none) {
          skipRow(r, layout, tile);
          continue;
        }
        if (visible.from != weighed.from || visible.to != weighed.to || count != weighedCount) {
          weighPositions(values, layout, visible, count, tile);
          weighed = visible;
          weighedCount = count;
        }
        x.total[row + r] = x.total[row + r] * tile.changes[r] + weighRow(r, layout, largest[r], count, tile) * tile.changes[kRowTile + r];
      }
      addValueRows<kValueRows>(x, row, 0, rows, values, layout, blocks, tile);
    }
  }
  for (int64_t v = a.begin; v < a.end; v++) {
    const int64_t row = v - a.begin;
    const F inverse = splat(1.0f / x.total[row]);
    const float* sums = x.sums + row * layout.padded;
    float* out = a.out + (v / a.group * a.heads + v % a.group) * a.headDim;
    for (int64_t i = 0; i < a.headDim; i += W) {
      const F y = mul(load(sums + i), inverse);
      if (a.headDim - i >= W) store(out + i, y);
      else storePart(out + i, y, (int)(a.headDim - i));
    }
  }
}

}  // namespace
}  // namespace voxquant
