#include "linear.h"

#include <math.h>

#include <algorithm>
#include <vector>

#include "elementwise.h"
#include "gemm.h"
#include "int8_gemm.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

// Rough rates for the decision whether a region is worth other threads.
constexpr double kBytesPerNanosecond = 20;
constexpr double kMacsPerNanosecond = 60;

constexpr int64_t kRowsTogether = 12;  // a multiple of the weight rows that any kernel takes at a time

int log2Offset(int32_t dtype) {
  switch (dtype) {
    case Q3_K: return 2;
    case Q4_0: return 3;
    case Q5_0: return 4;
    case Q6_K: return 5;
    default: return 7;
  }
}

template <class T>
T* carve(uint8_t** at, int64_t count) {
  T* block = reinterpret_cast<T*>(*at);
  *at += (count * (int64_t)sizeof(T) + 63) / 64 * 64;
  return block;
}

// The quantized rows of an input side by side.
void putIntoLanes(GemvInput* input, uint8_t** at) {
  constexpr int kLanes = 8;
  const int64_t padded = input->padded;
  input->laneCodes = carve<int8_t>(at, padded * kLanes);
  input->laneD = carve<float>(at, padded / 32 * kLanes);
  input->laneSums16 = carve<int32_t>(at, padded / 16 * kLanes);
  input->laneSums32 = carve<int32_t>(at, padded / 32 * kLanes);
  input->laneShifts16 = carve<float>(at, padded / 16 * kLanes);
  input->laneShifts32 = carve<float>(at, padded / 32 * kLanes);
  if (input->rows < kLanes) memset(input->laneCodes, 0, (size_t)(*at - reinterpret_cast<uint8_t*>(input->laneCodes)));
  for (int r = 0; r < input->rows; r++) {
    interleave<4>(input->q + r * padded, padded, kLanes, r, input->laneCodes);
    interleave<1>(input->d + r * (padded / 32), padded / 32, kLanes, r, input->laneD);
    interleave<1>(input->sums16 + r * (padded / 16), padded / 16, kLanes, r, input->laneShifts16);
    interleave<1>(input->sums32 + r * (padded / 32), padded / 32, kLanes, r, input->laneShifts32);
    const int32_t* quads = input->quads + r * (padded / 4);
    for (int64_t g = 0; g < padded / 16; g++)
      input->laneSums16[g * kLanes + r] = -(quads[4 * g] + quads[4 * g + 1] + quads[4 * g + 2] + quads[4 * g + 3]);
    for (int64_t g = 0; g < padded / 32; g++)
      input->laneSums32[g * kLanes + r] = input->laneSums16[2 * g * kLanes + r] + input->laneSums16[(2 * g + 1) * kLanes + r];
  }
}

// Everything that the matrix x vectors kernels of these weights need to know of x.
GemvInput prepareInput(const float* x, int rows, int count, const WeightMatrix* weights, bool fast) {
  GemvInput input = {};
  input.rows = rows;
  input.n = weights[0].in;
  input.padded = (input.n + 255) / 256 * 256;
  input.x = x;
  bool quantized = false, shifted = false;
  for (int i = 0; i < count; i++) {
    quantized = quantized || weights[i].traits->group > 0;
    shifted = shifted || weights[i].traits->shifted;
  }
  if (!quantized || (!fast && !shifted)) return input;
  const int64_t n = input.n, padded = input.padded;
  uint8_t* at = static_cast<uint8_t*>(scratch(kScratchActivations, kGemvRows * padded * 16 + 1024 * kGemvRows));
  input.sums16 = carve<float>(&at, rows * padded / 16);
  input.sums32 = carve<float>(&at, rows * padded / 32);
  if (!fast) {
    for (int r = 0; r < rows; r++) {
      for (int64_t g = 0; g < padded / 16; g++) {
        float sum = 0.0f;
        if (g * 16 < n)
          for (int j = 0; j < 16; j++) sum += x[r * n + g * 16 + j];
        input.sums16[r * padded / 16 + g] = sum;
      }
      for (int64_t g = 0; g < padded / 32; g++)
        input.sums32[r * padded / 32 + g] = input.sums16[r * padded / 16 + 2 * g] + input.sums16[r * padded / 16 + 2 * g + 1];
    }
    return input;
  }
  input.q = carve<int8_t>(&at, rows * padded);
  input.d = carve<float>(&at, rows * padded / 32);
  input.quads = carve<int32_t>(&at, rows * padded / 4);
  for (int r = 0; r < rows; r++)
    isa().quantizeRow(x + r * n, n, padded, input.q + r * padded, input.d + r * padded / 32, input.quads + r * padded / 4,
                      input.sums16 + r * padded / 16, input.sums32 + r * padded / 32);
  if (isa().rowLanes && rows > kLaneRows) putIntoLanes(&input, &at);
  for (int i = 0; i < count; i++) {
    if (weights[i].traits->group == 0 || weights[i].traits->shifted) continue;
    const int shift = log2Offset(weights[i].dtype);
    if (input.offsets[shift]) continue;
    input.offsets[shift] = carve<int32_t>(&at, rows * padded / 4);
    for (int64_t j = 0; j < rows * padded / 4; j++) input.offsets[shift][j] = -input.quads[j] * (1 << shift);
  }
  return input;
}

