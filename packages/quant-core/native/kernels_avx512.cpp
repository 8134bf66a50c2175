// AVX-512 (F, BW, DQ, VL) with VNNI.
//
// Matrix x vectors: 64 weight codes per step as unsigned bytes u = code + offset; dpbusd(u, q) accumulates onto
// -offset * (sum of 4 q), which was computed once per activation row, so that the correction costs nothing here.
// Int8 products of many rows: weights in lanes as unsigned bytes code + 128, activations broadcast as signed bytes; the
// accumulator starts at -128 * (sum of the group's activations).
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
const Isa* isaAvx512() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_avx512.h"
#include "vector_attention.h"
#include "vector_conv2d.h"
#include "vector_int8_attention.h"
#include "gemv_avx512.h"
#include "conv_int8.h"

namespace voxquant {
namespace {

void packF32(const float* x, int64_t stride, int rows, int64_t k, float* a) {
  for (int v = 0; v < kVectors; v++) {
    for (int64_t i = 0; i < k; i += 16) {
      const int count = k - i < 16 ? (int)(k - i) : 16;
      F r[16];
      for (int j = 0; j < 16; j++) r[j] = v * 16 + j < rows ? loadPart(x + (v * 16 + j) * stride + i, count) : zero();
      transpose16(r);
      for (int j = 0; j < count; j++) store(a + (i + j) * kLanes + v * 16, r[j]);
    }
  }
}

void storeTile(const float* c, int outs, int rows, const float* bias, int32_t act, float* out, int64_t stride) {
  for (int o = 0; o < outs; o += 16) {
    const int count = outs - o < 16 ? outs - o : 16;
    F b = bias ? loadPart(bias + o, count) : zero();
    for (int v = 0; v * 16 < rows; v++) {
      F r[16];
      for (int j = 0; j < 16; j++) r[j] = j < count ? load(c + (o + j) * kLanes + v * 16) : zero();
      transpose16(r);
      const int lanes = rows - v * 16 < 16 ? rows - v * 16 : 16;
      for (int j = 0; j < lanes; j++) {
        F y = add(r[j], b);
        if (act == kActGelu) y = geluOf(y);
        else if (act == kActSilu) y = siluOf(y);
        storePart(out + (v * 16 + j) * stride + o, y, count);
      }
    }
  }
}

void quantizeRow(const float* x, int64_t n, int64_t padded, int8_t* q, float* d, int32_t* quads, float* sums16, float* sums32) {
  const __m256i ones = _mm256_set1_epi8(1);
  for (int64_t b = 0; b < padded / 32; b++) {
    __m128i low = _mm_setzero_si128(), high = low;
    d[b] = b * 32 < n ? round32(load(x + 32 * b), load(x + 32 * b + 16), &low, &high) : 0.0f;
    __m256i codes = _mm256_set_m128i(high, low);
    _mm256_storeu_si256((__m256i*)(q + 32 * b), codes);
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, codes);
    _mm256_storeu_si256((__m256i*)(quads + 8 * b), sums);
    const int32_t* total = quads + 8 * b;
    const int32_t first = total[0] + total[1] + total[2] + total[3], second = total[4] + total[5] + total[6] + total[7];
    sums16[2 * b] = d[b] * (float)first;
    sums16[2 * b + 1] = d[b] * (float)second;
    sums32[b] = d[b] * (float)(first + second);
  }
}

// ---- int8 products of many rows ----

typedef __m512i I;
typedef __m512i Quads;
constexpr int kTileVectors = 3;
inline I startOf(int32_t value) { return _mm512_set1_epi32(value); }
inline Quads panelCodes(const uint8_t* codes) { return _mm512_loadu_si512(codes); }
inline Quads quadOf(const int8_t* codes) { return broadcast32(codes); }
inline I dotOf(I sums, Quads weights, Quads quad) { return _mm512_dpbusd_epi32(sums, weights, quad); }
inline F floatsOf(I sums) { return _mm512_cvtepi32_ps(sums); }
inline F codeFloats(const int8_t* codes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)codes))); }

inline void codes32(const F* v, F inverse, int8_t* codes) {
  for (int i = 0; i < 2; i++) _mm_storeu_si128((__m128i*)(codes + 16 * i), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(mul(v[i], inverse))));
}

inline int32_t startFor(const int8_t* codes, int count) {
  __m512i sums = _mm512_setzero_si512();
  for (int i = 0; i < count; i += 64)
    sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), _mm512_maskz_loadu_epi32(count - i < 64 ? 0xff : 0xffff, codes + i));
  return -128 * _mm512_reduce_add_epi32(sums);
}

}  // namespace
}  // namespace voxquant

#include "int8_panel.h"
#include "int8_pairs.h"

