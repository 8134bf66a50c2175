#pragma once
// Int8 products of many rows with half the multiplications (S. Winograd, A New Algorithm for Inner Product, IEEE Transactions
// on Computers C-17, 1968): with inputs in pairs (e, o) of activations x and weights w
//
//   x_e w_e + x_o w_o = (x_e + w_o) (x_o + w_e) - x_e x_o - w_o w_e
//
// where the last two products are summed once per row and once per output. Two additions of bytes and one dot product stand
// for two dot products. Where additions have execution units of their own beside the multipliers', as on AMD's Zen 4 and 5,
// four thirds of the multipliers' peak are within reach; where they take turns, as on Intel's, it is slower. The price: sums
// must fit eight bits, so that codes have seven.
//
// Activations lie as [4 even inputs + 128, 4 odd inputs] of each eight, weights as [4 odd, 4 even]: first halves sum to
// unsigned bytes and second halves to signed ones, and the 128 is taken back where the sums start.

namespace voxquant {
namespace {

struct PairSums {
  static constexpr int kTop = 63;  // weights may reach -64: -63 - 64 + 128 is a byte still, and so is 63 + 64 + 128

  // QuadSums::place
  static inline int32_t place(const F* v, int count, F inverse, int8_t* codes) {
    const __m512i quads = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i order = _mm512_set4_epi32(0x0f0d0b09, 0x0e0c0a08, 0x07050301, 0x06040200), offset = _mm512_set1_epi64(0x80808080);
    __m512i sums = _mm512_setzero_si512();
    for (int i = 0; i < count; i += 64) {
      __m512i wide[4];
      for (int j = 0; j < 4; j++) wide[j] = i + j * W < count ? _mm512_cvtps_epi32(mul(v[i / W + j], inverse)) : _mm512_setzero_si512();
      const __m512i packed = _mm512_packs_epi16(_mm512_packs_epi32(wide[0], wide[1]), _mm512_packs_epi32(wide[2], wide[3]));
      const __m512i halves = _mm512_xor_si512(_mm512_shuffle_epi8(_mm512_permutexvar_epi32(quads, packed), order), offset);
      _mm512_mask_storeu_epi32(codes + i, count - i < 64 ? 0xff : 0xffff, halves);
      sums = _mm512_dpbusd_epi32(sums, halves, _mm512_maskz_shuffle_epi32(0x5555, halves, _MM_PERM_CDAB));
    }
    return -_mm512_reduce_add_epi32(sums);
  }

  // QuadSums::sum
  template <int R, int V>
  static inline void sum(const TileRows<R>& x, int64_t g, int64_t begin, int64_t end, const uint8_t* weights, const int32_t* panelStarts,
                         I (&dot)[R][V]) {
    for (int v = 0; v < V; v++) {
      const I start = _mm512_loadu_si512(panelStarts + v * W);
      for (int r = 0; r < R; r++) dot[r][v] = _mm512_add_epi32(start, startOf(x.starts[r][g]));
    }
    for (int64_t i = begin; i < end; i += 32, weights += 8 * V * W * 4) {
#pragma GCC unroll 4
      for (int s = 0; s < 8; s += 2) {
        Quads odd[V], even[V];
        for (int v = 0; v < V; v++) {
          odd[v] = panelCodes(weights + (s * V + v) * W * 4);
          even[v] = panelCodes(weights + ((s + 1) * V + v) * W * 4);
        }
        for (int r = 0; r < R; r++) {
          const int8_t* const codes = x.codes[r] + i + 4 * s;
          const Quads rowEven = quadOf(codes), rowOdd = quadOf(codes + 4);
          // As an instruction: GCC 12 copies the sums that it gives to the intrinsic.
          for (int v = 0; v < V; v++)
            asm("vpdpbusd %2, %1, %0" : "+v"(dot[r][v]) : "v"(_mm512_add_epi8(odd[v], rowEven)), "v"(_mm512_add_epi8(even[v], rowOdd)));
        }
      }
    }
  }
};

void packPairs(const int8_t* codes, const float* scales, const Int8Panel& panel) {
  const __m512i order = _mm512_set4_epi32(0x0e0c0a08, 0x0f0d0b09, 0x06040200, 0x07050301), offset = _mm512_set1_epi8((char)0x80);
  packPanel(scales, panel, [&](int first, int outs, uint8_t* tile, int vectors, int v) {
    uint8_t* const to = tile + v * W * 4;
    int32_t* starts = panel.starts + first;
    I sums = startOf(0);
    const auto arranged = [&](__m512i row) { return _mm512_shuffle_epi8(row, order); };
    takeColumns((const uint8_t*)codes + first * panel.k, panel.k, outs, panel.k, arranged, [&](const F* quads, int count, int64_t i) {
      for (int j = 0; j < count; j += 2) {
        const Quads odd = _mm512_castps_si512(quads[j]), even = _mm512_castps_si512(quads[j + 1]);
        sums = _mm512_dpbusd_epi32(sums, _mm512_xor_si512(odd, offset), even);
        _mm512_storeu_si512(to + (i / 4 + j) * vectors * 64, odd);
        _mm512_storeu_si512(to + (i / 4 + j + 1) * vectors * 64, even);
      }
      const int64_t end = i + 4 * count;
      if (end % kPanelGroup != 0 && end != panel.k) return;
      _mm512_storeu_si512(starts, _mm512_sub_epi32(startOf(0), sums));
      starts += kPanelOuts;
      sums = startOf(0);
    });
  });
}

}  // namespace
}  // namespace voxquant
