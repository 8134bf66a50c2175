// What several files of bindings read from JavaScript.
#pragma once
#include <vector>

#include "attention.h"
#include "napi_values.h"
#include "types.h"

namespace voxquant {

constexpr int64_t kMostHeads = 4096, kMostHeadDim = 4096;  // their product with any capacity stays far below 2^63

// A prepared weight. Its bytes are looked up on every call: a buffer that was detached or unmapped since then is noticed.
bool weightOf(Call& call, napi_value value, WeightMatrix* matrix);

// Throws, and is false, if a weight lies in a file that was cut.
bool checkFault(Call& call, const WeightMatrix& weight);

// Caches (lists of Float32Array or, for int8, Uint8Array) and their Int32Array of (start, count, position, capacity).
// Returns how many rows they speak of.
int64_t readSegments(Call& call, size_t keys, size_t values, size_t segments, int64_t kvHeads, int64_t headDim,
                     std::vector<AttentionSegment>* found);

}  // namespace voxquant
