#pragma once
// Attention over 8-bit caches (int8_cache.h), over the vector type of vector_kernels.h. Queries are rounded to int8 per
// kCacheGroup channels, weights of values to int16 per kInt8Tile positions; sums of products are exact in int32. A row's
// result has the same bits whatever rows are beside it.
//
// Besides what vector_int8_cache.h asks for, the including file defines in an anonymous namespace:
//   I                 vector of W int32: splatInt, toFloat
//   KeyCodes          four codes of each of W keys: loadCodes(const uint8_t*)
//   ValuePairs        W pairs of int16: loadPairs(const int8_t*)
//   dotQuads(sums, codes, quad)    plus the four products of each key with the signed bytes of quad
//   kCodeOffset                    what dotQuads finds added to a code, 0 or 128
//   dotPairs(sums, pairs, pair)    plus the two products of each pair with the int16 halves of pair
//   storeWeights(int16_t*, F a, F b)   a * b, rounded to nearest even, 0 <= a * b <= 32767; anything for NaN
#include "vector_int8_cache.h"

namespace voxquant {
namespace {

constexpr int kTileBlocks = kInt8Tile / kCacheBlock;
constexpr int kAheadBlocks = 6;  // how far ahead of their use blocks are fetched into the second-level cache
constexpr int kScoreRows = W == 16 ? 4 : 2, kValueRows = W == 16 ? 8 : 2;  // in registers

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

// e^x of x <= 0 to a relative 4e-6, a quarter of what the rounding to int16 costs; 0 below -87.
inline F weightOf(F x) {
  const F clamped = larger(splat(-88.0f), x), n = roundEven(mul(clamped, splat(1.44269504f)));
  const F r = fma(n, splat(-0.693147181f), clamped);
  F p = splat(0.0418756445f);
  p = fma(p, r, splat(0.16792143f));
  p = fma(p, r, splat(0.499993721f));
  p = fma(p, r, splat(0.999962295f));
  p = fma(p, r, splat(1.0f));
  return zeroBelow(x, -87.0f, scaleByPower2(p, n));
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
    const F p = weightOf(sub(load(scores + t), splat(largest)));
    store(scores + t, p);
    total = add(total, p);
  }
  for (int64_t g = 0; g < layout.groups; g++) {
    const float* ratios = tile.ratios + g * kInt8Tile;
    int16_t* weights = tile.weights + (r * layout.groups + g) * kInt8Tile;
    for (int t = 0; t < count; t += W) storeWeights(weights + t, load(scores + t), load(ratios + t));
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

// Where a query vector and its result lie.
inline int64_t offsetOf(const Int8Attention& a, int64_t vector) { return (vector / a.group * a.heads + vector % a.group) * a.headDim; }

inline Int8Queries roundQueries(const Int8Attention& a, const CacheLayout& layout, float* memory, float** rest) {
  Int8Queries x;
  x.sums = memory;
  x.d = x.sums + kInt8Vectors * layout.padded;
  x.starts = (int32_t*)(x.d + kInt8Vectors * layout.groups);
  x.top = (float*)(x.starts + kInt8Vectors * layout.groups);
  x.total = x.top + kInt8Vectors;
  x.codes = (int8_t*)(x.total + kInt8Vectors);
  *rest = (float*)(x.codes + kInt8Vectors * layout.groups * kCacheGroup);
  for (int64_t v = a.begin; v < a.end && v < a.begin + kRowTile; v++) prefetchRow(a.q + offsetOf(a, v), a.headDim);
  for (int64_t v = a.begin; v < a.end; v++) {
    const int64_t row = v - a.begin;
    const float* q = a.q + offsetOf(a, v);
    if (v + kRowTile < a.end) prefetchRow(a.q + offsetOf(a, v + kRowTile), a.headDim);
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
    for (int64_t i = 0; i < layout.padded; i += W) store(x.sums + row * layout.padded + i, zero());
    x.top[row] = -1e30f;
    x.total[row] = 0.0f;
  }
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
    float* out = a.out + offsetOf(a, v);
    for (int64_t i = 0; i < a.headDim; i += W) {
      const F y = mul(load(sums + i), inverse);
      if (a.headDim - i >= W) store(out + i, y);
      else storePart(out + i, y, (int)(a.headDim - i));
    }
  }
}

}  // namespace
}  // namespace voxquant
