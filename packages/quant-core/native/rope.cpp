#include "rope.h"

#include <math.h>

#include <memory>
#include <vector>

#include "elementwise.h"

namespace voxquant {
namespace {

// Cosines and sines of every position so far, in double precision before the last rounding; one table per geometry.
class RopeTable {
 public:
  static constexpr int64_t kMostPositions = 1 << 16;

  RopeTable(int64_t headDim, double theta) : headDim_(headDim), theta_(theta) {}
  bool fits(int64_t headDim, double theta) const { return headDim_ == headDim && theta_ == theta; }

  void row(int64_t position, float* out) const {
    const int64_t half = headDim_ / 2;
    for (int64_t i = 0; i < half; i++) {
      const double angle = (double)position * pow(theta_, -2.0 * (double)i / (double)headDim_);
      out[i] = (float)cos(angle);
      out[half + i] = (float)sin(angle);
    }
  }

  void grow(int64_t positions) {
    int64_t have = (int64_t)values_.size() / headDim_;
    if (positions <= have) return;
    const int64_t wanted = positions + 256 < kMostPositions ? positions + 256 : kMostPositions;
    values_.resize((size_t)(wanted * headDim_));
    for (; have < wanted; have++) row(have, values_.data() + have * headDim_);
  }

  const float* at(int64_t position) const { return values_.data() + position * headDim_; }
  int64_t positions() const { return (int64_t)values_.size() / headDim_; }

 private:
  int64_t headDim_;
  double theta_;
  std::vector<float> values_;
};

// Several threads of JavaScript may run models: each has its own tables.
RopeTable& ropeTable(int64_t headDim, double theta) {
  thread_local std::vector<std::unique_ptr<RopeTable>> tables;
  for (auto& table : tables)
    if (table->fits(headDim, theta)) return *table;
  if (tables.size() >= 8) tables.clear();
  tables.emplace_back(new RopeTable(headDim, theta));
  return *tables.back();
}

}  // namespace

void headNormRope(const float* x, const float* gamma, const int32_t* positions, int64_t rows, int64_t heads, int64_t headDim,
                  float eps, double theta, float* out) {
  RopeTable& table = ropeTable(headDim, theta);
  int64_t last = -1;
  for (int64_t r = 0; r < rows; r++)
    if (positions[r] > last && positions[r] < RopeTable::kMostPositions) last = positions[r];
  table.grow(last + 1);
  forRows(rows, heads * headDim, 0.5, [&](int64_t row) {
    const int64_t position = positions[row];
    const float* cosSin;
    if (position >= 0 && position < table.positions()) {
      cosSin = table.at(position);
    } else {
      float* own = static_cast<float*>(scratch(kScratchRow, headDim * 4));
      table.row(position, own);
      cosSin = own;
    }
    for (int64_t head = 0; head < heads; head++) {
      const int64_t at = (row * heads + head) * headDim;
      isa().normRope(x + at, gamma, cosSin, eps, headDim, out + at);
    }
  });
}

}  // namespace voxquant
