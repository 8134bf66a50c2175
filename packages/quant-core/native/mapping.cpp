#include "mapping.h"

#include <string.h>

#include <atomic>
#include <mutex>

#if defined(_WIN32)
#error "the native addon has no file mapping for Windows"
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace voxquant {

struct Mapping {
  std::atomic<uintptr_t> base{0};  // 0: free slot; published last, cleared first
  std::atomic<size_t> length{0};
  std::atomic<bool> faulted{false};
  std::atomic<int> references{0};
  char path[1024] = "";
};

namespace {

// A fixed table: the signal handler may neither lock nor allocate.
constexpr int kSlots = 512;
Mapping gMappings[kSlots];
std::mutex gMutex;
std::atomic<bool> gFault{false};
struct sigaction gPrevious;
bool gInstalled = false;
size_t gPage = 4096;

Mapping* slotOf(uintptr_t address) {
  for (Mapping& mapping : gMappings) {
    const uintptr_t base = mapping.base.load(std::memory_order_acquire);
    if (base != 0 && address >= base && address < base + mapping.length.load(std::memory_order_relaxed)) return &mapping;
  }
  return nullptr;
}

void onBusError(int signal, siginfo_t* info, void* context) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (Mapping* mapping = slotOf(address)) {
    const int saved = errno;
    const uintptr_t from = address / gPage * gPage;
    const uintptr_t end = mapping->base.load() + mapping->length.load();
    void* zeros = mmap(reinterpret_cast<void*>(from), end - from, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (zeros != MAP_FAILED) {
      mapping->faulted.store(true);
      gFault.store(true);
      return;
    }
  }
  if ((gPrevious.sa_flags & SA_SIGINFO) && gPrevious.sa_sigaction) {
    gPrevious.sa_sigaction(signal, info, context);
  } else if (gPrevious.sa_handler != SIG_DFL && gPrevious.sa_handler != SIG_IGN) {
    gPrevious.sa_handler(signal);
  } else {
    ::signal(SIGBUS, SIG_DFL);  // the faulting instruction runs again and ends the process as it would have
  }
}

void installHandler() {
  if (gInstalled) return;
  gPage = (size_t)sysconf(_SC_PAGESIZE);
  struct sigaction action = {};
  action.sa_sigaction = onBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &gPrevious);
  gInstalled = true;
}

}  // namespace

Mapping* mapFile(const std::string& path, std::string* error) {
  auto failed = [&](const char* what, int code) -> Mapping* {
    *error = path + ": cannot " + what + (code ? std::string(": ") + strerror(code) : std::string());
    return nullptr;
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return failed("open", errno);
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) {
    close(file);
    return failed("map: not a regular file with content", 0);
  }
  void* data = mmap(nullptr, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  const int code = errno;
  close(file);
  if (data == MAP_FAILED) return failed("map", code);
  std::lock_guard<std::mutex> lock(gMutex);
  installHandler();
  for (Mapping& slot : gMappings) {
    if (slot.references.load() != 0) continue;
    slot.references.store(1);
    slot.faulted.store(false);
    slot.length.store((size_t)status.st_size);
    strncpy(slot.path, path.c_str(), sizeof slot.path - 1);
    slot.path[sizeof slot.path - 1] = 0;
    slot.base.store(reinterpret_cast<uintptr_t>(data), std::memory_order_release);
    return &slot;
  }
  munmap(data, (size_t)status.st_size);
  return failed("map: too many files are mapped", 0);
}

void retainMapping(Mapping* mapping) { mapping->references.fetch_add(1); }

void releaseMapping(Mapping* mapping) {
  std::lock_guard<std::mutex> lock(gMutex);
  if (mapping->references.load() > 1) {
    mapping->references.fetch_sub(1);
    return;
  }
  const uintptr_t base = mapping->base.exchange(0);
  munmap(reinterpret_cast<void*>(base), mapping->length.load());
  mapping->references.store(0);
}

void* mappingData(const Mapping* mapping) { return reinterpret_cast<void*>(mapping->base.load()); }
int64_t mappingSize(const Mapping* mapping) { return (int64_t)mapping->length.load(); }
bool mappingFaulted(const Mapping* mapping) { return mapping->faulted.load(); }
bool anyFault() { return gFault.load(std::memory_order_relaxed); }

const char* faultedPath(const void* address) {
  Mapping* mapping = slotOf(reinterpret_cast<uintptr_t>(address));
  return mapping && mapping->faulted.load() ? mapping->path : nullptr;
}

}  // namespace voxquant
