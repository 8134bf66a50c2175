#pragma once
// Matrix x vectors on AVX2, 32 elements a step. A unit is a block: of 32 elements (one step) or 256 (eight steps).

namespace voxquant {
namespace {

inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }

inline uint32_t load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

inline __m256i nibbles32(const uint8_t* p) {
  const __m128i v = _mm_loadu_si128((const __m128i*)p);
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

// 16 where bit e of the 32 is set.
inline __m256i highBits(const uint8_t* p) {
  __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)load32(p)),
                                  _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
  const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit), _mm256_set1_epi8(16));
}

inline __m256i tableIq4(__m256i index) {
  const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113));
  return _mm256_shuffle_epi8(table, index);
}

inline __m256i minus(__m256i codes, int offset) { return _mm256_sub_epi8(codes, _mm256_set1_epi8((char)offset)); }

struct Header {
  float scales[16];
  float shifts[16];
};

template <int Bytes, int Shifts>
struct Block32 {
  static constexpr int kBytes = Bytes, kSteps = 1, kShifts = Shifts;
  static constexpr bool kFine = false, kSigned = Shifts == 0;
  static void header(const uint8_t* p, Header* h) {
    h->scales[0] = halfScalar(p);
    if (Shifts) h->shifts[0] = halfScalar(p + 2);
  }
};
template <int Bytes, int Shifts, bool Fine>
struct Block256 {
  static constexpr int kBytes = Bytes, kSteps = 8, kShifts = Shifts;
  static constexpr bool kFine = Fine, kSigned = Shifts == 0;
};

// codes: signed where the type has no shifts, else 0 … 31.
struct CodesQ4_0 : Block32<18, 0> {
  static __m256i codes(const uint8_t* p, int) { return minus(nibbles32(p + 2), 8); }
};
struct CodesQ4_1 : Block32<20, 1> {
  static __m256i codes(const uint8_t* p, int) { return nibbles32(p + 4); }
};
struct CodesQ5_0 : Block32<22, 0> {
  static __m256i codes(const uint8_t* p, int) { return minus(_mm256_or_si256(nibbles32(p + 6), highBits(p + 2)), 16); }
};
struct CodesQ5_1 : Block32<24, 1> {
  static __m256i codes(const uint8_t* p, int) { return _mm256_or_si256(nibbles32(p + 8), highBits(p + 4)); }
};
struct CodesQ8_0 : Block32<34, 0> {
  static __m256i codes(const uint8_t* p, int) { return load256(p + 2); }
};
struct CodesIq4Nl : Block32<18, 0> {
  static __m256i codes(const uint8_t* p, int) { return tableIq4(nibbles32(p + 2)); }
};
struct CodesIq4Xs : Block256<136, 0, false> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t low = load32(p + 4), high = load32(p) >> 16;
    const float d = halfScalar(p);
    for (int b = 0; b < 8; b++) h->scales[b] = d * (float)((int)((low >> 4 * b & 15) | (high >> 2 * b & 3) << 4) - 32);
  }
  static __m256i codes(const uint8_t* p, int j) { return tableIq4(nibbles32(p + 8 + 16 * j)); }
};
struct CodesQ4_K : Block256<144, 8, false> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t a = load32(p + 4), b = load32(p + 8), c = load32(p + 12);
    const __m128i both = _mm_setr_epi32((int)(a & 0x3f3f3f3f), (int)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)), (int)(b & 0x3f3f3f3f),
                                        (int)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)));
    store(h->scales, mul(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(both)), splat(halfScalar(p))));
    store(h->shifts, mul(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(both, 8))), splat(-halfScalar(p + 2))));
  }
  static __m256i codes(const uint8_t* p, int j) {
    const __m256i v = load256(p + 16 + 32 * (j >> 1));
    return _mm256_and_si256(j & 1 ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }
};
struct CodesQ5_K : Block256<176, 8, false> {
  static void header(const uint8_t* p, Header* h) { CodesQ4_K::header(p, h); }
  static __m256i codes(const uint8_t* p, int j) {
    const __m256i bit = _mm256_set1_epi8((char)(1 << j));
    const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(load256(p + 16), bit), bit);
    return _mm256_or_si256(CodesQ4_K::codes(p + 32, j), _mm256_and_si256(high, _mm256_set1_epi8(16)));
  }
};
struct CodesQ6_K : Block256<210, 0, true> {
  static void header(const uint8_t* p, Header* h) {
    const F d = splat(halfScalar(p + 208));
    for (int i = 0; i < 2; i++)
      store(h->scales + 8 * i, mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)(p + 192 + 8 * i))))));
  }
  static __m256i codes(const uint8_t* p, int j) {
    const int h = j >> 2, k = j & 3;
    __m256i low = load256(p + 64 * h + 32 * (k & 1));
    if (k & 2) low = _mm256_srli_epi16(low, 4);
    __m256i high = _mm256_srl_epi16(load256(p + 128 + 32 * h), _mm_cvtsi32_si128(2 * k));
    high = _mm256_slli_epi16(_mm256_and_si256(high, _mm256_set1_epi8(3)), 4);
    return minus(_mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi8(15)), high), 32);
  }
};

