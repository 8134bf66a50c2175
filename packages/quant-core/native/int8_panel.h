#pragma once
// Int8 products of many rows (isa.h, Int8Kernels): outputs in vector lanes. The float sums of a tile of results lie where the
// results go; a group of kPanelGroup inputs is summed in registers in between, by QuadSums with activations broadcast four
// inputs at a time, or by a level's own way that is given to multiplyPanel(); `Sums` says also how activations are rounded.
//
// The level gives, before it includes this file:
//   I, Quads, and F with its operations  W int32 sums, W times four codes, W floats
//   kTileVectors                     vectors of outputs per tile; kPanelOuts is a multiple of their lanes
//   I startOf(int32_t)               in all lanes
//   Quads panelCodes(const uint8_t*)     codes of W outputs, as its pack leaves them
//   Quads quadOf(const int8_t*)          four codes, in all lanes
//   I dotOf(I sums, Quads weights, Quads quad)
//   F floatsOf(I)
//   F codeFloats(const int8_t*)      W codes
//   float largestOf(const F*, int)   magnitude among so many vectors; a NaN is the largest
//   codes32(const F*, F, int8_t*)    32 floats times the second argument, rounded to codes
//   int32_t startFor(const int8_t*, int)  start of the sums with so many codes, a multiple of 32

namespace voxquant {
namespace {

constexpr int kTileRows = 4;
constexpr int kTileWidth = kTileVectors * W;

// Vectors of the tile that begins at output `first`.
inline int tileVectors(const Int8Panel& panel, int first) {
  const int vectors = (panel.outs - first + W - 1) / W;
  return vectors < kTileVectors ? vectors : kTileVectors;
}

// R rows of rounded activations that lie anywhere.
template <int R>
struct TileRows {
  const int8_t* codes[R];
  const float* d[R];
  const int32_t* starts[R];

  void place(int r, const RoundedRows& x, int64_t row) {
    codes[r] = x.codes + row * x.k;
    d[r] = x.d + row * panelGroups(x.k);
    starts[r] = x.starts + row * panelGroups(x.k);
  }
};

struct QuadSums {
  static constexpr int kTop = 127;

  // `count` floats times the third argument to codes, in the order that sum() wants; returns where their sums start.
  static inline int32_t place(const F* v, int count, F inverse, int8_t* codes) {
    for (int i = 0; i < count; i += 32) codes32(v + i / W, inverse, codes + i);
    return startFor(codes, count);
  }

  // The products of group g, inputs [begin, end): dot[r][v] of row r and vector v of weights [(end - begin) / 4, V, W, 4].
  // panelStarts: of the group, in vectors.
  template <int R, int V>
  static inline void sum(const TileRows<R>& x, int64_t g, int64_t begin, int64_t end, const uint8_t* weights, const int32_t* /* panelStarts */,
                         I (&dot)[R][V]) {
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) dot[r][v] = startOf(x.starts[r][g]);
    for (int64_t i = begin; i < end; i += 32, weights += 8 * V * W * 4) {
#pragma GCC unroll 8
      for (int s = 0; s < 8; s++) {
        Quads weight[V];
        for (int v = 0; v < V; v++) weight[v] = panelCodes(weights + (s * V + v) * W * 4);
        for (int r = 0; r < R; r++) {
          const Quads quad = quadOf(x.codes[r] + i + 4 * s);
          for (int v = 0; v < V; v++) dot[r][v] = dotOf(dot[r][v], weight[v], quad);
        }
      }
    }
  }
};

// Of a tile's outputs, from the first of them on in the arrays of Int8Panel.
struct TileWeights {
  const uint8_t* codes;
  const float* scales;
  const int32_t* starts;

