// Products of packed activations with the filter of a convolution. Where there are many activations, the filter is
// unpacked once and every task takes some of them through all of it; else every task unpacks a panel of outputs.
#pragma once
#include "gemm.h"

namespace voxquant {

struct Filter {
  GemmMode mode;       // kF32 or kBf16
  int64_t outs, depth;
  int64_t rowLength;   // elements between two rows (of float32), or of a row in its tile (of bfloat16)
  const uint8_t* data;

  int64_t paddedOuts() const { return (outs + kBf16Outs - 1) / kBf16Outs * kBf16Outs; }
};

// Bfloat16 where precision and instruction set allow it and its whole tiles are worth it.
GemmMode filterMode(const WeightMatrix& weight, bool fast);

// The filter in this call's scratch memory (kScratchActivations), or in place. With taps > 1 columns are moved from
// (channel, tap) to (tap, channel).
Filter unpackFilter(const WeightMatrix& weight, GemmMode mode, int64_t taps);

// Rows [begin, begin + outs) as float32 [outs, depth], their columns moved so. space: a row, for taps > 1.
void filterRows(const WeightMatrix& weight, int64_t begin, int64_t outs, int64_t taps, float* rows, float* space);

// Blocks of lanes per task: several, to read each panel of weights from the cache's far end once.
int64_t blocksPerTask(int64_t blocks);

// c [blocks, paddedOuts, lanes]; a is of the filter's mode
void multiply(const Filter& filter, const PackedActivations& a, float* c);

// c [blocks, kPanelOuts, lanes]: at most kPanelOuts outputs from `begin` on.
void multiplyPanel(const WeightMatrix& weight, int64_t begin, int64_t outs, const PackedActivations& a, float* c);

}  // namespace voxquant
