#include "attention.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr int64_t kKeyTile = 64;

// Fewer query vectors than this against one key head are attended one token at a time.
constexpr int64_t kTileLanes = 8;

// Keys and values of one head: rows `stride` floats apart.
struct HeadMemory {
  const float *keys, *values;
  int64_t stride;
};

// Query vectors of one block of lanes against the keys of one head, in the manner of flash attention: scores of a tile of
// keys with queries in lanes, running maximum and sum, then the values accumulate. `query(lane)` and `target(lane)` give
// the vectors, `seen(lane)` how many keys a lane sees, of which only the last `window` count.
template <class Query, class Target, class Seen>
void attendTile(int lanes, const HeadMemory& head, int64_t headDim, float scale, bool causal, int64_t tokens, int64_t window, Query&& query,
                Target&& target, Seen&& seen) {
  const int64_t width = isa().lanes, used = headDim * width * 3 + (kKeyTile + 3) * width;
  float* memory = static_cast<float*>(scratch(kScratchTile, used * 4));
  float *packed = memory, *sum = packed + headDim * width, *rows = sum + headDim * width, *scores = rows + headDim * width;
  float *top = scores + kKeyTile * width, *total = top + width, *factor = total + width;
  memset(memory, 0, (size_t)(used * 4));
  int64_t visible[64];
  for (int lane = 0; lane < lanes; lane++) {
    const float* from = query(lane);
    for (int64_t i = 0; i < headDim; i++) rows[lane * headDim + i] = from[i] * scale;
  }
  isa().packF32(rows, headDim, lanes, headDim, packed);
  for (int64_t lane = 0; lane < width; lane++) top[lane] = -1e30f;
  for (int64_t t = 0; t < tokens; t += kKeyTile) {
    const int count = (int)std::min(kKeyTile, tokens - t);
    bool partial = false;
    if (causal) {
      for (int64_t lane = 0; lane < width; lane++) {
        visible[lane] = lane < lanes ? seen((int)lane) - t : count;
        partial = partial || visible[lane] < count;
      }
    }
    isa().tileF32(packed, headDim, head.keys + t * head.stride, head.stride, 1, count, lanes, scores, false);
    for (int lane = 0; causal && lane < lanes; lane++)
      for (int64_t hidden = std::min<int64_t>(count, seen(lane) - t - window); hidden > 0; hidden--) scores[(hidden - 1) * width + lane] = -INFINITY;
    isa().softmaxTile(scores, count, partial ? visible : nullptr, top, total, factor);
    if (t > 0) isa().scaleTile(sum, headDim, factor);
    isa().tileF32(scores, count, head.values + t * head.stride, 1, head.stride, (int)headDim, lanes, sum, true);
  }
  for (int64_t lane = 0; lane < width; lane++) factor[lane] = total[lane] > 0 ? 1.0f / total[lane] : 0.0f;
  isa().scaleTile(sum, headDim, factor);
  isa().storeTile(sum, (int)headDim, lanes, nullptr, kActNone, rows, headDim);
  for (int lane = 0; lane < lanes; lane++) memcpy(target(lane), rows + lane * headDim, (size_t)headDim * 4);
}

struct Task {
  int64_t segment, head, begin, end;  // query vectors (row-major by row, then head of the group)
};

// The query heads of a key-value head.
struct Group {
  int64_t first, size;

  Group(int64_t head, int64_t heads, int64_t kvHeads)
      : first((head * heads + kvHeads - 1) / kvHeads), size(((head + 1) * heads + kvHeads - 1) / kvHeads - first) {}
};

}  // namespace