  TileWeights(const Int8Panel& panel, int first) : codes(panel.codes + first * panel.k), scales(panel.scales + first), starts(panel.starts + first) {}
};

// Adds the products of k inputs to a tile of results.
template <class Sums, int R, int V>
inline void addTile(const TileRows<R>& x, int64_t k, const TileWeights& w, float* out, int64_t stride) {
  const int64_t groups = panelGroups(k);
  for (int64_t g = 0; g < groups; g++) {
    const int64_t begin = g * kPanelGroup, end = begin + kPanelGroup < k ? begin + kPanelGroup : k;
    I dot[R][V];
    Sums::sum(x, g, begin, end, w.codes + begin * V * W, w.starts + g * kPanelOuts, dot);
    F scale[V];
    for (int v = 0; v < V; v++) scale[v] = load(w.scales + g * kPanelOuts + v * W);
    for (int r = 0; r < R; r++) {
      const F size = splat(x.d[r][g]);
      for (int v = 0; v < V; v++) {
        float* sum = out + r * stride + v * W;
        store(sum, fma(floatsOf(dot[r][v]), mul(size, scale[v]), load(sum)));
      }
    }
  }
}

template <class Sums, int R, int V>
inline void multiplyTile(const RoundedRows& x, int64_t row, const TileWeights& w, const float* bias, float* out, int64_t stride) {
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(out + r * stride + v * W, load(bias + v * W));
  TileRows<R> rows;
  for (int r = 0; r < R; r++) rows.place(r, x, row + r);
  addTile<Sums, R, V>(rows, x.k, w, out, stride);
}

template <class Sums, int V>
inline void multiplyRows(int rows, const RoundedRows& x, int64_t row, const TileWeights& w, const float* bias, float* out, int64_t stride) {
  switch (rows) {
    case 1: return multiplyTile<Sums, 1, V>(x, row, w, bias, out, stride);
    case 2: return multiplyTile<Sums, 2, V>(x, row, w, bias, out, stride);
    case 3: return multiplyTile<Sums, 3, V>(x, row, w, bias, out, stride);
    default: return multiplyTile<Sums, kTileRows, V>(x, row, w, bias, out, stride);
  }
}

template <class Sums>
inline void multiplyVectors(int vectors, int rows, const RoundedRows& x, int64_t row, const TileWeights& w, const float* bias,
                            float* out, int64_t stride) {
  if (vectors == 1) return multiplyRows<Sums, 1>(rows, x, row, w, bias, out, stride);
  if (vectors == 2) return multiplyRows<Sums, 2>(rows, x, row, w, bias, out, stride);
  if (vectors == 3) return multiplyRows<Sums, 3>(rows, x, row, w, bias, out, stride);
  multiplyRows<Sums, kTileVectors>(rows, x, row, w, bias, out, stride);
}

template <class Sums>
void multiplyPanel(const RoundedRows& x, int64_t begin, int64_t end, const Int8Panel& panel, const float* bias, float* out, int64_t stride,
                   const uint8_t* ahead, int64_t aheadBytes) {
  float biases[kPanelOuts] = {};
  if (bias) memcpy(biases, bias, sizeof(float) * (size_t)panel.outs);
  const int64_t tiles = (end - begin + kTileRows - 1) / kTileRows, share = (aheadBytes / tiles + 63) / 64 * 64;
  const uint8_t* const aheadEnd = ahead + aheadBytes;
  for (int64_t row = begin; row < end; row += kTileRows) {
    const int rows = end - row < kTileRows ? (int)(end - row) : kTileRows;
    for (int64_t line = 0; line < share && ahead < aheadEnd; line += 64, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    for (int first = 0; first < panel.outs; first += kTileWidth) {
      const TileWeights weights(panel, first);
      const int vectors = tileVectors(panel, first), width = vectors * W, outs = panel.outs - first < width ? panel.outs - first : width;
      float* to = out + (row - begin) * stride + first;
      if (outs == width) {
        multiplyVectors<Sums>(vectors, rows, x, row, weights, biases + first, to, stride);
      } else {
        float whole[kTileRows * kTileWidth];
        multiplyVectors<Sums>(vectors, rows, x, row, weights, biases + first, whole, width);
        for (int r = 0; r < rows; r++) memcpy(to + r * stride, whole + r * width, sizeof(float) * (size_t)outs);
      }
    }
  }
}

template <class Sums, int R>
inline void gatherTile(int vectors, const RoundedRows& x, const int32_t* places, const TileWeights& w, float* out, int64_t stride) {
  TileRows<R> rows;
  for (int r = 0; r < R; r++) rows.place(r, x, places[r]);
  if (vectors == 1) return addTile<Sums, R, 1>(rows, x.k, w, out, stride);
  if (vectors == 2) return addTile<Sums, R, 2>(rows, x.k, w, out, stride);
  if (vectors == 3) return addTile<Sums, R, 3>(rows, x.k, w, out, stride);
  addTile<Sums, R, kTileVectors>(rows, x.k, w, out, stride);
}

template <class Sums>
void multiplyGathered(const RoundedRows& x, const int32_t* rows, int64_t count, const Int8Panel& panel, float* out, int64_t stride) {
  for (int first = 0; first < panel.outs; first += kTileWidth) {
    const TileWeights weights(panel, first);
    const int vectors = tileVectors(panel, first);
    int64_t row = 0;
    for (; row + kTileRows <= count; row += kTileRows)
      gatherTile<Sums, kTileRows>(vectors, x, rows + row, weights, out + row * stride + first, stride);
    for (; row < count; row++) gatherTile<Sums, 1>(vectors, x, rows + row, weights, out + row * stride + first, stride);
  }
}

// The scale of codes up to Top of `count` floats, a multiple of 32 and at most kPanelGroup, and what those are multiplied with.
template <int Top>
struct GroupScale {
  float d;
  F inverse;

  GroupScale(const F* v, int count) {
    const float largest = largestOf(v, count / W);
    const bool none = largest <= 1e-30f;
    d = none ? 0.0f : largest / (float)Top;
    inverse = splat(none ? 0.0f : (float)Top / largest);
  }
};

// Floats to codes; returns their scale.
template <int Top>
inline float roundGroup(const F* v, int count, int8_t* codes) {
  const GroupScale<Top> scale(v, count);
  for (int i = 0; i < count; i += 32) codes32(v + i / W, scale.inverse, codes + i);
  return scale.d;
}

template <class Sums>
inline void roundActivations(const float* x, int count, int8_t* codes, float* d, int32_t* start) {
  F v[kPanelGroup / W];
  for (int i = 0; i < count / W; i++) v[i] = load(x + i * W);
  const GroupScale<Sums::kTop> scale(v, count);
  *d = scale.d;
  *start = Sums::place(v, count, scale.inverse, codes);
}

template <class Sums>
void roundRow(const float* x, int64_t k, int8_t* codes, float* d, int32_t* starts) {
  for (; k >= kPanelGroup; k -= kPanelGroup, x += kPanelGroup, codes += kPanelGroup) roundActivations<Sums>(x, kPanelGroup, codes, d++, starts++);
  if (k > 0) roundActivations<Sums>(x, (int)k, codes, d, starts);
}

template <int Group, int Top>
inline float coarsenCodes(int count, int8_t* codes, const float* scales, const float* shifts) {
  F v[kPanelGroup / W];
  for (int i = 0; i < count / W; i++) v[i] = mul(codeFloats(codes + i * W), splat(scales[i * W / Group]));
  if (shifts)
    for (int i = 0; i < count / W; i++) v[i] = add(v[i], splat(shifts[i * W / Group]));
  return roundGroup<Top>(v, count, codes);
}

template <int Group, int Top>
inline void coarsenGroups(int8_t* codes, const float* scales, const float* shifts, int64_t k, float* coarse) {
  for (; k >= kPanelGroup; k -= kPanelGroup, codes += kPanelGroup) {
    *coarse++ = coarsenCodes<Group, Top>(kPanelGroup, codes, scales, shifts);
    scales += kPanelGroup / Group;
    if (shifts) shifts += kPanelGroup / Group;
  }
  if (k > 0) *coarse = coarsenCodes<Group, Top>((int)k, codes, scales, shifts);
}

// Codes with scales and shifts (null: none) per group of 16 or 32, in place.
template <int Top>
void coarsenScaled(int8_t* codes, const float* scales, const float* shifts, int group, int64_t k, float* coarse) {
  if (group == 16) coarsenGroups<16, Top>(codes, scales, shifts, k, coarse);
  else coarsenGroups<32, Top>(codes, scales, shifts, k, coarse);
}

template <int Top>
void coarsenFloats(const float* x, int64_t k, int8_t* codes, float* coarse) {
  for (; k > 0; k -= kPanelGroup, x += kPanelGroup, codes += kPanelGroup) {
    const int count = k < kPanelGroup ? (int)k : kPanelGroup;
    F v[kPanelGroup / W];
    for (int i = 0; i < count / W; i++) v[i] = load(x + i * W);
    *coarse++ = roundGroup<Top>(v, count, codes);
  }
}

// The scales of a panel, and its codes through `column(first, outs, tile, vectors, v)`: outputs [first, first + outs), at most
// W, as vector v of the `vectors` of a tile.
template <class Column>
inline void packPanel(const float* scales, const Int8Panel& panel, Column&& column) {
  const int64_t groups = panelGroups(panel.k);
  for (int64_t g = 0; g < groups; g++)
    for (int o = 0; o < kPanelOuts; o++) panel.scales[g * kPanelOuts + o] = o < panel.outs ? scales[o * groups + g] : 0.0f;
  uint8_t* to = panel.codes;
  for (int first = 0; first < panel.outs; first += kTileWidth) {
    const int vectors = tileVectors(panel, first);
    for (int v = 0; v < vectors; v++) {
      const int o = first + v * W, left = panel.outs - o;
      column(o, left < W ? left : W, to, vectors, v);
    }
    to += vectors * W * panel.k;
  }
}

}  // namespace
}  // namespace voxquant
