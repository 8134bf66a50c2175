// GEMM drivers shared by linear layers and convolutions.
#pragma once
#include <string.h>

#include "isa.h"
#include "linear.h"

namespace voxquant {

enum class GemmMode { kF32, kBf16 };

GemmMode gemmMode(bool fast);

// Activations [rows, k] packed for tiles of a mode, in blocks of isa().lanes rows.
struct PackedActivations {
  GemmMode mode;
  int64_t rows, k;
  int64_t blockBytes;   // one block of lanes
  uint8_t* data;

  int64_t blocks() const { return (rows + isa().lanes - 1) / isa().lanes; }
  int rowsOf(int64_t block) const;
  const float* f32(int64_t block, int64_t k0) const;
  const uint16_t* bf16(int64_t block, int64_t k0) const;

  static int64_t bytesPerBlock(GemmMode mode, int64_t k);
  void pack(int64_t block, const float* x, int64_t stride) const;  // x: first row of the block
};

// A row of values into place `out` of a tile whose groups of `Size` values lie together: [n / Size, outs, Size].
template <int Size, class T>
inline void interleave(const T* row, int64_t n, int outs, int out, T* tile) {
  for (int64_t i = 0; i < n / Size; i++) memcpy(tile + (i * outs + out) * Size, row + i * Size, Size * sizeof(T));
}

// A row of k bfloat16 weights (k even) into place `out` of a tile of the level's tileBf16.
void placeBf16(const Isa& level, const uint16_t* row, int64_t k, int out, uint16_t* tile);

// c [blocks, outs padded to kPanelOuts, lanes]: products of weight rows [begin, end) with activation blocks [b0, b1).
void gemmPanel(const WeightMatrix& weight, int64_t begin, int64_t end, const PackedActivations& a, int64_t b0, int64_t b1, float* c);

}  // namespace voxquant
