// ggml block formats: float32 rows to blocks and back, byte for byte as the TypeScript codecs in src/quantize.
// Strict IEEE arithmetic: compile with -ffp-contract=off and without fast-math; no flush-to-zero while these run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace voxquant {

struct BlockFormat {
  uint32_t type_id;  // ggml's
  uint32_t block;    // elements per block
  uint32_t bytes;    // bytes per block
};

// Null for a type without codec.
const BlockFormat* block_format(uint32_t type_id);

// Encodes one row of `length` finite values (a multiple of the block). `importance`: `length` mean squares of the input
// columns, or null. `out` holds length / block * bytes bytes.
void encode_row(uint32_t type_id, const float* x, size_t length, const float* importance, uint8_t* out);

// Decodes `count` values (a multiple of the block); `in` may have any alignment.
void decode_row(uint32_t type_id, const uint8_t* in, size_t count, float* out);

// Index of the first value that is NaN or infinite, or `count`.
size_t first_not_finite(const float* x, size_t count);

// Whether a scale in the encoded row overflowed to infinity or is NaN (for F16: any element).
bool has_invalid_scale(uint32_t type_id, const uint8_t* row, size_t length);

}  // namespace voxquant
