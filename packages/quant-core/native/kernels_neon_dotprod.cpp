// Advanced SIMD with the dot product extension (sdot).
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
const Isa* isaNeonDotprod() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_neon.h"

namespace voxquant {
namespace {

struct Dot {
  static constexpr bool kQuads = true, kPairs = false;
  static int32x4_t add(int32x4_t sums, int8x16_t w, int8x16_t q) { return vdotq_s32(sums, w, q); }
};

}  // namespace
}  // namespace voxquant

#include "kernels_neon.h"

namespace voxquant {

const Isa* isaNeonDotprod() {
  static const Isa table = levelOf("neondotprod");
  return &table;
}

}  // namespace voxquant

#endif
