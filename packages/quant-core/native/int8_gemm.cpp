#include "int8_gemm.h"

#include <string.h>

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

Int8Panel packWeights(const WeightMatrix& weight, const PanelRun& run, uint8_t* memory) {
  const int64_t k = weight.in, groups = panelGroups(k), outs = run.end - run.begin;
  const Int8Panel panel = panelIn(memory, k, (int)outs);
  float* coarse = static_cast<float*>(scratch(kScratchRow, outs * (k + groups * 4) + k * 8));
  void* space = coarse + outs * groups;
  int8_t* codes = static_cast<int8_t*>(space) + k * 8;
  for (int64_t o = 0; o < outs; o++) isa().int8->coarsen(weight, run.begin + o, codes + o * k, coarse + o * groups, space);
  isa().int8->pack(codes, coarse, panel);
  return panel;
}

// Of nearly equal width, so that threads that get as many panels get as much work.
std::vector<PanelRun> panelsOf(int weightCount, const WeightMatrix* weights) {
  std::vector<PanelRun> panels;
  for (int i = 0; i < weightCount; i++) {
    const int64_t units = (weights[i].out + kPanelUnit - 1) / kPanelUnit, count = (weights[i].out + kPanelOuts - 1) / kPanelOuts;
    for (int64_t p = 0; p < count; p++)
      panels.push_back({i, units * p / count * kPanelUnit, std::min(weights[i].out, units * (p + 1) / count * kPanelUnit)});
  }
  return panels;
}

// Of what lies behind a panel in its matrix, as much again, which most often comes next: the part for one of `parts`.
struct Ahead {
  const uint8_t* from;
  int64_t bytes;

  Ahead(const WeightMatrix& weight, const PanelRun& run, int64_t part = 0, int64_t parts = 1) {
    const int64_t all = std::min(weight.out - run.end, run.end - run.begin) * weight.rowBytes, begin = all * part / parts;
    from = weight.row(run.end) + begin;
    bytes = all * (part + 1) / parts - begin;
  }
};

// Calls work(panel, first row, end of rows) for all of them.
template <class Work>
void forPanels(const std::vector<PanelRun>& panels, int64_t rows, double macs, Work&& work) {
  const int64_t wanted = (kTasksPerThread * threads() + (int64_t)panels.size() - 1) / (int64_t)panels.size();
  const int64_t runs = std::max<int64_t>(1, std::min(wanted, rows / kFewestRows)), runRows = (rows + runs - 1) / runs;
  parallelFor((int64_t)panels.size() * runs, macs / kMacsPerNanosecond, [&](int64_t task) {
    const int64_t first = task % runs * runRows, last = std::min(rows, first + runRows);
    if (first < last) work(panels[task / runs], first, last);
  });
}

}  // namespace

bool int8Weight(const WeightMatrix& weight) { return isa().int8 && weight.traits->group > 0; }

void int8Linear(const RowMaker& make, double nanosecondsEach, int64_t rows, int weightCount, const WeightMatrix* weights,
                const float* const* biases, float* const* outs) {
  const int64_t k = weights[0].in;
  const RoundedRows rounded = roundRows(make, nanosecondsEach, rows, k);
  double outputs = 0;
  for (int i = 0; i < weightCount; i++) outputs += (double)weights[i].out;
  forPanels(panelsOf(weightCount, weights), rows, outputs * (double)(rows * k), [&](const PanelRun& run, int64_t first, int64_t last) {
    const WeightMatrix& weight = weights[run.weight];
    const Int8Panel panel = packWeights(weight, run, static_cast<uint8_t*>(scratch(kScratchPanel, panelBytes(k))));
    const float* bias = biases[run.weight] ? biases[run.weight] + run.begin : nullptr;
    const Ahead ahead(weight, run);
    isa().int8->multiply(rounded, first, last, panel, bias, outs[run.weight] + first * weight.out + run.begin, weight.out, ahead.from, ahead.bytes);
  });
}

void int8Gated(const RowMaker& make, double nanosecondsEach, int64_t rows, const WeightMatrix& gate, const WeightMatrix& up, float* out) {
  constexpr int64_t kRowsTogether = 32;
  const int64_t k = gate.in, bytes = panelBytes(k);
  const RoundedRows rounded = roundRows(make, nanosecondsEach, rows, k);
  forPanels(panelsOf(1, &gate), rows, 2.0 * (double)(gate.out * rows * k), [&](const PanelRun& run, int64_t first, int64_t last) {
    uint8_t* const memory = static_cast<uint8_t*>(scratch(kScratchPanel, 2 * bytes));
    const Int8Panel gates = packWeights(gate, run, memory), ups = packWeights(up, run, memory + bytes);
    const int64_t outs = run.end - run.begin, blocks = (last - first + kRowsTogether - 1) / kRowsTogether;
    float* const g = static_cast<float*>(scratch(kScratchTile, 2 * kRowsTogether * kPanelOuts * 4));
    float* const u = g + kRowsTogether * kPanelOuts;
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t row = first + block * kRowsTogether, end = std::min(last, row + kRowsTogether);
      const Ahead nextGates(gate, run, block, blocks), nextUps(up, run, block, blocks);
      isa().int8->multiply(rounded, row, end, gates, nullptr, g, outs, nextGates.from, nextGates.bytes);
      isa().int8->multiply(rounded, row, end, ups, nullptr, u, outs, nextUps.from, nextUps.bytes);
      isa().siluMul(g, u, (end - row) * outs, g);
      for (int64_t r = row; r < end; r++) memcpy(out + r * gate.out + run.begin, g + (r - row) * outs, (size_t)outs * 4);
    }
  });
}

}  // namespace voxquant
