#include "thread_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "memory.h"

namespace voxquant {
namespace {

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class Pool {
 public:
  explicit Pool(int workers) : runs_(new Run[workers + 1]), threads_(workers + 1) {
    try {
      for (int i = 0; i < workers; i++) workers_.emplace_back([this, i] { work(i + 1); });
    } catch (const std::system_error&) {
      // The system grants no more threads: those that there are take the others' runs of tasks.
    }
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(parkMutex_);
      stop_.store(true);
      epoch_.fetch_add(1);
    }
    parked_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void run(int64_t tasks, TaskFunction function, void* context) {
    function_ = function;
    context_ = context;
    for (int i = 0; i < threads_; i++) {
      runs_[i].next.store(tasks * i / threads_, std::memory_order_relaxed);
      runs_[i].end = tasks * (i + 1) / threads_;
    }
    open_.store(true);
    epoch_.fetch_add(1);
    if (parkedCount_.load() > 0) {
      { std::lock_guard<std::mutex> lock(parkMutex_); }
      parked_.notify_all();
    }
    takeTasks(0);
    // A worker that has not begun by now finds the region closed; only those inside are waited for.
    open_.store(false);
    for (int spins = 0; inside_.load() != 0; spins++) {
      if (spins < 20000) pause();
      else std::this_thread::yield();
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  // A thread's run of the tasks.
  struct alignas(64) Run {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void takeTasks(int self) {
    try {
      for (int i = 0; i < threads_; i++) {
        Run& run = runs_[(self + i) % threads_];
        for (int64_t task; (task = run.next.fetch_add(1, std::memory_order_relaxed)) < run.end;) function_(context_, task);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(errorMutex_);
      if (!error_) error_ = std::current_exception();
      for (int i = 0; i < threads_; i++) runs_[i].next.store(runs_[i].end);  // no more tasks begin
    }
  }

  void work(int self) {
    FlushDenormals flush;
    uint32_t seen = 0;
    while (true) {
      if (!awaitEpoch(&seen)) return;
      inside_.fetch_add(1);
      if (open_.load()) takeTasks(self);
      inside_.fetch_sub(1);
    }
  }

  // Spins for the gaps inside a decode step, then sleeps. False when the pool ends.
  bool awaitEpoch(uint32_t* seen) {
    const auto start = std::chrono::steady_clock::now();
    while (true) {
      for (int i = 0; i < 64; i++) {
        const uint32_t now = epoch_.load();
        if (now != *seen) {
          *seen = now;
          return !stop_.load();
        }
        pause();
      }
      if (std::chrono::steady_clock::now() - start > std::chrono::microseconds(kSpinMicroseconds)) break;
    }
    std::unique_lock<std::mutex> lock(parkMutex_);
    parkedCount_.fetch_add(1);
    parked_.wait(lock, [&] { return epoch_.load() != *seen; });
    parkedCount_.fetch_sub(1);
    *seen = epoch_.load();
    return !stop_.load();
  }

  static constexpr int kSpinMicroseconds = 300;

  std::vector<std::thread> workers_;
  TaskFunction function_ = nullptr;
  void* context_ = nullptr;
  std::unique_ptr<Run[]> runs_;
  const int threads_;
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<int> inside_{0};
  std::atomic<bool> open_{false};
  std::atomic<bool> stop_{false};
  std::atomic<int> parkedCount_{0};
  std::mutex parkMutex_;
  std::condition_variable parked_;
  std::mutex errorMutex_;
  std::exception_ptr error_;  // the first that a task of the region threw
};

std::mutex gMutex;  // held by the caller whose region runs
std::unique_ptr<Pool> gPool;
int gPoolThreads = 0;
int gEnvironments = 0;
std::atomic<int> gThreads{0};

int onlineCores() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return (int)std::thread::hardware_concurrency();
  std::set<std::string> cores;  // logical processors of one core list the same siblings
  int logical = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    logical++;
    char path[96], siblings[256] = "";
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (FILE* file = fopen(path, "r")) {
      if (!fgets(siblings, sizeof siblings, file)) siblings[0] = 0;
      fclose(file);
    }
    cores.insert(siblings[0] ? std::string(siblings) : std::to_string(cpu));
  }
  return cores.empty() ? logical : (int)cores.size();
#else
  return (int)std::thread::hardware_concurrency();
#endif
}

// CPUs that the control group grants, or 0 for no limit.
double cgroupLimit() {
  double quota = 0, period = 0;
  char text[64];
  if (FILE* file = fopen("/sys/fs/cgroup/cpu.max", "r")) {
    const int found = fscanf(file, "%63s %lf", text, &period);
    fclose(file);
    return found == 2 && strcmp(text, "max") != 0 && period > 0 ? atof(text) / period : 0;
  }
  if (FILE* file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
    if (fscanf(file, "%lf", &quota) != 1) quota = 0;
    fclose(file);
  }
  if (FILE* file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
    if (fscanf(file, "%lf", &period) != 1) period = 0;
    fclose(file);
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

struct Scratch {
  void* blocks[kScratchSlots] = {};
  int64_t sizes[kScratchSlots] = {};

  ~Scratch() {
    for (int slot = 0; slot < kScratchSlots; slot++) release(slot);
  }
  void release(int slot) {
    if (sizes[slot] >= kLargeBlock) unmapMemory({blocks[slot], sizes[slot]});
    else free(blocks[slot]);
    sizes[slot] = 0;
    blocks[slot] = nullptr;
  }
};
thread_local Scratch tScratch;

}  // namespace

int defaultThreads() {
  static const int count = [] {
    int cores = std::max(1, onlineCores());
    const double limit = cgroupLimit();
    if (limit > 0) cores = std::min(cores, std::max(1, (int)(limit + 0.5)));
    return std::min(cores, 64);
  }();
  return count;
}

void setThreads(int threads) { gThreads.store(std::max(1, std::min(threads, 256))); }

int threads() {
  const int set = gThreads.load(std::memory_order_relaxed);
  return set > 0 ? set : defaultThreads();
}

void retainPool() {
  std::lock_guard<std::mutex> lock(gMutex);
  gEnvironments++;
}

void releasePool() {
  std::lock_guard<std::mutex> lock(gMutex);
  if (--gEnvironments == 0) {
    gPool.reset();
    gPoolThreads = 0;
  }
}

void runTasks(int64_t tasks, TaskFunction function, void* context) {
  std::unique_lock<std::mutex> lock(gMutex, std::try_to_lock);
  if (!lock.owns_lock()) {
    for (int64_t task = 0; task < tasks; task++) function(context, task);
    return;
  }
  const int wanted = threads();
  if (gPoolThreads != wanted) {
    gPool.reset();
    gPool.reset(new Pool(wanted - 1));
    gPoolThreads = wanted;
  }
  gPool->run(tasks, function, context);
}

#if defined(__x86_64__)
FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr((unsigned)saved_ | 0x8040); }
FlushDenormals::~FlushDenormals() { _mm_setcsr((unsigned)saved_); }
#elif defined(__aarch64__)
FlushDenormals::FlushDenormals() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" ::"r"(saved_ | (1u << 24)));
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }
#else
FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() {}
#endif

void* scratch(ScratchSlot slot, int64_t bytes) {
  constexpr int64_t kLarge = 4 << 20;
  Scratch& own = tScratch;
  if (own.sizes[slot] < bytes || (own.sizes[slot] > kLarge && bytes < own.sizes[slot] / 8)) {
    own.release(slot);
    const int64_t rounded = (bytes + 4095) / 4096 * 4096;
    const MappedBlock block = rounded >= kLargeBlock ? mapMemory(rounded, true) : MappedBlock{aligned_alloc(64, (size_t)rounded), rounded};
    if (!block.memory) throw std::bad_alloc();
    own.blocks[slot] = block.memory;
    own.sizes[slot] = block.bytes;
  }
  return own.blocks[slot];
}

}  // namespace voxquant
