#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

namespace voxquant {
namespace {

constexpr int64_t kHugePage = 2 << 20;

int64_t upTo(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

// Whole pages; whole huge pages where three fifths of them are used.
int64_t roomFor(int64_t bytes, bool huge) {
  static const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t wide = upTo(bytes, kHugePage);
  return huge && 5 * bytes >= 3 * wide ? wide : upTo(bytes, page);
}

}  // namespace

MappedBlock mapMemory(int64_t bytes, bool huge) {
  const int64_t size = roomFor(bytes, huge);
  // With what has to be cut off so that it begins with a huge page.
  void* const space = mmap(nullptr, (size_t)(size + kHugePage), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (space == MAP_FAILED) return {};
  uint8_t* const first = static_cast<uint8_t*>(space);
  const int64_t before = (kHugePage - (int64_t)(reinterpret_cast<uintptr_t>(first) % kHugePage)) % kHugePage;
  if (before > 0) munmap(first, (size_t)before);
  munmap(first + before + size, (size_t)(kHugePage - before));
#if defined(MADV_HUGEPAGE)
  if (huge) madvise(first + before, (size_t)size, MADV_HUGEPAGE);
#else
  (void)huge;
#endif
  return {first + before, size};
}

void unmapMemory(const MappedBlock& block) { munmap(block.memory, (size_t)block.bytes); }

}  // namespace voxquant