inline __m256i pairsOfBits(const uint8_t* qs, int j) {
  const __m256i v = _mm256_srl_epi16(load256(qs + 32 * (j >> 2)), _mm_cvtsi32_si128(2 * (j & 3)));
  return _mm256_and_si256(v, _mm256_set1_epi8(3));
}

struct CodesQ2_K : Block256<84, 16, true> {
  static void header(const uint8_t* p, Header* h) {
    const F d = splat(halfScalar(p + 80)), dmin = splat(-halfScalar(p + 82));
    for (int i = 0; i < 2; i++) {
      const __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8 * i)));
      store(h->scales + 8 * i, mul(d, _mm256_cvtepi32_ps(_mm256_and_si256(both, _mm256_set1_epi32(15)))));
      store(h->shifts + 8 * i, mul(dmin, _mm256_cvtepi32_ps(_mm256_srli_epi32(both, 4))));
    }
  }
  static __m256i codes(const uint8_t* p, int j) { return pairsOfBits(p + 16, j); }
};
struct CodesQ3_K : Block256<110, 0, true> {
  static void header(const uint8_t* p, Header* h) {
    const uint32_t a = load32(p + 96), b = load32(p + 100), c = load32(p + 104);
    const __m128i scales = _mm_setr_epi32((int)((a & 0x0f0f0f0f) | (c << 4 & 0x30303030)), (int)((b & 0x0f0f0f0f) | (c << 2 & 0x30303030)),
                                          (int)((a >> 4 & 0x0f0f0f0f) | (c & 0x30303030)), (int)((b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030)));
    const __m128i centred = _mm_sub_epi8(scales, _mm_set1_epi8(32));
    const F d = splat(halfScalar(p + 108));
    store(h->scales, mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(centred))));
    store(h->scales + 8, mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(centred, 8)))));
  }
  static __m256i codes(const uint8_t* p, int j) {
    const __m256i bit = _mm256_set1_epi8((char)(1 << j));
    const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(load256(p), bit), bit);
    return minus(_mm256_or_si256(pairsOfBits(p + 32, j), _mm256_and_si256(high, _mm256_set1_epi8(4))), 4);
  }
};

template <class Q>
inline F stepScale(const Header& h, int j) {
  if (Q::kFine) return _mm256_set_m128(_mm_set1_ps(h.scales[2 * j + 1]), _mm_set1_ps(h.scales[2 * j]));
  return splat(h.scales[j]);
}

template <class Q, int R>
inline void addShifts(const Header& h, const GemvInput& x, int64_t unit, int r0, F* acc) {
  for (int r = 0; r < R; r++) {
    const float* sums = Q::kFine ? x.sums16 + (r0 + r) * (x.padded / 16) + unit * 16
                                 : x.sums32 + (r0 + r) * (x.padded / 32) + unit * Q::kShifts;
    if (Q::kShifts == 1) {
      acc[r] = fma(_mm256_zextps128_ps256(_mm_set_ss(h.shifts[0])), _mm256_zextps128_ps256(_mm_load_ss(sums)), acc[r]);
    } else {
      for (int i = 0; i < Q::kShifts; i += 8) acc[r] = fma(load(h.shifts + i), load(sums + i), acc[r]);
    }
  }
}

template <class Q, int R>
inline void fastUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  const __m256i ones = _mm256_set1_epi16(1);
  Header h;
  Q::header(p, &h);
#pragma GCC unroll 8
  for (int j = 0; j < Q::kSteps; j++) {
    const __m256i codes = Q::codes(p, j);
    const __m256i size = Q::kSigned ? _mm256_abs_epi8(codes) : codes;
    const F scale = stepScale<Q>(h, j);
    const int64_t step = unit * Q::kSteps + j;
    for (int r = 0; r < R; r++) {
      __m256i q = load256((const uint8_t*)x.q + (r0 + r) * x.padded + step * 32);
      if (Q::kSigned) q = _mm256_sign_epi8(q, codes);
      const __m256i dot = _mm256_madd_epi16(_mm256_maddubs_epi16(size, q), ones);
      const F d = splat(x.d[(r0 + r) * (x.padded / 32) + step]);
      acc[r] = fma(_mm256_cvtepi32_ps(dot), mul(scale, d), acc[r]);
    }
  }
  if (Q::kShifts > 0) addShifts<Q, R>(h, x, unit, r0, acc);
}

template <class Q, int R>
inline void exactUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  Header h;
  Q::header(p, &h);
