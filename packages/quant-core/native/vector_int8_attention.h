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
//   largestLanes4(const F*, float*)    the largest lane of each of four vectors, none of them NaN
#include "vector_int8_cache.h"

namespace voxquant {
namespace {

constexpr int kTileBlocks = kInt8Tile / kCacheBlock;
constexpr int kAheadBlocks = 6;  // how far ahead of their use blocks are fetched into the second-level cache
constexpr int kScoreRows = W == 16 ? 4 : 2, kValueRows = W == 16 ? 8 : 2;  // in registers

// Query vectors, rounded, and what accumulates for them. All arrays have `vectors` rows.
struct Int8Queries {
  int8_t* codes;    // [groups, kCacheGroup]
  float* d;         // [groups], times the softmax scale and log2(e)
  int32_t* starts;  // [groups]: -kCodeOffset * sum of codes
  float* sums;      // [padded]
  float* totals;    // [W], to be added
  float* top;
};

// Of a tile. `stride` is the number of groups filled up to whole vectors.
struct Int8Tile {
  float* scores;     // [kRowTile, kInt8Tile]
  int16_t* weights;  // [kRowTile, groups, kInt8Tile]
  float* scales;     // [kRowTile, stride] of the sums of weights
  float* ratios;     // [groups, kInt8Tile]: 32767 * a position's scale / the largest of those seen
  float* largest;    // [stride]: that largest
  float* tops;       // [stride]: the same / 32767, NaN if it is infinite
  int64_t stride;
  int first, end;    // the positions seen
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

inline int wholeBlocks(int positions) { return (positions + kCacheBlock - 1) / kCacheBlock * kCacheBlock; }

inline int within(int64_t position, int most) { return position < 0 ? 0 : position > most ? most : (int)position; }

// Lane i of the limit at position t: infinite where first <= t + i < end, else -infinite.
inline F limitOf(int first, int end, int t) {
#define VOX_16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
  static const float kSteps[48] = {VOX_16(-INFINITY), VOX_16(INFINITY), VOX_16(-INFINITY)};
#undef VOX_16
  return smaller(load(kSteps + 16 - within(first - t, W)), load(kSteps + 32 - within(end - t, W)));
}

inline bool partly(int first, int end, int t) { return t < first || t + W > end; }

// Whether a position of [from, to) has a scale that exceeds the largest.
inline bool exceedsLargest(const uint8_t* values, const CacheLayout& layout, int from, int to, const float* largest) {
  for (int t = from; t < to; t++)
    for (int64_t g = 0; g < layout.groups; g++) {
      uint16_t bits;
      memcpy(&bits, values + t / kCacheBlock * layout.blockBytes + layout.codeBytes + (g * kCacheBlock + t % kCacheBlock) * 2, 2);
      if ((int32_t)bits << 16 > load32Bits(largest + g)) return true;  // as their bits order, neither being negative
    }
  return false;
}

// Makes the tile's ratios, of `count` positions, and tops those for a row that sees [first, end). Rows come in order: most
// often the next one sees a position more, and no larger scale. Ratios of positions that no row sees are any in range.
inline void weighPositions(const uint8_t* values, const CacheLayout& layout, int first, int end, int count, Int8Tile* tile) {
  const bool more = first == tile->first && end >= tile->end;
  if (more && !exceedsLargest(values, layout, tile->end, end, tile->largest)) {
    tile->end = end;
    return;
  }
  tile->first = first;
  tile->end = end;
  const uint8_t* const scales = values + layout.codeBytes;
  for (int64_t g = 0; g < layout.groups; g += 4) {
    F top[4] = {zero(), zero(), zero(), zero()};
    for (int64_t i = g; i < layout.groups && i < g + 4; i++)
      for (int t = first / W * W; t < end; t += W) {
        F v = loadBf16(scales + t / kCacheBlock * layout.blockBytes + (i * kCacheBlock + t % kCacheBlock) * 2);
        if (partly(first, end, t)) v = smaller(v, limitOf(first, end, t));
        top[i - g] = larger(v, top[i - g]);
      }
    largestLanes4(top, tile->largest + g);
  }
  for (int64_t g = 0; g < layout.groups; g++) {
    const float largest = tile->largest[g];
    const F inverse = splat(largest > 0.0f ? 32767.0f / largest : 0.0f);
    tile->tops[g] = (largest + (largest - largest)) * (1.0f / 32767.0f);
    for (int t = 0; t < count; t += W) {
      const F v = loadBf16(scales + t / kCacheBlock * layout.blockBytes + (g * kCacheBlock + t % kCacheBlock) * 2);
      store(tile->ratios + g * kInt8Tile + t, larger(smaller(mul(v, inverse), splat(32767.0f)), zero()));
    }
  }
}

// 2^x of x <= 0 to a relative 4e-6, a quarter of what the rounding to int16 costs; below 2^-126 anything smaller.
inline F weightOf(F x) {
  const F clamped = larger(splat(-127.0f), x), n = roundEven(clamped), r = sub(clamped, n);
  F p = splat(0.00966636837f);
  p = fma(p, r, splat(0.0559219755f));
  p = fma(p, r, splat(0.240223497f));
  p = fma(p, r, splat(0.693121016f));
  p = fma(p, r, splat(1.0f));
  return scaleByPower2(p, n);
}

// The largest scores of lanes of a row that sees [first, end) of `count` positions; scores of the others become -infinite.
inline F largestScores(float* scores, int first, int end, int count) {
  F most = splat(-INFINITY);
  for (int t = 0; t < count; t += W) {
    F s = load(scores + t);
    if (partly(first, end, t)) {
      s = smaller(s, limitOf(first, end, t));
      store(scores + t, s);
    }
    most = larger(s, most);
  }
  return most;
}

// Scores of a row to weights, given the largest of them; returns sums of their exponentials.
inline F weighRow(int r, const CacheLayout& layout, float largest, int count, const Int8Tile& tile) {
  const float* scores = tile.scores + r * kInt8Tile;
  int16_t* weights = tile.weights + r * layout.groups * kInt8Tile;
  F total = zero();
  for (int t = 0; t < count; t += W) {
    const F p = weightOf(sub(load(scores + t), splat(largest)));
    total = add(total, p);
    const float* ratios = tile.ratios + t;
    int16_t* to = weights + t;
    int64_t g = layout.groups;
    for (; g >= 4; g -= 4, ratios += 4 * kInt8Tile, to += 4 * kInt8Tile)
      for (int i = 0; i < 4; i++) storeWeights(to + i * kInt8Tile, p, load(ratios + i * kInt8Tile));
    for (; g > 0; g--, ratios += kInt8Tile, to += kInt8Tile) storeWeights(to, p, load(ratios));
  }
  return total;
}

// Scores of rows to weights, for rows that see [first, end) of a tile of which `all` positions are written and `count`
// scored. factors: of what was accumulated before, for each row.
inline void weighRows(const Int8Queries& x, int64_t row, int rows, const int* first, const int* end, const uint8_t* values,
                      const CacheLayout& layout, int count, int all, Int8Tile* tile, float* factors) {
  F most[kRowTile];
  for (int r = 0; r < kRowTile; r++)
    most[r] = r < rows ? largestScores(tile->scores + r * kInt8Tile, first[r], end[r], count) : splat(-INFINITY);
  float largest[kRowTile], changes[kRowTile];
  for (int r = 0; r < kRowTile; r += 4) largestLanes4(most + r, largest + r);
  constexpr int N = W < kRowTile ? W : kRowTile;
  for (int r = 0; r < kRowTile; r += N) {
    const F before = loadPart(x.top + row + r, N), now = loadPart(largest + r, N), top = larger(now, before);
    storePart(x.top + row + r, top, N);
    storePart(factors + r, weightOf(sub(before, top)), N);
    storePart(changes + r, weightOf(sub(now, top)), N);
  }
  for (int r = 0; r < rows; r++) {
    if (first[r] >= end[r]) {
      memset(tile->weights + r * layout.groups * kInt8Tile, 0, sizeof(int16_t) * (size_t)(layout.groups * kInt8Tile));
      for (int64_t g = 0; g < tile->stride; g += W) store(tile->scales + r * tile->stride + g, zero());
      continue;
    }
    if (first[r] != tile->first || end[r] != tile->end) weighPositions(values, layout, first[r], end[r], all, tile);
    const F change = splat(changes[r]), total = weighRow(r, layout, largest[r], count, *tile);
    float* totals = x.totals + (row + r) * W;
    store(totals, fma(load(totals), splat(factors[r]), mul(total, change)));
    for (int64_t g = 0; g < tile->stride; g += W) store(tile->scales + r * tile->stride + g, mul(load(tile->tops + g), change));
  }
}

// Q rows of weights times values, of N groups of V vectors from group g on; pairs of positions.
template <int Q, int N, int V>
inline void addValues(const Int8Queries& x, int64_t row, int r, const uint8_t* values, const CacheLayout& layout, int pairs, int64_t g,
                      const Int8Tile& tile, const float* factors) {
  constexpr int kBlockPairs = kCacheBlock / 2;
  const int16_t* weights = tile.weights + (r * layout.groups + g) * kInt8Tile;
  const int64_t ahead = kAheadBlocks * layout.blockBytes;
  I acc[Q][N][V];
  for (int q = 0; q < Q; q++)
    for (int n = 0; n < N; n++)
      for (int v = 0; v < V; v++) acc[q][n][v] = splatInt(0);
  for (int left = pairs; left > 0; left -= kBlockPairs, values += layout.blockBytes, weights += kCacheBlock) {
    const int8_t* codes = (const int8_t*)values + g * kCacheGroup * 2;
    const int some = left < kBlockPairs ? left : kBlockPairs;
#pragma GCC unroll 2
    for (int pair = 0; pair < some; pair++, codes += 2 * layout.padded) {
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
      const F scale = splat(tile.scales[(r + q) * tile.stride + g + n]), factor = splat(factors[r + q]);
      float* sums = x.sums + (row + q) * layout.padded + (g + n) * kCacheGroup;
      for (int v = 0; v < V; v++) store(sums + v * W, fma(toFloat(acc[q][n][v]), scale, mul(load(sums + v * W), factor)));
    }
}

template <int Q>
inline void addValueRows(const Int8Queries& x, int64_t row, int r, int rows, const uint8_t* values, const CacheLayout& layout, int pairs,
                         const Int8Tile& tile, const float* factors) {
  if constexpr (Q > 0) {
    if (rows < Q) return addValueRows<Q == 8 ? 4 : Q - 1>(x, row, r, rows, values, layout, pairs, tile, factors);
    constexpr int N = W == 16 && Q <= 2 ? 4 : 1;
    const int64_t whole = layout.padded / kCacheGroup;
    int64_t g = 0;
    for (; g + N <= whole; g += N) addValues<Q, N, kGroupVectors>(x, row, r, values, layout, pairs, g, tile, factors);
    for (; g < whole; g++) addValues<Q, 1, kGroupVectors>(x, row, r, values, layout, pairs, g, tile, factors);
    if (g < layout.groups) addValues<Q, 1, kGroupVectors / 2>(x, row, r, values, layout, pairs, g, tile, factors);
    if (rows > Q) addValueRows<Q>(x, row + Q, r + Q, rows - Q, values, layout, pairs, tile, factors);
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
  x.totals = (float*)(x.starts + kInt8Vectors * layout.groups);
  x.top = x.totals + kInt8Vectors * W;
  x.codes = (int8_t*)(x.top + kInt8Vectors);
  *rest = (float*)(x.codes + kInt8Vectors * layout.groups * kCacheGroup);
  const float scale = a.scale * 1.44269504f;
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
      x.d[row * layout.groups + g] = invalid ? NAN : top > 1e-30f ? top * (1.0f / 127.0f) * scale : 0.0f;
      x.starts[row * layout.groups + g] = invalid ? 0 : -kCodeOffset * (int32_t)sumLanes(sum);
    }
    for (int64_t i = 0; i < layout.padded; i += W) store(x.sums + row * layout.padded + i, zero());
    x.top[row] = -1e30f;
    store(x.totals + row * W, zero());
  }
  return x;
}

// Fetches where results will go, and the queries before these, which most often are the next to come: both lie far apart.
inline void fetchRows(const Int8Attention& a, int64_t vector, int rows) {
  for (int64_t v = vector; v < vector + rows; v++)
    for (int64_t i = 0; i < a.headDim; i += 16) {
      __builtin_prefetch(a.out + offsetOf(a, v) + i, 1, 2);
      if (a.begin >= kInt8Vectors) __builtin_prefetch(a.q + offsetOf(a, v - kInt8Vectors) + i, 0, 2);
    }
}

void attendInt8Kernel(const Int8Attention& a) {
  const CacheLayout layout(a.headDim);
  Int8Tile tile;
  const Int8Queries x = roundQueries(a, layout, (float*)a.scratch, &tile.scores);
  tile.stride = scaleStride(layout);
  tile.scales = tile.scores + kRowTile * kInt8Tile;
  tile.ratios = tile.scales + kRowTile * tile.stride;
  tile.largest = tile.ratios + layout.groups * kInt8Tile;
  tile.tops = tile.largest + tile.stride;
  tile.weights = (int16_t*)(tile.tops + tile.stride);
  for (int64_t g = 0; g < tile.stride; g += W) store(tile.tops + g, zero());

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
  const int64_t start = first[0] / kInt8Tile * kInt8Tile;
  for (int64_t t = start; t < end[vectors - 1]; t += kInt8Tile) {
    const uint8_t* const keys = a.keys + t / kCacheBlock * layout.blockBytes;
    const uint8_t* const values = a.values + t / kCacheBlock * layout.blockBytes;
    prefetchScales(keys, layout);
    prefetchScales(values, layout);
    tile.first = tile.end = -1;
    const int all = wholeBlocks(within(end[vectors - 1] - t, kInt8Tile));
    for (int64_t row = 0; row < vectors; row += kRowTile) {
      const int rows = (int)(vectors - row < kRowTile ? vectors - row : kRowTile), last = within(end[row + rows - 1] - t, kInt8Tile);
      if (last == 0 || first[row] >= t + kInt8Tile) continue;
      if (t == start) fetchRows(a, a.begin + row, rows);
      int from[kRowTile], to[kRowTile];
      for (int r = 0; r < rows; r++) {
        from[r] = within(first[row + r] - t, kInt8Tile);
        to[r] = within(end[row + r] - t, kInt8Tile);
      }
      for (int r = 0; r < rows; r += kScoreRows) {
        const int some = rows - r < kScoreRows ? rows - r : kScoreRows;
        scoreRows<kScoreRows>(x, row + r, some, keys, layout, wholeBlocks(last) / W, tile.scores + r * kInt8Tile);
      }
      float factors[kRowTile];
      weighRows(x, row, rows, from, to, values, layout, wholeBlocks(last), all, &tile, factors);
      addValueRows<kValueRows>(x, row, 0, rows, values, layout, (last + 1) / 2, tile, factors);
    }
  }
  for (int64_t v = a.begin; v < a.end; v++) {
    const int64_t row = v - a.begin;
    const F inverse = splat(1.0f / sumLanes(load(x.totals + row * W)));
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
