// Unpacking with AVX2 flags, where the compiler's vectorizer is safe: with VNNI enabled GCC 12 turns byte loops into
// dot products of the wrong signedness, so that the AVX-512 kernels use these too.
#include <immintrin.h>

#include "isa.h"
#include "unpack.h"

namespace voxquant {

void unpackAvx2(int32_t dtype, const uint8_t* src, int64_t n, int8_t* codes, float* scales, float* shifts) {
  unpackRow(dtype, src, n, codes, scales, shifts);
}

void dequantizeAvx2(int32_t dtype, const uint8_t* src, int64_t n, float* out) { dequantizeRow(dtype, src, n, out); }

}  // namespace voxquant
