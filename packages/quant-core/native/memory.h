// Large blocks of memory straight from the system, which go back to it at once.
#pragma once
#include <stdint.h>

namespace voxquant {

// Blocks from this size on are worth it.
constexpr int64_t kLargeBlock = 1 << 20;

// Zeros, in huge pages where the system gives them: a page of 4 KiB takes as long to get as it takes to fill it twice. Null
// if there is no memory.
void* mapMemory(int64_t bytes);
void unmapMemory(void* memory, int64_t bytes);

}  // namespace voxquant
