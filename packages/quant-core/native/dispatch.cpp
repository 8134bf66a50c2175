#include "dispatch.h"

#include "gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace voxquant {
namespace {

#if defined(__x86_64__)
struct Features {
  bool avx2 = false, avxVnni = false, avx512 = false, bf16 = false, addsBeside = false, amx = false;
};

// What the CPU has and the operating system saves on a context switch.
Features detect() {
  Features features;
  unsigned a, b, c, d;
  if (!__get_cpuid(0, &a, &b, &c, &d)) return features;
  // Whether additions run beside multiplications (int8_pairs.h): no bit tells.
  features.addsBeside = b == signature_AMD_ebx && d == signature_AMD_edx && c == signature_AMD_ecx;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return features;
  const bool osxsave = c >> 27 & 1, fma = c >> 12 & 1, f16c = c >> 29 & 1;
  if (!osxsave) return features;
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  features.avx2 = (low & 6) == 6 && fma && f16c && (b >> 5 & 1);
  const bool f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1, vnni = c >> 11 & 1;
  features.avx512 = features.avx2 && (low & 0xe6) == 0xe6 && f && dq && bw && vl && vnni;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return features;
  features.avxVnni = features.avx2 && (a >> 4 & 1);
  features.bf16 = features.avx512 && (a >> 5 & 1);
  const bool tiles = (low & 0x60000) == 0x60000;  // the operating system saves them
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  const bool amx = (d >> 22 & 1) && (d >> 24 & 1) && (d >> 25 & 1);  // AMX-BF16, AMX-TILE, AMX-INT8
  features.amx = features.bf16 && tiles && amx && requestAmx();
  return features;
}
#elif defined(__aarch64__)
struct Features {
  bool dotprod = false, i8mm = false;
};

#if defined(__APPLE__)
bool has(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
#endif

Features detect() {
  Features features;
#if defined(__linux__)
  constexpr unsigned long kDotprod = 1ul << 20, kI8mm = 1ul << 13;  // HWCAP_ASIMDDP, HWCAP2_I8MM
  features.dotprod = getauxval(AT_HWCAP) & kDotprod;
  features.i8mm = features.dotprod && (getauxval(AT_HWCAP2) & kI8mm);
#elif defined(__APPLE__)
  features.dotprod = has("hw.optional.arm.FEAT_DotProd");
  features.i8mm = features.dotprod && has("hw.optional.arm.FEAT_I8MM");
#endif
  return features;
}
#endif

const std::vector<const Isa*>& levels() {
  static const std::vector<const Isa*> found = [] {
    std::vector<const Isa*> list = {isaBaseline()};
    const auto add = [&](bool present, const Isa* level) {
      if (present && level) list.push_back(level);  // null: the compiler was too old for it
    };
#if defined(__x86_64__)
    const Features features = detect();
    add(features.avx2, isaAvx2());
    add(features.avxVnni, isaAvxVnni());
    add(features.avx512, isaAvx512());
    add(features.bf16, isaAvx512Bf16());
#if defined(VOXQUANT_KERNEL_CHECK)
    add(features.bf16, isaAvx512Pairs());
#else
    add(features.bf16 && features.addsBeside, isaAvx512Pairs());
#endif
    add(features.amx, isaAmx());
#if defined(VOXQUANT_KERNEL_CHECK)
    add(features.avx512 && !features.avxVnni, isaAvxVnniOfAvx512());
    add(features.bf16 && !features.amx, isaPlainAmx());
#endif
#elif defined(__aarch64__)
    const Features features = detect();
    add(true, isaNeon());
    add(features.dotprod, isaNeonDotprod());
    add(features.i8mm, isaNeonI8mm());
#endif
    return list;
  }();
  return found;
}

std::atomic<const Isa*> gIsa{nullptr};

// Where a type's half-precision fields lie in its block.
void setScales(int32_t dtype, uint8_t* block) {
  auto half = [&](int at, uint16_t bits) { memcpy(block + at, &bits, 2); };
  switch (dtype) {
    case Q4_1: case Q5_1: case Q4_K: case Q5_K: half(0, 0x2c10); half(2, 0x2a03); break;
    case Q2_K: half(80, 0x2c10); half(82, 0x2a03); break;
    case Q3_K: half(108, 0x2c10); break;
    case Q6_K: half(208, 0x2c10); break;
    case TQ1_0: half(52, 0x2c10); break;
    case TQ2_0: half(64, 0x2c10); break;
    case MXFP4: block[0] = 125; break;
    default: half(0, 0x2c10);
  }
}

// One tile of bfloat16 products, with an incomplete block of inputs; values that bfloat16 holds exactly.
bool tilesMultiply(const Isa* level) {
  constexpr int k = 46, rows = 20;
  float x[rows * k], c[kBf16Outs * 64];
  uint16_t w[kBf16Outs * k], row[k];
  alignas(64) uint16_t packed[k * 64];
  for (int i = 0; i < rows * k; i++) x[i] = (float)(i * 7 % 31 - 15);
  auto weight = [](int o, int i) { return (float)((o * 5 + i * 3) % 17 - 8); };
  for (int o = 0; o < kBf16Outs; o++) {
    for (int i = 0; i < k; i++) {
      const float value = weight(o, i);
      uint32_t bits;
      memcpy(&bits, &value, 4);
      row[i] = (uint16_t)(bits >> 16);
    }
    placeBf16(*level, row, k, o, w);
  }
  level->packBf16(x, k, rows, k, packed);
  level->tileBf16(packed, k, w, kBf16Outs * k, kBf16Outs, rows, c, false);
  for (int o = 0; o < kBf16Outs; o++)
    for (int r = 0; r < rows; r++) {
      float sum = 0;
      for (int i = 0; i < k; i++) sum += weight(o, i) * x[r * k + i];
      if (c[o * level->lanes + r] != sum) return false;
    }
  return true;
}

// Int8 products with an incomplete group of inputs, an incomplete vector of outputs and a row beside whole tiles; values that
// codes hold exactly, in some rows and outputs the extremes alone.
bool panelsMultiply(const Isa* level, int64_t k) {
  constexpr int rows = 17, outs = 21;
  constexpr int64_t most = 192, groups = 2;
  alignas(64) uint8_t panelCodes[kPanelOuts * most];
  int8_t weights[outs * most], codes[rows * most];
  float scales[outs * groups], panelScales[groups * kPanelOuts], x[most], d[rows * groups], out[rows * outs];
  int32_t starts[rows * groups], panelStarts[groups * kPanelOuts];
  const int top = level->int8->top;
  auto mixed = [top](int64_t row, int64_t i) { return (int)(i % 32 == 0 ? top : (row * 29 + i * 7) % (2 * top - 3) - (top - 2)); };
  auto value = [&](int64_t row, int64_t i) { return row % 4 == 1 ? top : row % 4 == 2 ? -top : mixed(row, i); };
  auto weight = [&](int64_t out, int64_t i) { return out % 4 == 1 ? top : out % 4 == 2 ? -top - 1 : mixed(out + 100, i); };
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < k; i++) x[i] = (float)value(r, i);
    level->int8->round(x, k, codes + r * k, d + r * groups, starts + r * groups);
  }
  for (int64_t o = 0; o < outs; o++)
    for (int64_t i = 0; i < k; i++) weights[o * k + i] = (int8_t)weight(o, i);
  for (float& scale : scales) scale = 1;
  const Int8Panel panel = {k, outs, panelCodes, panelScales, panelStarts};
  level->int8->pack(weights, scales, panel);
  level->int8->multiply({rows, k, codes, d, starts}, 0, rows, panel, nullptr, out, outs, nullptr, 0);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t o = 0; o < outs; o++) {
      int32_t sum = 0;
      for (int64_t i = 0; i < k; i++) sum += value(r, i) * weight(o, i);
      if (out[r * outs + o] != (float)sum) return false;
    }
  return true;
}

