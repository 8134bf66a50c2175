#pragma once
// Matrix x five to eight vectors on AVX-512 with VNNI: the vectors side by side in eight lanes, weight codes broadcast,
// six weight rows at a time, which share what is loaded of the activations. The same sums in the same order as the
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

// One unit of O weight rows. acc [O, groups of a unit]
template <class Q, int O>
inline void lanesUnit(const uint8_t* const* rows, const GemvInput& x, int64_t unit, __m256* acc) {
  constexpr int kGroups = Q::kFine ? 16 : 8, kQuads = Q::kFine ? 4 : 8;
  constexpr int kTogether = 2;  // groups at a time: enough independent sums
  alignas(64) uint8_t codes[O][256];
  alignas(64) float scales[O][16], shifts[O][16];
  for (int o = 0; o < O; o++) {
    const Header h = Q::header(rows[o]);
    store(scales[o], h.scales);
    if (Q::kShifts) store(shifts[o], h.shifts);
    for (int j = 0; j < 4; j++) _mm512_store_si512(codes[o] + 64 * j, Q::codes(rows[o], j));
  }
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
        for (int o = 0; o < O; o++) dots[t][o] = _mm256_dpbusd_epi32(dots[t][o], quad(codes[o] + 4 * at), lanes);
      }
    for (int t = 0; t < kTogether; t++) {
      const __m256 size = _mm256_loadu_ps(d + (Q::kFine ? (g + t) / 2 : g + t) * 8);
      for (int o = 0; o < O; o++) {
        __m256* sum = acc + o * kGroups + g + t;
        *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t][o]), _mm256_mul_ps(_mm256_set1_ps(scales[o][g + t]), size), *sum);
        if (Q::kShifts) *sum = _mm256_fmadd_ps(_mm256_set1_ps(shifts[o][g + t]), _mm256_loadu_ps(shiftSums + (g + t) * 8), *sum);
      }
    }
  }
}

template <class Q, int O>
inline void dotLanes(const WeightMatrix& w, int64_t first, const GemvInput& x, float* out, int64_t stride) {
  constexpr int kGroups = Q::kFine ? 16 : 8;
  __m256 acc[O * kGroups];
  for (__m256& sum : acc) sum = _mm256_setzero_ps();
  const uint8_t* rows[O];
  for (int o = 0; o < O; o++) rows[o] = w.row(first + o);
  const int64_t units = x.n / 256;
  const char* ahead = (const char*)rows[0] + kAhead;
  for (int64_t u = 0; u < units; u++, ahead += O * Q::kBytes) {
    for (int line = 0; line < O * Q::kBytes; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T1);
    lanesUnit<Q, O>(rows, x, u, acc);
    for (int o = 0; o < O; o++) rows[o] += Q::kBytes;
  }
  if (Q::kBlock == 32 && x.n % 256 != 0) {  // the last blocks, followed by zeros
    uint8_t last[O][Q::kBytes] = {};
    for (int o = 0; o < O; o++) {
      memcpy(last[o], rows[o], (size_t)(x.n % 256 / 32 * Q::kBlockBytes));
      rows[o] = last[o];
    }
    lanesUnit<Q, O>(rows, x, units, acc);
  }
  for (int o = 0; o < O; o++) {
    float lanes[8];
    _mm256_storeu_ps(lanes, sumGroups<kGroups>(acc + o * kGroups));
    for (int r = 0; r < x.rows; r++) out[r * stride + o] = lanes[r];
  }
}

template <class Q>
void gemvLanes(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  int64_t o = begin;
  for (; o + 6 <= end; o += 6) dotLanes<Q, 6>(w, o, x, out + o - begin, stride);
  for (; o + 2 <= end; o += 2) dotLanes<Q, 2>(w, o, x, out + o - begin, stride);
  for (; o < end; o++) dotLanes<Q, 1>(w, o, x, out + o - begin, stride);
}

}  // namespace
}  // namespace voxquant
