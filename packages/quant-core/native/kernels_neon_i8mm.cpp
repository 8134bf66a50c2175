// Advanced SIMD with dot products and the int8 matrix multiplication extension (smmla).
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
const Isa* isaNeonI8mm() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_neon.h"

namespace voxquant {
namespace {

struct Dot {
  static constexpr bool kQuads = true, kPairs = true;
  static int32x4_t add(int32x4_t sums, int8x16_t w, int8x16_t q) { return vdotq_s32(sums, w, q); }

  static int8x16_t firstHalves(int8x16_t a, int8x16_t b) { return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b))); }
  static int8x16_t secondHalves(int8x16_t a, int8x16_t b) { return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b))); }

  // Lanes (w0 x0, w0 x1, w1 x0, w1 x1).
  static int32x4_t square(int32x4_t sums, int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1) {
    sums = vmmlaq_s32(sums, firstHalves(w0, w1), firstHalves(x0, x1));
    return vmmlaq_s32(sums, secondHalves(w0, w1), secondHalves(x0, x1));
  }
};

}  // namespace
}  // namespace voxquant

#include "kernels_neon.h"

namespace voxquant {

const Isa* isaNeonI8mm() {
  static const Isa table = levelOf("neoni8mm");
  return &table;
}

}  // namespace voxquant

#endif
