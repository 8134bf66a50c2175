// AVX2 with FMA and F16C. Integer dots by maddubs: |w| unsigned times sign(q, w); q is never -128, so that pairs stay
// below the 16-bit saturation. No int8 GEMM: sign, maddubs, madd and add for 32 products are no faster than float FMA.
#include "vectors_avx2.h"

namespace voxquant {
namespace {

inline __m256i dotBytes(__m256i u, __m256i s) { return _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)); }

}  // namespace
}  // namespace voxquant

#include "kernels_avx2.h"

namespace voxquant {

const Isa* isaAvx2() {
  static const Isa table = {
      "avx2",       kLanes, false, unpackAvx2,     dequantizeAvx2, gemvExact,         gemvFast,        quantizeRow,
      packF32,      tileF32Kernel, nullptr,        nullptr,         nullptr,
      storeTile,    addKernel,     siluMulKernel,  geluKernel,     siluKernel,        rmsNormKernel,   layerNormKernel,
      normRopeKernel, softmaxTileKernel, scaleTileKernel, attendTokenKernel, storeKeysKernel, storeValuesKernel, attendInt8Kernel,
      snakeKernel,  addScaledKernel, coarseGeluKernel, fewInputsKernel, nullptr, false,
  };
  return &table;
}

}  // namespace voxquant
