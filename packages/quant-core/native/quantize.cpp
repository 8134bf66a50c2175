#include "quantize.h"

#include "quantize_decode.h"

namespace voxquant {
namespace {

enum Type : uint32_t {
  F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8, Q8_1 = 9, Q2_K = 10, Q3_K = 11, Q4_K = 12,
  Q5_K = 13, Q6_K = 14, Q8_K = 15, IQ4_NL = 20, IQ4_XS = 23, BF16 = 30, TQ1_0 = 34, TQ2_0 = 35, MXFP4 = 39,
};

constexpr BlockFormat kFormats[] = {
    {F32, 1, 4},      {F16, 1, 2},      {BF16, 1, 2},      {Q4_0, 32, 18},    {Q4_1, 32, 20},
    {Q5_0, 32, 22},   {Q5_1, 32, 24},   {Q8_0, 32, 34},    {Q8_1, 32, 36},    {Q2_K, 256, 84},
    {Q3_K, 256, 110}, {Q4_K, 256, 144}, {Q5_K, 256, 176},  {Q6_K, 256, 210},  {Q8_K, 256, 292},
    {IQ4_NL, 32, 18}, {IQ4_XS, 256, 136}, {MXFP4, 32, 17}, {TQ1_0, 256, 54},  {TQ2_0, 256, 66},
};

VQ_INLINE void encode(uint32_t type, const float* x, size_t length, const float* importance, uint8_t* out) {
  switch (type) {
    case F32: std::memcpy(out, x, 4 * length); break;
    case F16: for (size_t i = 0; i < length; i++) store_u16(out + 2 * i, float_to_half(x[i])); break;
    case BF16: for (size_t i = 0; i < length; i++) store_u16(out + 2 * i, float_to_bf16(x[i])); break;
    case Q4_0: encode_symmetric(x, length, importance, 8, out); break;
    case Q5_0: encode_symmetric(x, length, importance, 16, out); break;
    case Q4_1: encode_affine(x, length, importance, 15, out); break;
    case Q5_1: encode_affine(x, length, importance, 31, out); break;
    case Q8_0: encode_q8(x, length, false, out); break;
    case Q8_1: encode_q8(x, length, true, out); break;
    case Q2_K: encode_q2_k(x, length, importance, out); break;
    case Q3_K: encode_q3_k(x, length, importance, out); break;
    case Q4_K: encode_nibble_k(x, length, importance, kQ4Layout, out); break;
    case Q5_K: encode_nibble_k(x, length, importance, kQ5Layout, out); break;
    case Q6_K: encode_q6_k(x, length, importance, out); break;
    case Q8_K: encode_q8_k(x, length, out); break;
    case IQ4_NL: encode_iq4_nl(x, length, importance, out); break;
    case IQ4_XS: encode_iq4_xs(x, length, importance, out); break;
    case MXFP4: encode_mxfp4(x, length, out); break;
    case TQ1_0: encode_tq1_0(x, length, out); break;
    case TQ2_0: encode_tq2_0(x, length, out); break;
  }
}

VQ_INLINE void decode(uint32_t type, const uint8_t* in, size_t count, float* out) {
  switch (type) {
    case F32: std::memcpy(out, in, 4 * count); break;
    case F16: for (size_t i = 0; i < count; i++) out[i] = half_to_float(load_u16(in + 2 * i)); break;
    case BF16: for (size_t i = 0; i < count; i++) out[i] = bf16_to_float(load_u16(in + 2 * i)); break;
    case Q4_0: decode_symmetric(in, count, 8, out); break;
    case Q5_0: decode_symmetric(in, count, 16, out); break;
    case Q4_1: decode_affine(in, count, false, out); break;
    case Q5_1: decode_affine(in, count, true, out); break;
    case Q8_0: decode_q8(in, count, 2, out); break;
    case Q8_1: decode_q8(in, count, 4, out); break;
    case Q2_K: decode_q2_k(in, count, out); break;
    case Q3_K: decode_q3_k(in, count, out); break;
    case Q4_K: decode_nibble_k(in, count, false, out); break;
    case Q5_K: decode_nibble_k(in, count, true, out); break;
    case Q6_K: decode_q6_k(in, count, out); break;
    case Q8_K: decode_q8_k(in, count, out); break;
    case IQ4_NL:
      for (size_t i = 0; i < count; i += kBlock, in += 18) decode_table(in + 2, half_to_float(load_u16(in)), kIq4Values, out + i);
      break;
    case IQ4_XS: decode_iq4_xs(in, count, out); break;
    case MXFP4:
      for (size_t i = 0; i < count; i += kBlock, in += 17) decode_table(in + 1, mxfp4_scale(in[0]), kMxfp4Values, out + i);
      break;
    case TQ1_0: decode_tq1_0(in, count, out); break;
    case TQ2_0: decode_tq2_0(in, count, out); break;
  }
}

using Encoder = void (*)(uint32_t, const float*, size_t, const float*, uint8_t*);

void encode_baseline(uint32_t type, const float* x, size_t length, const float* importance, uint8_t* out) {
  encode(type, x, length, importance, out);
}

#if defined(__x86_64__)
// AVX2 without FMA: wider vectors, the same roundings.
__attribute__((target("avx2"))) void encode_avx2(uint32_t type, const float* x, size_t length, const float* importance,
                                                 uint8_t* out) {
  encode(type, x, length, importance, out);
}

bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") != 0;
}

const Encoder encoder = has_avx2() ? encode_avx2 : encode_baseline;
#else
const Encoder encoder = encode_baseline;
#endif

bool is_infinite_half(const uint8_t* at) { return (load_u16(at) & 0x7c00) == 0x7c00; }

}  // namespace

const BlockFormat* block_format(uint32_t type_id) {
  for (const BlockFormat& format : kFormats) {
    if (format.type_id == type_id) return &format;
  }
  return nullptr;
}

void encode_row(uint32_t type_id, const float* x, size_t length, const float* importance, uint8_t* out) {
  encoder(type_id, x, length, importance, out);
}

void decode_row(uint32_t type_id, const uint8_t* in, size_t count, float* out) { decode(type_id, in, count, out); }

size_t first_not_finite(const float* x, size_t count) {
  uint32_t found = 0;
  for (size_t i = 0; i < count; i++) found |= (bits_of_float(x[i]) & 0x7f800000) == 0x7f800000;
  if (found == 0) return count;
  size_t i = 0;
  while ((bits_of_float(x[i]) & 0x7f800000) != 0x7f800000) i++;
  return i;
}

bool has_invalid_scale(uint32_t type_id, const uint8_t* row, size_t length) {
  const BlockFormat* format = block_format(type_id);
  // Where the f16 scales of a block lie; types without one hold no overflow.
  int first = 0;
  int second = -1;
  switch (type_id) {
    case F32: case BF16: case MXFP4: case Q8_K: return false;
    case Q4_1: case Q5_1: case Q4_K: case Q5_K: second = 2; break;
    case Q2_K: first = 80; second = 82; break;
    case Q3_K: first = 108; break;
    case Q6_K: first = 208; break;
    case TQ1_0: first = 52; break;
    case TQ2_0: first = 64; break;
    default: break;
  }
  for (size_t i = 0; i < length; i += format->block, row += format->bytes) {
    if (is_infinite_half(row + first) || (second >= 0 && is_infinite_half(row + second))) return true;
  }
  return false;
}

}  // namespace voxquant