bool close(const float* a, const float* b, int n, float limit) {
  for (int i = 0; i < n; i++)
    if (!(fabsf(a[i] - b[i]) <= limit)) return false;
  return true;
}

}  // namespace

const Isa& isa() {
  const Isa* level = gIsa.load(std::memory_order_acquire);
  if (!level) {
    level = levels().back();
    gIsa.store(level, std::memory_order_release);
  }
  return *level;
}

int isaCount() { return (int)levels().size(); }
const Isa* isaAt(int index) { return levels()[index]; }

bool setIsa(const char* name) {
  for (auto level = levels().rbegin(); level != levels().rend(); ++level) {
    if (strcmp((*level)->name, name) == 0 || (strcmp(name, "avx512") == 0 && strncmp((*level)->name, "avx512", 6) == 0)) {
      gIsa.store(*level, std::memory_order_release);
      return true;
    }
  }
  return false;
}

const char* checkIsa(const Isa* level) {
  static const int32_t kTypes[] = {F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0, MXFP4};
  const Isa* reference = isaBaseline();
  constexpr int n = 256;
  float x[n];
  uint32_t seed = 12345;
  for (float& value : x) value = (float)(int32_t)(seed = seed * 1664525u + 1013904223u) * 0x1p-31f;
  alignas(64) static thread_local uint8_t bytes[n * 4], scratchRow[n * 8];
  std::vector<uint8_t> arrays(64 << 10);
  for (int32_t dtype : kTypes) {
    const TypeTraits* traits = traitsOf(dtype);
    const int64_t rowBytes = n / traits->block * traits->bytes;
    for (int64_t i = 0; i < rowBytes; i++) bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    if (traits->group == 0) {  // finite values: bits of x
      for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[n - 1 - i], 4);
        const uint16_t top = dtype == F16 ? (uint16_t)(0x3800 | (bits & 0x83ff)) : (uint16_t)(bits >> 16);
        if (dtype == F32) memcpy(bytes + 4 * i, &bits, 4);
        else memcpy(bytes + 2 * i, &top, 2);
      }
    } else {
      for (int64_t b = 0; b < n / traits->block; b++) setScales(dtype, bytes + b * traits->bytes);
    }
    const WeightMatrix weight = {dtype, 1, n, bytes, rowBytes, traits};
    float results[2][2], size = 0, values[n];
    reference->dequantize(dtype, bytes, n, values);
    for (int i = 0; i < n; i++) size += fabsf(values[i] * x[i]);
    for (int which = 0; which < 2; which++) {
      const Isa* tested = which ? level : reference;
      memset(arrays.data(), 0, arrays.size());
      float* at = reinterpret_cast<float*>(arrays.data());
      GemvInput input = {};
      input.rows = 1;
      input.n = input.padded = n;
      input.x = x;
      input.d = at;
      input.sums16 = at + 64;
      input.sums32 = at + 128;
      input.quads = reinterpret_cast<int32_t*>(at + 512);
      input.q = reinterpret_cast<int8_t*>(at + 1024);
      tested->quantizeRow(x, n, n, input.q, input.d, input.quads, input.sums16, input.sums32);
      for (int shift = 0; shift < 8; shift++) {
        input.offsets[shift] = reinterpret_cast<int32_t*>(at + 2048 + shift * 64);
        for (int j = 0; j < n / 4; j++) input.offsets[shift][j] = -input.quads[j] * (1 << shift);
      }
      if (traits->group) tested->gemvFast(weight, 0, 1, input, &results[which][0], 1, scratchRow);
      else results[which][0] = 0;
      for (int g = 0; g < n / 16; g++) {
        input.sums16[g] = 0;
        for (int j = 0; j < 16; j++) input.sums16[g] += x[16 * g + j];
      }
      for (int g = 0; g < n / 32; g++) input.sums32[g] = input.sums16[2 * g] + input.sums16[2 * g + 1];
      tested->gemvExact(weight, 0, 1, input, &results[which][1], 1, scratchRow);
    }
    if (!close(results[0], results[1], 2, 1e-5f * size + 1e-6f)) {
      static thread_local char message[160];
      snprintf(message, sizeof message, "%s: ggml type %d gives %g and %g, the baseline %g and %g", level->name, (int)dtype,
               (double)results[1][0], (double)results[1][1], (double)results[0][0], (double)results[0][1]);
      return message;
    }
  }
  const bool tiles = !level->tileBf16 || tilesMultiply(level);
  if (!tiles || (level->int8 && !(panelsMultiply(level, 160) && panelsMultiply(level, 192)))) {
    static thread_local char message[80];
    snprintf(message, sizeof message, "%s: products of many rows in %s give wrong sums", level->name, tiles ? "int8" : "bfloat16");
    return message;
  }
  return nullptr;
}

}  // namespace voxquant
