#pragma once
// Convolution tiles on AVX-512: sixteen outputs in a vector, each weight of them loaded once for several rows of the
// signal, whose inputs are broadcast from where they lie. No input is moved for the taps and no output is transposed.

namespace voxquant {
namespace {

inline __m512i broadcast32(const void* p) {
  int32_t value;
  memcpy(&value, p, 4);
  return _mm512_set1_epi32(value);
}

// Sums of an output vector and what is added to them, into its place.
inline void finishConv(F sum, const ConvOutput& to, int row, int first) {
  const int left = to.outs - first, count = left < W ? left : W;
  if (to.bias) sum = add(sum, loadPart(to.bias + first, count));
  const int64_t at = row * to.stride + first;
  if (to.residual) sum = add(sum, loadPart(to.residual + at, count));
  storePart(to.out + at, sum, count);
}

// Values of four bytes of up to sixteen rows, missing ones zero, side by side: take(quads, count, i) gets `count` vectors, at
// most 16, from byte i of the rows on. change: 64 bytes of a row before that.
template <class Change, class Take>
inline void takeColumns(const uint8_t* rows, int64_t stride, int outs, int64_t bytes, Change&& change, Take&& take) {
  for (int64_t i = 0; i < bytes; i += 64) {
    const int64_t left = bytes - i;
    const __mmask16 some = left >= 64 ? 0xffff : first((int)(left / 4));
    F t[16];
    for (int o = 0; o < 16; o++)
      t[o] = o < outs ? _mm512_castsi512_ps(change(_mm512_maskz_loadu_epi32(some, rows + o * stride + i))) : splat(0.0f);
    transpose16(t);
    take(t, left >= 64 ? 16 : (int)(left / 4), i);
  }
}

// Whole rows of a panel: sixteen outputs whose values of four bytes go side by side, `vectors` such groups of outputs in turn.
inline void packConvColumns(const uint8_t* rows, int64_t stride, int outs, int64_t bytes, int vectors, int flip, uint8_t* to) {
  const __m512i bits = _mm512_set1_epi8((char)flip);
  takeColumns(rows, stride, outs, bytes, [](__m512i row) { return row; }, [&](const F* quads, int count, int64_t i) {
    for (int j = 0; j < count; j++)
      _mm512_storeu_si512(to + (i / 4 + j) * vectors * 64, _mm512_xor_si512(_mm512_castps_si512(quads[j]), bits));
  });
}

}  // namespace
}  // namespace voxquant
