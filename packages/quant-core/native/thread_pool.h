// One pool of worker threads for the process. A parallel region is a number of tasks. Every thread takes the tasks of its
// own run of them in order, so that it walks through memory, and then helps with the others' runs; the calling thread
// works too, and does everything alone when the pool is busy with another caller's region. Nothing a task computes may
// depend on who runs it, so results do not depend on the number of threads.
#pragma once
#include <stdint.h>

namespace voxquant {

int defaultThreads();          // physical cores that this process may use, within the container's CPU limit
void setThreads(int threads);  // takes effect at the next region
int threads();
void retainPool();             // once per JavaScript environment
void releasePool();            // joins the workers after the last environment

using TaskFunction = void (*)(void* context, int64_t task);
// The first exception of a task is thrown when all threads are done; tasks that have not begun by then do not.
void runTasks(int64_t tasks, TaskFunction function, void* context);

// cost: rough single-thread time in nanoseconds; small regions run on the calling thread.
template <class Body>
void parallelFor(int64_t tasks, double cost, Body&& body) {
  constexpr double kWorthwhile = 6000;  // waking and joining spinning workers costs 1-2 us
  if (tasks <= 1 || cost < kWorthwhile || threads() == 1) {
    for (int64_t task = 0; task < tasks; task++) body(task);
    return;
  }
  runTasks(tasks, [](void* context, int64_t task) { (*static_cast<Body*>(context))(task); }, &body);
}

// Denormals are flushed in kernels only; JavaScript's arithmetic needs them.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();

 private:
  uint64_t saved_;
};

// A block of memory that the thread keeps for the next call; 64-byte aligned, content undefined. A large block that is
// hardly used any more is given back: a prompt's activations do not stay while its answer is generated.
enum ScratchSlot { kScratchActivations, kScratchPanel, kScratchTile, kScratchRow, kScratchLayer, kScratchSlots };
void* scratch(ScratchSlot slot, int64_t bytes);

}  // namespace voxquant