// A run of weight rows of one of the matrices of a call.
struct Chunk {
  int weight;
  int64_t begin, end;
};

// Cuts the matrices into runs of about `target` bytes, a multiple of `multiple` rows each.
void cut(int count, const WeightMatrix* weights, int64_t target, int64_t multiple, std::vector<Chunk>* chunks) {
  for (int i = 0; i < count; i++) {
    const int64_t rows = std::max<int64_t>(multiple, target / std::max<int64_t>(1, weights[i].rowBytes) / multiple * multiple);
    for (int64_t begin = 0; begin < weights[i].out; begin += rows)
      chunks->push_back({i, begin, std::min(weights[i].out, begin + rows)});
  }
}

int64_t totalBytes(int count, const WeightMatrix* weights) {
  int64_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += weights[i].out * weights[i].rowBytes;
  return bytes;
}

// Small enough that threads finish together: at 15 GB/s 64 KiB take 4 us.
int64_t chunkBytes(int64_t total) {
  return std::min<int64_t>(64 << 10, std::max<int64_t>(8 << 10, total / (threads() * 8)));
}

void gemv(const WeightMatrix& weight, int64_t begin, int64_t end, const GemvInput& input, float* out, int64_t stride, bool fast) {
  void* row = scratch(kScratchRow, input.padded * 8);
  if (fast && weight.traits->group > 0) isa().gemvFast(weight, begin, end, input, out, stride, row);
  else isa().gemvExact(weight, begin, end, input, out, stride, row);
}

double gemvCost(int64_t bytes, int64_t rows) { return (double)bytes / kBytesPerNanosecond * (double)(rows + 3) / 4; }

void linearFew(const float* x, int rows, int count, const WeightMatrix* weights, const float* const* biases, float* const* outs, bool fast) {
  const GemvInput input = prepareInput(x, rows, count, weights, fast);
  const int64_t bytes = totalBytes(count, weights);
  thread_local std::vector<Chunk> chunks;
  chunks.clear();
  cut(count, weights, chunkBytes(bytes), kRowsTogether, &chunks);
  const Chunk* list = chunks.data();
  parallelFor((int64_t)chunks.size(), gemvCost(bytes, rows), [&](int64_t task) {
    const Chunk& chunk = list[task];
    const WeightMatrix& weight = weights[chunk.weight];
    float* out = outs[chunk.weight];
    gemv(weight, chunk.begin, chunk.end, input, out + chunk.begin, weight.out, fast);
    if (const float* bias = biases[chunk.weight])
      for (int r = 0; r < rows; r++)
        for (int64_t o = chunk.begin; o < chunk.end; o++) out[r * weight.out + o] += bias[o];
  });
}

// Most activation rows whose results a panel keeps at once.
constexpr int64_t kRowsPerPanel = 512;

PackedActivations packAll(GemmMode mode, const float* x, int64_t rows, int64_t k) {
  PackedActivations packed = {mode, rows, k, PackedActivations::bytesPerBlock(mode, k), nullptr};
  packed.data = static_cast<uint8_t*>(scratch(kScratchActivations, packed.blocks() * packed.blockBytes));
  parallelFor(packed.blocks(), (double)(rows * k) / 2, [&](int64_t block) { packed.pack(block, x + block * isa().lanes * k, k); });
  return packed;
}

// In bfloat16 or float32: activation rows in lanes.
void linearInLanes(const float* x, int64_t rows, int count, const WeightMatrix* weights, const float* const* biases, float* const* outs, bool fast) {
  const int64_t k = weights[0].in, lanes = isa().lanes;
  const PackedActivations packed = packAll(gemmMode(fast), x, rows, k);
  const int64_t blocks = packed.blocks(), runBlocks = std::max<int64_t>(1, kRowsPerPanel / lanes), runs = (blocks + runBlocks - 1) / runBlocks;
  std::vector<Chunk> chunks;
  int64_t outputs = 0;
  for (int i = 0; i < count; i++) {
    outputs += weights[i].out;
    for (int64_t begin = 0; begin < weights[i].out; begin += kPanelOuts)
      chunks.push_back({i, begin, std::min(weights[i].out, begin + kPanelOuts)});
  }
  parallelFor((int64_t)chunks.size() * runs, (double)(outputs * rows * k) / kMacsPerNanosecond, [&](int64_t task) {
    const Chunk& chunk = chunks[task / runs];
    const int64_t b0 = task % runs * runBlocks, b1 = std::min(blocks, b0 + runBlocks);
    float* c = static_cast<float*>(scratch(kScratchTile, (b1 - b0) * kPanelOuts * lanes * 4));
    gemmPanel(weights[chunk.weight], chunk.begin, chunk.end, packed, b0, b1, c);
    const int64_t stride = weights[chunk.weight].out;
    const float* bias = biases[chunk.weight] ? biases[chunk.weight] + chunk.begin : nullptr;
    for (int64_t b = b0; b < b1; b++)
      isa().storeTile(c + (b - b0) * kPanelOuts * lanes, (int)(chunk.end - chunk.begin), packed.rowsOf(b), bias, kActNone,
                      outs[chunk.weight] + b * lanes * stride + chunk.begin, stride);
  });
}

