#pragma once
// Matrix x five to eight vectors on AVX-512 with VNNI: the vectors side by side in eight lanes, weight codes broadcast,
// four weight rows at a time, which share what is loaded of the activations. The same sums in the same order as the
// kernels for single vectors, so that a row's result does not depend on the rows beside it.

namespace voxquant {
namespace {

// Broadcast of four codes.
inline __m256i quad(const uint8_t* p) {
  int32_t v;
  memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

// The order in which sumLanes adds the lanes of a single vector's accumulator.
template <int Groups>
inline __m256 sumGroups(const __m256* acc) {
  __m256 v[8];
  for (int i = 0; i < 8; i++) v[i] = Groups == 16 ? _mm256_add_ps(acc[i], acc[i + 8]) : acc[i];
  for (int i = 0; i < 4; i++) v[i] = _mm256_add_ps(v[i], v[i + 4]);
  return _mm256_add_ps(_mm256_add_ps(v[0], v[2]), _mm256_add_ps(v[1], v[3]));
}

// Weight rows unpacked: codes [O, padded], scales and shifts [O, padded / group].
struct UnpackedRows {
  uint8_t* codes;
  float *scales, *shifts;
};

template <class Q>
inline void unpackUnits(const uint8_t* p, int64_t units, uint8_t* codes, float* scales, float* shifts) {
  constexpr int kGroups = Q::kFine ? 16 : 8;
  for (int64_t u = 0; u < units; u++, p += Q::kBytes, codes += 256, scales += kGroups, shifts += kGroups) {
    const Header h = Q::header(p);
    storePart(scales, h.scales, kGroups);
    if (Q::kShifts) storePart(shifts, h.shifts, kGroups);
    for (int j = 0; j < 4; j++) _mm512_storeu_si512(codes + 64 * j, Q::codes(p, j));
  }
}

// acc [O, groups of a unit]
template <class Q, int O>
inline void lanesUnit(const UnpackedRows& w, const GemvInput& x, int64_t unit, __m256* acc) {
  constexpr int kGroups = Q::kFine ? 16 : 8, kQuads = Q::kFine ? 4 : 8;
  constexpr int kTogether = 2;  // groups at a time: enough independent sums
  const int64_t groups = x.padded / 256 * kGroups;
  const uint8_t* codes = w.codes + unit * 256;
  const float *scales = w.scales + unit * kGroups, *shifts = w.shifts + unit * kGroups;
  const uint8_t* q = (const uint8_t*)x.laneCodes + unit * 256 * 8;
  const int32_t* sums = (Q::kFine ? x.laneSums16 : x.laneSums32) + unit * kGroups * 8;
  const float* shiftSums = (Q::kFine ? x.laneShifts16 : x.laneShifts32) + unit * kGroups * 8;
  const float* d = x.laneD + unit * 8 * 8;
  for (int g = 0; g < kGroups; g += kTogether) {
    __m256i dots[kTogether][O];
    for (int t = 0; t < kTogether; t++) {
      __m256i start = _mm256_setzero_si256();
      if (Q::kOffset >= 0) start = _mm256_slli_epi32(load256((const uint8_t*)(sums + (g + t) * 8)), Q::kOffset < 0 ? 0 : Q::kOffset);
      for (int o = 0; o < O; o++) dots[t][o] = start;
    }
#pragma GCC unroll 8
    for (int s = 0; s < kQuads; s++)
      for (int t = 0; t < kTogether; t++) {
        const int at = (g + t) * kQuads + s;
        const __m256i lanes = load256(q + at * 32);
        for (int o = 0; o < O; o++) dots[t][o] = _mm256_dpbusd_epi32(dots[t][o], quad(codes + o * x.padded + 4 * at), lanes);
      }
    for (int t = 0; t < kTogether; t++) {
      const __m256 size = _mm256_loadu_ps(d + (Q::kFine ? (g + t) / 2 : g + t) * 8);
      for (int o = 0; o < O; o++) {
        __m256* sum = acc + o * kGroups + g + t;
        const __m256 scale = _mm256_set1_ps(scales[o * groups + g + t]);
        *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t][o]), _mm256_mul_ps(scale, size), *sum);
        if (!Q::kShifts) continue;
        *sum = _mm256_fmadd_ps(_mm256_set1_ps(shifts[o * groups + g + t]), _mm256_loadu_ps(shiftSums + (g + t) * 8), *sum);
      }
    }
  }
}

template <class Q, int O>
inline void dotLanes(const WeightMatrix& w, int64_t first, const GemvInput& x, float* out, int64_t stride, uint8_t* memory) {
  constexpr int kGroups = Q::kFine ? 16 : 8;
  const int64_t padded = x.padded, groups = padded / 256 * kGroups, units = x.n / 256;
  UnpackedRows unpacked;
  unpacked.codes = memory;
  unpacked.scales = (float*)(memory + O * padded);
  unpacked.shifts = unpacked.scales + O * groups;
  for (int o = 0; o < O; o++) {
    uint8_t* codes = unpacked.codes + o * padded;
    float *scales = unpacked.scales + o * groups, *shifts = unpacked.shifts + o * groups;
    const uint8_t* p = w.row(first + o);
    unpackUnits<Q>(p, units, codes, scales, shifts);
    if (Q::kBlock == 32 && x.n % 256 != 0) {  // the last blocks, followed by zeros
      uint8_t last[Q::kBytes] = {0};
      memcpy(last, p + units * Q::kBytes, (size_t)(x.n % 256 / 32 * Q::kBlockBytes));
      unpackUnits<Q>(last, 1, codes + units * 256, scales + units * kGroups, shifts + units * kGroups);
    }
  }
  __m256 acc[O * kGroups];
  for (__m256& sum : acc) sum = _mm256_setzero_ps();
  const char* ahead = (const char*)w.row(first) + kAhead;  // of rows to come, while these are multiplied
  for (int64_t u = 0; u < padded / 256; u++, ahead += O * Q::kBytes) {
    for (int line = 0; line < O * Q::kBytes; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T1);
    lanesUnit<Q, O>(unpacked, x, u, acc);
  }
  for (int o = 0; o < O; o++) {
    float lanes[8];
    _mm256_storeu_ps(lanes, sumGroups<kGroups>(acc + o * kGroups));
    for (int r = 0; r < x.rows; r++) out[r * stride + o] = lanes[r];
  }
}

// scratch: 8 * padded bytes
template <class Q>
void gemvLanes(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  uint8_t* memory = (uint8_t*)scratch;
  int64_t o = begin;
  for (; o + 4 <= end; o += 4) dotLanes<Q, 4>(w, o, x, out + o - begin, stride, memory);
  for (; o < end; o++) dotLanes<Q, 1>(w, o, x, out + o - begin, stride, memory);
}

}  // namespace
}  // namespace voxquant
