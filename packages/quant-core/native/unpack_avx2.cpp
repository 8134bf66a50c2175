// Unpacking with AVX2, which the AVX-512 kernels use too.
#include "codes_avx2.h"
#include "unpack.h"

namespace voxquant {
namespace {

template <class Q>
void unpackBlocks(const uint8_t* p, int64_t n, int8_t* codes, float* scales, float* shifts) {
  constexpr int kScales = Q::kFine ? 16 : Q::kSteps;
  Header h;
  for (int64_t unit = 0; unit < n / (32 * Q::kSteps); unit++, p += Q::kBytes) {
    Q::header(p, &h);
    memcpy(scales + unit * kScales, h.scales, kScales * sizeof(float));
    if (Q::kShifts) memcpy(shifts + unit * kScales, h.shifts, kScales * sizeof(float));
#pragma GCC unroll 8
    for (int j = 0; j < Q::kSteps; j++)
      _mm256_storeu_si256((__m256i*)(codes + (unit * Q::kSteps + j) * 32), Q::codes(p, j));
  }
}

// scale * code (+ shift), each rounded once, in ggml's order.
template <class Q>
void dequantizeBlocks(const uint8_t* p, int64_t n, float* out) {
  Header h;
  for (int64_t unit = 0; unit < n / (32 * Q::kSteps); unit++, p += Q::kBytes) {
    Q::header(p, &h);
#pragma GCC unroll 8
    for (int j = 0; j < Q::kSteps; j++, out += 32) {
      const __m256i codes = Q::codes(p, j);
      __m128i quarter[4] = {_mm256_castsi256_si128(codes), _mm_srli_si128(_mm256_castsi256_si128(codes), 8),
                            _mm256_extracti128_si256(codes, 1), _mm_srli_si128(_mm256_extracti128_si256(codes, 1), 8)};
      for (int i = 0; i < 4; i++) {
        const int group = Q::kFine ? 2 * j + i / 2 : j;
        F value = mul(splat(h.scales[group]), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(quarter[i])));
        if (Q::kShifts) value = add(value, splat(h.shifts[group]));
        store(out + 8 * i, value);
      }
    }
  }
}

void dequantizeDense(int32_t dtype, const uint8_t* p, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + W <= n; i += W) store(out + i, dtype == F16 ? loadHalf(p + 2 * i) : loadBf16(p + 2 * i));
  for (; i < n; i++) out[i] = dtype == F16 ? halfToFloat(p + 2 * i) : bf16ToFloat(p + 2 * i);
}

}  // namespace

void unpackAvx2(int32_t dtype, const uint8_t* src, int64_t n, int8_t* codes, float* scales, float* shifts) {
  switch (dtype) {
    case Q4_0: return unpackBlocks<CodesQ4_0>(src, n, codes, scales, shifts);
    case Q4_1: return unpackBlocks<CodesQ4_1>(src, n, codes, scales, shifts);
    case Q5_0: return unpackBlocks<CodesQ5_0>(src, n, codes, scales, shifts);
    case Q5_1: return unpackBlocks<CodesQ5_1>(src, n, codes, scales, shifts);
    case Q8_0: return unpackBlocks<CodesQ8_0>(src, n, codes, scales, shifts);
    case IQ4_NL: return unpackBlocks<CodesIq4Nl>(src, n, codes, scales, shifts);
    case IQ4_XS: return unpackBlocks<CodesIq4Xs>(src, n, codes, scales, shifts);
    case Q2_K: return unpackBlocks<CodesQ2_K>(src, n, codes, scales, shifts);
    case Q3_K: return unpackBlocks<CodesQ3_K>(src, n, codes, scales, shifts);
    case Q4_K: return unpackBlocks<CodesQ4_K>(src, n, codes, scales, shifts);
    case Q5_K: return unpackBlocks<CodesQ5_K>(src, n, codes, scales, shifts);
    case Q6_K: return unpackBlocks<CodesQ6_K>(src, n, codes, scales, shifts);
    default: return unpackRow(dtype, src, n, codes, scales, shifts);
  }
}

void dequantizeAvx2(int32_t dtype, const uint8_t* src, int64_t n, float* out) {
  switch (dtype) {
    case F16:
    case BF16: return dequantizeDense(dtype, src, n, out);
    case Q4_0: return dequantizeBlocks<CodesQ4_0>(src, n, out);
    case Q4_1: return dequantizeBlocks<CodesQ4_1>(src, n, out);
    case Q5_0: return dequantizeBlocks<CodesQ5_0>(src, n, out);
    case Q5_1: return dequantizeBlocks<CodesQ5_1>(src, n, out);
    case Q8_0: return dequantizeBlocks<CodesQ8_0>(src, n, out);
    case IQ4_NL: return dequantizeBlocks<CodesIq4Nl>(src, n, out);
    case IQ4_XS: return dequantizeBlocks<CodesIq4Xs>(src, n, out);
    case Q2_K: return dequantizeBlocks<CodesQ2_K>(src, n, out);
    case Q3_K: return dequantizeBlocks<CodesQ3_K>(src, n, out);
    case Q4_K: return dequantizeBlocks<CodesQ4_K>(src, n, out);
    case Q5_K: return dequantizeBlocks<CodesQ5_K>(src, n, out);
    case Q6_K: return dequantizeBlocks<CodesQ6_K>(src, n, out);
    default: return dequantizeRow(dtype, src, n, out);
  }
}

}  // namespace voxquant