void linearMany(const float* x, int64_t rows, int count, const WeightMatrix* weights, const float* const* biases, float* const* outs, bool fast) {
  // Runs of neighbours of one kind share what is made of x: nearly always all of them.
  for (int first = 0; first < count;) {
    const bool int8 = fast && int8Weight(weights[first]);
    int last = first + 1;
    while (last < count && (fast && int8Weight(weights[last])) == int8) last++;
    if (int8) int8Linear(rowsOf(x, weights[0].in), 0, rows, last - first, weights + first, biases + first, outs + first);
    else linearInLanes(x, rows, last - first, weights + first, biases + first, outs + first, fast);
    first = last;
  }
}

struct Best {
  float value;
  int32_t index;
};

const Best kNone = {-INFINITY, 0};

inline void consider(Best* best, float value, int64_t index) {
  if (value > best->value) *best = {value, (int32_t)index};
}

}  // namespace

void linear(const float* x, int64_t rows, int count, const WeightMatrix* weights, const float* const* biases, float* const* outs, bool fast) {
  if (rows == 0 || count == 0) return;
  if (rows <= kGemvRows) linearFew(x, (int)rows, count, weights, biases, outs, fast);
  else linearMany(x, rows, count, weights, biases, outs, fast);
}

void linearOfMade(const RowMaker& make, double nanosecondsEach, float* floats, int64_t rows, int count, const WeightMatrix* weights,
                  const float* const* biases, float* const* outs, bool fast) {
  if (rows > kGemvRows && fast && std::all_of(weights, weights + count, int8Weight))
    return int8Linear(make, nanosecondsEach, rows, count, weights, biases, outs);
  const int64_t k = weights[0].in;
  forRows(rows, k, nanosecondsEach, [&](int64_t row) {
    float* const place = floats + row * k;
    const float* const made = make(row, place);
    if (made != place) memcpy(place, made, (size_t)k * 4);
  });
  linear(floats, rows, count, weights, biases, outs, fast);
}

void gatedOfMade(const RowMaker& make, double nanosecondsEach, float* floats, int64_t rows, const WeightMatrix& gate, const WeightMatrix& up,
                 float* space, float* out, bool fast) {
  if (rows > kGemvRows && fast && int8Weight(gate) && int8Weight(up)) return int8Gated(make, nanosecondsEach, rows, gate, up, out);
  const WeightMatrix weights[2] = {gate, up};
  const float* noBias[2] = {};
  float* const outs[2] = {out, space};
  linearOfMade(make, nanosecondsEach, floats, rows, 2, weights, noBias, outs, fast);
  siluMulAll(out, space, rows * gate.out, out);
}

void linearArgmax(const float* x, int64_t rows, const WeightMatrix& weight, int32_t* out, bool fast) {
  if (rows == 0) return;
  if (rows > kGemvRows) {  // few at a time: the weights are read from the cache or from memory at a GEMV's speed
    for (int64_t r = 0; r < rows; r += kGemvRows)
      linearArgmax(x + r * weight.in, std::min<int64_t>(kGemvRows, rows - r), weight, out + r, fast);
    return;
  }
  const GemvInput input = prepareInput(x, (int)rows, 1, &weight, fast);
  const int64_t bytes = totalBytes(1, &weight);
  std::vector<Chunk> chunks;
  cut(1, &weight, chunkBytes(bytes), kRowsTogether, &chunks);
  std::vector<Best> bests(chunks.size() * rows, kNone);
  parallelFor((int64_t)chunks.size(), gemvCost(bytes, rows), [&](int64_t task) {
    const Chunk& chunk = chunks[task];
    const int64_t length = chunk.end - chunk.begin;
    float* logits = static_cast<float*>(scratch(kScratchTile, rows * length * 4));
    gemv(weight, chunk.begin, chunk.end, input, logits, length, fast);
    for (int64_t r = 0; r < rows; r++)
      for (int64_t o = 0; o < length; o++) consider(&bests[task * rows + r], logits[r * length + o], chunk.begin + o);
  });
  for (int64_t r = 0; r < rows; r++) {
    Best best = kNone;
    for (size_t task = 0; task < chunks.size(); task++) consider(&best, bests[task * rows + r].value, bests[task * rows + r].index);
    out[r] = best.index;
  }
}

void embedding(const int32_t* ids, int64_t count, const WeightMatrix& weight, float* out) {
  parallelFor(count, (double)(count * weight.in) / 2,
              [&](int64_t i) { isa().dequantize(weight.dtype, weight.row(ids[i]), weight.in, out + i * weight.in); });
}

}  // namespace voxquant
