// Large blocks of memory straight from the system, which go back to it at once.
#pragma once
#include <stdint.h>

namespace voxquant {

// Blocks from this size on are worth it.
constexpr int64_t kLargeBlock = 1 << 20;

struct MappedBlock {
  void* memory = nullptr;
  int64_t bytes = 0;  // at least what was asked for
};

// Zeros; no memory if there is none. huge: in huge pages where the system gives them, for what is used whole; to get a page
// of 4 KiB takes as long as to fill it twice.
MappedBlock mapMemory(int64_t bytes, bool huge);
void unmapMemory(const MappedBlock& block);

}  // namespace voxquant