namespace voxquant {
namespace {

// A weight's codes become coarse by factors in 16 bits, the ratios of their scales to the largest scale of a group of
// kPanelGroup, after they were shifted to the left as far as eight bits allow. Where scales are equal nothing is lost.

// What codes up to 127 are multiplied with for codes up to Top: a half where they were shifted, which leaves integers; else
// not, since all halves would be rounded upwards, which adds up in products with inputs of one sign.
template <int Top>
inline float fitTo(int shift) {
  return Top == 127 ? 1.0f : shift > 0 ? 0.5f : (float)Top / 127.0f;
}

// 32767 * ratio for sixteen scales of Group codes each (missing ones are zero), twice in 16 bits, and the `coarse` scales of
// codes that are shifted so far; both for codes up to Top.
template <int Group, int Top>
inline void factorsOf(F scale, int count, int shift, int32_t* factors, float* coarse) {
  // Of each group the scale of the largest magnitude, with its sign: codes reach further below zero than above.
  F most = scale, least = scale;
  most = larger(most, _mm512_permute_ps(most, 0xb1));
  least = smaller(least, _mm512_permute_ps(least, 0xb1));
  most = larger(most, _mm512_permute_ps(most, 0x4e));
  least = smaller(least, _mm512_permute_ps(least, 0x4e));
  if (Group == 16) {
    most = larger(most, _mm512_shuffle_f32x4(most, most, 0xb1));
    least = smaller(least, _mm512_shuffle_f32x4(least, least, 0xb1));
  }
  const F top = _mm512_mask_mov_ps(most, _mm512_cmp_ps_mask(magnitude(least), magnitude(most), _CMP_GT_OQ), least);
  const float fit = fitTo<Top>(shift);
  const F unit = mul(top, splat(1.0f / (fit * (float)(1 << shift))));
  const F ratio = _mm512_maskz_div_ps(_mm512_cmp_ps_mask(magnitude(top), splat(1e-30f), _CMP_NLE_UQ), scale, top);
  const __m512i factor = _mm512_cvtps_epi32(mul(ratio, splat(32767.0f * fit)));
  _mm512_storeu_si512(factors, _mm512_mask_blend_epi16(0xaaaaaaaa, factor, _mm512_slli_epi32(factor, 16)));
  // Not compressed as it is stored: that takes Zen 4 as long as all the rest.
  constexpr int kFine = kPanelGroup / Group;
  storePart(coarse, _mm512_maskz_compress_ps(Group == 16 ? 0x0101 : 0x1111, unit), (count + kFine - 1) / kFine);
}

// 32 codes times 2^shift times their factors, in 16 bits.
template <bool Shifted>
inline __m512i scaleCodes(__m256i codes, __m128i shift, __m512i factors) {
  const __m512i wide = _mm512_cvtepi8_epi16(codes);
  return _mm512_mulhrs_epi16(Shifted ? _mm512_sll_epi16(wide, shift) : wide, factors);
}

// The factors of 32 codes, of pairs of equal ones.
template <int Group>
inline __m512i factorsAt(const int32_t* pairs, int64_t i) {
  const __m512i first = _mm512_set1_epi32(pairs[i / Group]);
  return Group == 32 ? first : _mm512_mask_set1_epi32(first, 0xff00, pairs[i / Group + 1]);
}

// Codes [k] of `load(i)`, 32 from i on, to coarse ones; factors [k / Group] in pairs.
template <int Group, bool Shifted, class Load>
inline void scaleAll(int64_t k, int shift, const int32_t* factors, int8_t* codes, Load&& load) {
  const __m128i by = _mm_cvtsi32_si128(shift);
  const __m512i inOrder = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  int64_t i = 0;
  for (; i + 64 <= k; i += 64) {
    const __m512i low = scaleCodes<Shifted>(load(i), by, factorsAt<Group>(factors, i));
    const __m512i high = scaleCodes<Shifted>(load(i + 32), by, factorsAt<Group>(factors, i + 32));
    _mm512_storeu_si512(codes + i, _mm512_permutexvar_epi64(inOrder, _mm512_packs_epi16(low, high)));
  }
  if (i < k) _mm256_storeu_si256((__m256i*)(codes + i), _mm512_cvtsepi16_epi8(scaleCodes<Shifted>(load(i), by, factorsAt<Group>(factors, i))));
}

// How far codes can be shifted to the left inside eight bits.
inline int roomAbove(const int8_t* codes, int64_t k) {
  __m512i bits = _mm512_setzero_si512();
  for (int64_t i = 0; i < k; i += 64) {
    const __m512i some = _mm512_maskz_loadu_epi32(k - i < 64 ? 0xff : 0xffff, codes + i);
    const __m512i sign = _mm512_movm_epi8(_mm512_movepi8_mask(some));
    bits = _mm512_ternarylogic_epi32(bits, some, sign, 0xf6);  // bits | (some ^ sign)
  }
  uint32_t all = (uint32_t)_mm512_reduce_or_epi32(bits);
  all = (all | all >> 16 | all >> 8 | all >> 24) & 0xff;
  return all == 0 ? 7 : __builtin_clz(all) - 25;
}

// space: k / 4 + 64 bytes
template <int Group, int Top>
inline void coarsenInts(int8_t* codes, const float* scales, int64_t k, float* coarse, int32_t* space) {
  const int shift = roomAbove(codes, k);
  for (int64_t left = k / Group, at = 0; left > 0; left -= 16, at += 16) {
    const int count = left < 16 ? (int)left : 16;
    factorsOf<Group, Top>(loadPart(scales + at, count), count, shift, space + at, coarse + at * Group / kPanelGroup);
  }
  scaleAll<Group, true>(k, shift, space, codes, [&](int64_t i) { return load256((const uint8_t*)codes + i); });
}

// From the blocks at once: codes of Q8_0 fill eight bits. The scales of a row first, so that none is loaded as part of a
// vector while it is on its way to memory, and divisions overlap.
template <int Top>
void coarsenQ8_0(const uint8_t* blocks, int64_t k, int8_t* codes, float* coarse, uint16_t* space) {
  constexpr int64_t kBytes = 34;
  const int64_t count = k / 32, padded = (count + 15) / 16 * 16;
  uint16_t* const halves = space;
  int32_t* const factors = (int32_t*)(space + padded);
  for (int64_t j = 0; j < count; j++) memcpy(halves + j, blocks + j * kBytes, 2);
  for (int64_t j = count; j < padded; j++) halves[j] = 0;
  for (int64_t j = 0; j < count; j += 16)
    factorsOf<32, Top>(loadHalf((const uint8_t*)(halves + j)), count - j < 16 ? (int)(count - j) : 16, 0, factors + j, coarse + j * 32 / kPanelGroup);
  scaleAll<32, false>(k, 0, factors, codes, [&](int64_t i) { return load256(blocks + i / 32 * kBytes + 2); });
}

template <int Top>
void coarsenRow(const WeightMatrix& w, int64_t row, int8_t* codes, float* coarse, void* space) {
  if (w.dtype == Q8_0) return coarsenQ8_0<Top>(w.row(row), w.in, codes, coarse, (uint16_t*)space);
  const int group = w.traits->group;
  float* scales = (float*)space;
  float* shifts = scales + w.in / group;
  unpackAvx2(w.dtype, w.row(row), w.in, codes, scales, shifts);
  if (w.traits->shifted) coarsenScaled<Top>(codes, scales, shifts, group, w.in, coarse);
  else if (group == 16) coarsenInts<16, Top>(codes, scales, w.in, coarse, (int32_t*)(shifts + w.in / group));
  else coarsenInts<32, Top>(codes, scales, w.in, coarse, (int32_t*)(shifts + w.in / group));
}

void packInt8(const int8_t* codes, const float* scales, const Int8Panel& panel) {
  packPanel(scales, panel, [&](int first, int outs, uint8_t* tile, int vectors, int v) {
    packConvColumns((const uint8_t*)codes + first * panel.k, panel.k, outs, panel.k, vectors, 0x80, tile + v * W * 4);
  });
}

const Int8Kernels kInt8 = {127, roundRow<QuadSums>, coarsenRow<127>, coarsenFloats<127>, packInt8, multiplyPanel<QuadSums>, multiplyGathered<QuadSums>};

}  // namespace

extern const Int8Kernels kInt8Pairs = {
    PairSums::kTop, roundRow<PairSums>, coarsenRow<PairSums::kTop>, coarsenFloats<PairSums::kTop>, packPairs, multiplyPanel<PairSums>, multiplyGathered<PairSums>,
};

extern const Isa kAvx512 = {
    "avx512vnni", kLanes, true, unpackAvx2,     dequantizeAvx2, gemvExact,         gemvFast,        quantizeRow,
    packF32,      tileF32Kernel, nullptr,         nullptr,         nullptr,
    storeTile,    addKernel,     siluMulKernel,  geluKernel,     siluKernel,        rmsNormKernel,   layerNormKernel,
    normRopeKernel, softmaxTileKernel, scaleTileKernel, attendTokenKernel, storeKeysKernel, storeValuesKernel, attendInt8Kernel,
    snakeKernel,  addScaledKernel, coarseGeluKernel, fewInputsKernel, nullptr, false, &kInt8, &kConvInt8, nullptr,
};

const Isa* isaAvx512() { return &kAvx512; }

}  // namespace voxquant

#endif
