// Advanced SIMD, which every AArch64 processor has.
#include "vectors_neon.h"

namespace voxquant {
namespace {

struct Dot {
  static constexpr bool kQuads = false, kPairs = false;
  // |w| <= 128 and |q| <= 127: two products stay inside 16 bits.
  static int32x4_t add(int32x4_t sums, int8x16_t w, int8x16_t q) {
    const int16x8_t products = vmlal_s8(vmull_s8(vget_low_s8(w), vget_low_s8(q)), vget_high_s8(w), vget_high_s8(q));
    return vpadalq_s16(sums, products);
  }
};

}  // namespace
}  // namespace voxquant

#include "kernels_neon.h"

namespace voxquant {

const Isa* isaNeon() {
  static const Isa table = levelOf("neon");
  return &table;
}

}  // namespace voxquant
