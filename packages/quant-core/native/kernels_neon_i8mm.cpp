// Advanced SIMD with dot products and the int8 matrix multiplication extension (smmla).
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
const Isa* isaNeonI8mm() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_neon.h"

namespace voxquant {
namespace {

struct Dot {
  static constexpr bool kQuads = true, kPairs = true;
  static int32x4_t add(int32x4_t sums, int8x16_t w, int8x16_t q) { return vdotq_s32(sums, w, q); }

  static int8x16_t firstHalves(int8x16_t a, int8x16_t b) { return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b))); }
  static int8x16_t secondHalves(int8x16_t a, int8x16_t b) { return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b))); }

  // Lanes (w0 x0, w0 x1, w1 x0, w1 x1).
  static int32x4_t square(int32x4_t sums, int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1) {
    sums = vmmlaq_s32(sums, firstHalves(w0, w1), firstHalves(x0, x1));
    return vmmlaq_s32(sums, secondHalves(w0, w1), secondHalves(x0, x1));
  }
};

}  // namespace
}  // namespace voxquant

#include "kernels_neon.h"

namespace voxquant {
namespace {

// ---- int8 products of many rows: two rows by two outputs and eight inputs at a time ----

// Weights [(end - begin) / 8, V * W / 2, 2, 8].
struct SquareSums {
  template <int R, int V>
  static inline void sum(const TileRows<R>& rows, int64_t, int64_t begin, int64_t end, const uint8_t* weights, const int32_t* /* panelStarts */,
                         I (&dot)[R][V]) {
    constexpr int kPairs = (R + 1) / 2;
    I squares[kPairs][2 * V];  // lanes (x0 w0, x0 w1, x1 w0, x1 w1)
    for (int p = 0; p < kPairs; p++)
      for (int v = 0; v < 2 * V; v++) squares[p][v] = vdupq_n_s32(0);
    for (int64_t i = begin; i < end; i += 16) {
      int8x16_t x[2][kPairs];
      for (int p = 0; p < kPairs; p++) {
        // An odd last row stands beside itself.
        const int8x16_t x0 = vld1q_s8(rows.codes[2 * p] + i), x1 = 2 * p + 1 < R ? vld1q_s8(rows.codes[2 * p + 1] + i) : x0;
        x[0][p] = Dot::firstHalves(x0, x1);
        x[1][p] = Dot::secondHalves(x0, x1);
      }
      for (int half = 0; half < 2; half++, weights += V * W * 8)
        for (int v = 0; v < 2 * V; v++) {
          const int8x16_t w = panelCodes(weights + 16 * v);
          for (int p = 0; p < kPairs; p++) squares[p][v] = vmmlaq_s32(squares[p][v], x[half][p], w);
        }
    }
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) {
        const int64x2_t low = vreinterpretq_s64_s32(squares[r / 2][2 * v]), high = vreinterpretq_s64_s32(squares[r / 2][2 * v + 1]);
        dot[r][v] = vreinterpretq_s32_s64(r % 2 ? vzip2q_s64(low, high) : vzip1q_s64(low, high));
      }
  }
};

void packSquares(const int8_t* codes, const float* scales, const Int8Panel& panel) {
  packPanel(scales, panel, [&](int first, int outs, uint8_t* tile, int vectors, int v) {
    for (int o = 0; o < W; o++)
      for (int64_t i = 0; i < panel.k; i += 8) {
        uint8_t* const at = tile + i * vectors * W + 8 * (v * W + o);
        if (o < outs) memcpy(at, codes + (first + o) * panel.k + i, 8);
        else memset(at, 0, 8);
      }
  });
}

const Int8Kernels kSquares = {127, roundRow<QuadSums>, coarsenRow, coarsenFloats<127>, packSquares, multiplyPanel<SquareSums>, multiplyGathered<SquareSums>};

}  // namespace

const Isa* isaNeonI8mm() {
  static const Isa table = [] {
    Isa level = levelOf("neoni8mm");
    level.int8 = &kSquares;
    return level;
  }();
  return &table;
}

}  // namespace voxquant

#endif
