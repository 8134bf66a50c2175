#include "int8_gemm.h"

#include <algorithm>
#include <vector>

#include "thread_pool.h"

namespace voxquant {
namespace {

constexpr double kMacsPerNanosecond = 150;
constexpr int64_t kRowsRounded = 16;     // per task
constexpr int64_t kFewestRows = 128;     // that a panel is unpacked for, where rows are divided
constexpr int64_t kTasksPerThread = 4;
constexpr int64_t kPanelUnit = 16;       // outputs in a vector of any level, or in several

struct PanelRun {
  int weight;
  int64_t begin, end;  // outputs
};

RoundedRows roundRows(const RowMaker& make, double nanosecondsEach, int64_t rows, int64_t k) {
  const int64_t groups = panelGroups(k);
  uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchActivations, rows * (k + groups * 8)));
  RoundedRows rounded;
  rounded.rows = rows;
  rounded.k = k;
  rounded.d = reinterpret_cast<float*>(memory);
  rounded.starts = reinterpret_cast<int32_t*>(rounded.d + rows * groups);
  rounded.codes = reinterpret_cast<int8_t*>(rounded.starts + rows * groups);
  parallelFor((rows + kRowsRounded - 1) / kRowsRounded, (double)(rows * k) * (nanosecondsEach + 0.15), [&](int64_t task) {
    float* const space = static_cast<float*>(scratch(kScratchRow, k * 4));
    for (int64_t r = task * kRowsRounded; r < std::min(rows, (task + 1) * kRowsRounded); r++)
      isa().int8->round(make(r, space), k, rounded.codes + r * k, rounded.d + r * groups, rounded.starts + r * groups);
  });
  return rounded;
}

Int8Panel packWeights(const WeightMatrix& weight, int64_t begin, int64_t end) {
  const int64_t k = weight.in, groups = panelGroups(k), outs = end - begin;
  uint8_t* memory = static_cast<uint8_t*>(scratch(kScratchPanel, kPanelOuts * (k + groups * 8)));
  float* const scales = reinterpret_cast<float*>(memory + kPanelOuts * k);
  const Int8Panel panel = {k, (int)outs, memory, scales, reinterpret_cast<int32_t*>(scales + kPanelOuts * groups)};
  float* coarse = static_cast<float*>(scratch(kScratchRow, outs * (k + groups * 4) + k * 8));
  void* space = coarse + outs * groups;
  int8_t* codes = static_cast<int8_t*>(space) + k * 8;
  for (int64_t o = 0; o < outs; o++) isa().int8->coarsen(weight, begin + o, codes + o * k, coarse + o * groups, space);
  isa().int8->pack(codes, coarse, panel);
  return panel;
}

}  // namespace

bool int8Weight(const WeightMatrix& weight) { return isa().int8 && weight.traits->group > 0; }

void int8Linear(const RowMaker& make, double nanosecondsEach, int64_t rows, int weightCount, const WeightMatrix* weights,
                const float* const* biases, float* const* outs) {
  const int64_t k = weights[0].in;
  const RoundedRows rounded = roundRows(make, nanosecondsEach, rows, k);
  std::vector<PanelRun> panels;
  double outputs = 0;
  for (int i = 0; i < weightCount; i++) {
    outputs += (double)weights[i].out;
    // Of nearly equal width, so that threads that get as many panels get as much work.
    const int64_t units = (weights[i].out + kPanelUnit - 1) / kPanelUnit, count = (weights[i].out + kPanelOuts - 1) / kPanelOuts;
    for (int64_t p = 0; p < count; p++)
      panels.push_back({i, units * p / count * kPanelUnit, std::min(weights[i].out, units * (p + 1) / count * kPanelUnit)});
  }
  const int64_t wanted = (kTasksPerThread * threads() + (int64_t)panels.size() - 1) / (int64_t)panels.size();
  const int64_t runs = std::max<int64_t>(1, std::min(wanted, rows / kFewestRows)), runRows = (rows + runs - 1) / runs;
  parallelFor((int64_t)panels.size() * runs, outputs * (double)(rows * k) / kMacsPerNanosecond, [&](int64_t task) {
    const PanelRun& run = panels[task / runs];
    const WeightMatrix& weight = weights[run.weight];
    const int64_t first = task % runs * runRows, last = std::min(rows, first + runRows);
    if (first >= last) return;
    const Int8Panel panel = packWeights(weight, run.begin, run.end);
    const float* bias = biases[run.weight] ? biases[run.weight] + run.begin : nullptr;
    const int64_t ahead = std::min(weight.out - run.end, run.end - run.begin) * weight.rowBytes;
    isa().int8->multiply(rounded, first, last, panel, bias, outs[run.weight] + first * weight.out + run.begin, weight.out,
                         weight.row(run.end), ahead);
  });
}

}  // namespace voxquant
