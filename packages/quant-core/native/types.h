// ggml tensor types as the kernels see them: every quantized type is int8 codes with a float32 scale (and for some a
// float32 shift) per group of 16 or 32 elements: value = scale * code + shift.
#pragma once
#include <stdint.h>

namespace voxquant {

enum DType : int32_t {
  F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13,
  Q6_K = 14, IQ4_NL = 20, IQ4_XS = 23, BF16 = 30, TQ1_0 = 34, TQ2_0 = 35, MXFP4 = 39,
};

struct TypeTraits {
  int32_t id;
  int32_t block;   // elements per block
  int32_t bytes;   // bytes per block
  int32_t group;   // elements that share a scale; 0 for dense types
  bool shifted;    // has a shift per group
};

// Null for a type without kernels.
const TypeTraits* traitsOf(int32_t dtype);

// A matrix [out, in], rows encoded one after the other; not owned.
struct WeightMatrix {
  int32_t dtype;
  int64_t out, in;
  const uint8_t* data;
  int64_t rowBytes;
  const TypeTraits* traits;

  const uint8_t* row(int64_t index) const { return data + index * rowBytes; }
  // The encoded elements from column k on; k is a multiple of the type's block.
  const uint8_t* at(int64_t index, int64_t k) const { return row(index) + k / traits->block * traits->bytes; }
};

}  // namespace voxquant