#pragma GCC unroll 8
  for (int j = 0; j < Q::kSteps; j++) {
    const __m256i codes = Q::codes(p, j);
    const __m128i low = _mm256_castsi256_si128(codes), high = _mm256_extracti128_si256(codes, 1);
    const F first = splat(h.scales[Q::kFine ? 2 * j : j]), second = splat(h.scales[Q::kFine ? 2 * j + 1 : j]);
    F w[4];
    w[0] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), first);
    w[1] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(low, 8))), first);
    w[2] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)), second);
    w[3] = mul(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(high, 8))), second);
    for (int r = 0; r < R; r++) {
      const float* row = x.x + (r0 + r) * x.n + (unit * Q::kSteps + j) * 32;
      const F a = fma(w[0], load(row), mul(w[1], load(row + 8)));
      acc[r] = add(acc[r], add(a, fma(w[2], load(row + 16), mul(w[3], load(row + 24)))));
    }
  }
  if (Q::kShifts > 0) addShifts<Q, R>(h, x, unit, r0, acc);
}

template <class Q, int R, bool Fast>
inline void dotRow(const uint8_t* p, const GemvInput& x, int r0, float* out, int64_t stride) {
  F acc[R];
  for (int r = 0; r < R; r++) acc[r] = zero();
  const int64_t units = x.n / (32 * Q::kSteps);
  for (int64_t u = 0; u < units; u++, p += Q::kBytes) {
    for (int line = 0; line < Q::kBytes; line += 64) _mm_prefetch((const char*)p + 1536 + line, _MM_HINT_T0);
    if (Fast) fastUnit<Q, R>(p, x, u, r0, acc);
    else exactUnit<Q, R>(p, x, u, r0, acc);
  }
  for (int r = 0; r < R; r++) out[r * stride] = sumLanes(acc[r]);
}

template <class Q, bool Fast>
void gemvRows(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  for (int64_t o = begin; o < end; o++) {
    const uint8_t* p = w.row(o);
    float* y = out + (o - begin);
    int r = 0;
    for (; r + 4 <= x.rows; r += 4) dotRow<Q, 4, Fast>(p, x, r, y + r * stride, stride);
    switch (x.rows - r) {
      case 1: dotRow<Q, 1, Fast>(p, x, r, y + r * stride, stride); break;
      case 2: dotRow<Q, 2, Fast>(p, x, r, y + r * stride, stride); break;
      case 3: dotRow<Q, 3, Fast>(p, x, r, y + r * stride, stride); break;
    }
  }
}

template <bool Fast>
bool gemvFused(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  switch (w.dtype) {
    case Q4_0: gemvRows<CodesQ4_0, Fast>(w, begin, end, x, out, stride); return true;
    case Q4_1: gemvRows<CodesQ4_1, Fast>(w, begin, end, x, out, stride); return true;
    case Q5_0: gemvRows<CodesQ5_0, Fast>(w, begin, end, x, out, stride); return true;
    case Q5_1: gemvRows<CodesQ5_1, Fast>(w, begin, end, x, out, stride); return true;
    case Q8_0: gemvRows<CodesQ8_0, Fast>(w, begin, end, x, out, stride); return true;
    case IQ4_NL: gemvRows<CodesIq4Nl, Fast>(w, begin, end, x, out, stride); return true;
    case Q2_K: gemvRows<CodesQ2_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q3_K: gemvRows<CodesQ3_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q4_K: gemvRows<CodesQ4_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q5_K: gemvRows<CodesQ5_K, Fast>(w, begin, end, x, out, stride); return true;
    case Q6_K: gemvRows<CodesQ6_K, Fast>(w, begin, end, x, out, stride); return true;
    case IQ4_XS: gemvRows<CodesIq4Xs, Fast>(w, begin, end, x, out, stride); return true;
    default: return false;
  }
}

void gemvExact(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  if (!gemvFused<false>(w, begin, end, x, out, stride))
    gemvExactGeneric(w, begin, end, x, out, stride, scratch, dequantizeAvx2);
}

// The other types: a row unpacked first.
void gemvFast(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch) {
  if (gemvFused<true>(w, begin, end, x, out, stride)) return;
  int8_t* codes = (int8_t*)scratch;
  float* scales = (float*)(codes + x.padded);
  float* shifts = scales + x.padded / 16;
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t o = begin; o < end; o++) {
    unpackAvx2(w.dtype, w.row(o), x.n, codes, scales, shifts);
    for (int r = 0; r < x.rows; r++) {
      F acc = zero();
      for (int64_t b = 0; b < x.n / 32; b++) {
        const __m256i c = load256((const uint8_t*)codes + 32 * b);
        const __m256i q = _mm256_sign_epi8(load256((const uint8_t*)x.q + r * x.padded + 32 * b), c);
        const __m256i dot = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(c), q), ones);
        acc = fma(_mm256_cvtepi32_ps(dot), splat(scales[b] * x.d[r * (x.padded / 32) + b]), acc);
      }
      out[r * stride + o - begin] = sumLanes(acc);
    }
  }
}

}  // namespace
}  // namespace voxquant
