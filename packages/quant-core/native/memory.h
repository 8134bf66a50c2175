// Large blocks of memory straight from the system, which go back to it at once.
#pragma once
#include <stdint.h>

namespace voxquant {

// Blocks from this size on are worth it.
constexpr int64_t kLargeBlock = 1 << 20;

// Zeros, null if there is no memory. huge: in huge pages where the system gives them, for what is used whole; to get a page
// of 4 KiB takes as long as to fill it twice.
void* mapMemory(int64_t bytes, bool huge);
void unmapMemory(void* memory, int64_t bytes);

}  // namespace voxquant
