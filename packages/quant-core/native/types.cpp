#include "types.h"

namespace voxquant {

static const TypeTraits kTraits[] = {
    {F32, 1, 4, 0, false},      {F16, 1, 2, 0, false},      {BF16, 1, 2, 0, false},     {Q4_0, 32, 18, 32, false},
    {Q4_1, 32, 20, 32, true},   {Q5_0, 32, 22, 32, false},  {Q5_1, 32, 24, 32, true},   {Q8_0, 32, 34, 32, false},
    {Q2_K, 256, 84, 16, true},  {Q3_K, 256, 110, 16, false}, {Q4_K, 256, 144, 32, true}, {Q5_K, 256, 176, 32, true},
    {Q6_K, 256, 210, 16, false}, {IQ4_NL, 32, 18, 32, false}, {IQ4_XS, 256, 136, 32, false}, {MXFP4, 32, 17, 32, false},
    {TQ1_0, 256, 54, 32, false}, {TQ2_0, 256, 66, 32, false},
};

const TypeTraits* traitsOf(int32_t dtype) {
  for (const TypeTraits& traits : kTraits)
    if (traits.id == dtype) return &traits;
  return nullptr;
}

}  // namespace voxquant