void cachedAttention(const float* q, const float* k, const float* v, const AttentionSegment* segments, int64_t segmentCount,
                     int64_t heads, int64_t kvHeads, int64_t headDim, float scale, float* out, int64_t window) {
  const CacheLayout layout(headDim);
  int64_t rows = 0, pairs = 0;
  for (int64_t s = 0; s < segmentCount; s++) {
    rows += segments[s].count;
    pairs += segments[s].count * std::min(window, segments[s].position + (segments[s].count + 1) / 2);
  }
  parallelFor(segmentCount * kvHeads, (double)(rows * kvHeads * headDim) * 0.8, [&](int64_t task) {
    const AttentionSegment& segment = segments[task / kvHeads];
    const int64_t head = task % kvHeads;
    if (segment.int8) {
      uint8_t* const keys = static_cast<uint8_t*>(segment.keys) + head * layout.headBytes(segment.capacity);
      uint8_t* const values = static_cast<uint8_t*>(segment.values) + head * layout.headBytes(segment.capacity);
      const int64_t from = (segment.start * kvHeads + head) * headDim;
      isa().storeKeys(k + from, kvHeads * headDim, segment.count, headDim, keys, segment.position);
      isa().storeValues(v + from, kvHeads * headDim, segment.count, headDim, values, segment.position);
      return;
    }
    for (int64_t r = 0; r < segment.count; r++) {
      const int64_t from = ((segment.start + r) * kvHeads + head) * headDim;
      const int64_t to = (head * segment.capacity + segment.position + r) * headDim;
      memcpy(static_cast<float*>(segment.keys) + to, k + from, (size_t)headDim * 4);
      memcpy(static_cast<float*>(segment.values) + to, v + from, (size_t)headDim * 4);
    }
  });

  std::vector<Task> tasks;
  for (int64_t s = 0; s < segmentCount; s++) {
    for (int64_t head = 0; head < kvHeads; head++) {
      const int64_t group = Group(head, heads, kvHeads).size, vectors = segments[s].count * group;
      const int64_t step = segments[s].int8 ? kInt8Vectors : segments[s].count == 1 || vectors < kTileLanes ? group : isa().lanes;
      // Who sees most comes first: short tasks at the end let all threads end together.
      for (int64_t end = vectors; end > 0; end -= step) tasks.push_back({s, head, std::max<int64_t>(0, end - step), end});
    }
  }
  parallelFor((int64_t)tasks.size(), (double)(pairs * heads * headDim) * 0.08, [&](int64_t index) {
    const Task& task = tasks[index];
    const AttentionSegment& segment = segments[task.segment];
    const Group group(task.head, heads, kvHeads);
    if (segment.int8) {
      const int64_t bytes = task.head * layout.headBytes(segment.capacity), at = (segment.start * heads + group.first) * headDim;
      isa().attendInt8({q + at, out + at, heads, headDim, group.size, task.begin, task.end, static_cast<const uint8_t*>(segment.keys) + bytes,
                        static_cast<const uint8_t*>(segment.values) + bytes, segment.position, window, scale,
                        scratch(kScratchTile, int8AttentionScratch(headDim))});
      return;
    }
    // The first position that the first row sees; rows after it see no earlier one.
    const int64_t skipped = std::max<int64_t>(0, segment.position + task.begin / group.size + 1 - window), past = segment.position - skipped;
    const int64_t floats = (task.head * segment.capacity + skipped) * headDim;
    const HeadMemory memory = {static_cast<const float*>(segment.keys) + floats, static_cast<const float*>(segment.values) + floats, headDim};
    auto offset = [&](int64_t vector) {
      return ((segment.start + vector / group.size) * heads + group.first + vector % group.size) * headDim;
    };
    if (segment.count == 1 || segment.count * group.size < kTileLanes) {
      const int64_t at = offset(task.begin), seen = past + task.begin / group.size + 1;
      isa().attendToken(q + at, memory.keys, memory.values, seen, headDim, (int)group.size, headDim, scale, out + at);
      return;
    }
    const int64_t tokens = past + (task.end - 1) / group.size + 1;
    attendTile((int)(task.end - task.begin), memory, headDim, scale, true, tokens, window,
               [&](int lane) { return q + offset(task.begin + lane); }, [&](int lane) { return out + offset(task.begin + lane); },
               [&](int lane) { return past + (task.begin + lane) / group.size + 1; });
  });
}

void dropInt8Cached(uint8_t* keys, uint8_t* values, int64_t headDim, int64_t capacity, int64_t count) {
  const CacheLayout layout(headDim);
  for (int64_t t = count; t < capacity; t++) {
    const int64_t from = t / kCacheBlock * layout.blockBytes, to = (t - count) / kCacheBlock * layout.blockBytes;
    const int64_t last = t % kCacheBlock, next = (t - count) % kCacheBlock;
    for (int64_t quad = 0; quad < layout.padded / 4; quad++)
      memcpy(keys + to + (quad * kCacheBlock + next) * 4, keys + from + (quad * kCacheBlock + last) * 4, 4);
    for (int64_t i = 0; i < layout.padded; i++)
      values[to + (next / 2 * layout.padded + i) * 2 + next % 2] = values[from + (last / 2 * layout.padded + i) * 2 + last % 2];
    for (uint8_t* part : {keys, values})
      for (int64_t g = 0; g < layout.groups; g++) {
        uint8_t* const scales = part + layout.codeBytes + g * kCacheBlock * 2;
        memcpy(scales + to + next * 2, scales + from + last * 2, 2);
      }
  }
}

void blockAttention(const float* q, const float* k, const float* v, const int32_t* offsets, int64_t blocks, int64_t heads,
                    int64_t headDim, float scale, float* out) {
  const int64_t width = isa().lanes, stride = heads * headDim;
  std::vector<Task> tasks;
  double pairs = 0;
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t begin = offsets[b], end = offsets[b + 1];
    pairs += (double)(end - begin) * (double)(end - begin);
    for (int64_t head = 0; head < heads; head++)
      for (int64_t row = begin; row < end; row += width) tasks.push_back({b, head, row, std::min(end, row + width)});
  }
  parallelFor((int64_t)tasks.size(), pairs * (double)(heads * headDim) * 0.05, [&](int64_t index) {
    const Task& task = tasks[index];
    const int64_t begin = offsets[task.segment], column = task.head * headDim;
    const HeadMemory memory = {k + begin * stride + column, v + begin * stride + column, stride};
    attendTile((int)(task.end - task.begin), memory, headDim, scale, false,
               offsets[task.segment + 1] - begin, INT64_MAX, [&](int lane) { return q + (task.begin + lane) * stride + column; },
               [&](int lane) { return out + (task.begin + lane) * stride + column; }, [](int) { return int64_t(0); });
  });
}

}  // namespace voxquant
