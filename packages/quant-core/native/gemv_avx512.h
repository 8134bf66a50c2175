#pragma once
// Matrix x vectors on AVX-512 with VNNI. A "step" is 64 elements; a unit is what one header describes: a pair of
// 32-element blocks (one step) or a 256-element block (four steps).

namespace voxquant {
namespace {

inline __m128i load128(const uint8_t* p) { return _mm_loadu_si128((const __m128i*)p); }
inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }

inline uint32_t load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

inline short load16(const uint8_t* p) {
  short v;
  memcpy(&v, p, 2);
  return v;
}

// Two half floats, each in eight lanes.
inline F pairScale(const uint8_t* a, const uint8_t* b) {
  return _mm512_cvtph_ps(_mm256_set_m128i(_mm_set1_epi16(load16(b)), _mm_set1_epi16(load16(a))));
}

inline F pairLow(const uint8_t* a, const uint8_t* b) {
  __m128i both = _mm_insert_epi16(_mm_cvtsi32_si128((uint16_t)load16(a)), load16(b), 1);
  return _mm512_zextps128_ps512(_mm_cvtph_ps(both));
}

// Four 16-byte lanes: low and high nibbles of a, low and high nibbles of b: natural order of two blocks.
inline __m512i nibbles64(const uint8_t* a, const uint8_t* b) {
  __m512i v = _mm512_broadcast_i32x4(load128(a));
  v = _mm512_mask_broadcast_i32x4(v, 0xff00, load128(b));
  v = _mm512_srlv_epi64(v, _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0));
  return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

inline __m512i withHighBits(__m512i codes, const uint8_t* a, const uint8_t* b) {
  const __mmask64 high = (uint64_t)load32(b) << 32 | load32(a);
  return _mm512_mask_add_epi8(codes, high, codes, _mm512_set1_epi8(16));
}

inline __m512i tableIq4() {
  return _mm512_broadcast_i32x4(
      _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166, (char)181, (char)197,
                    (char)217, (char)241));  // values + 128
}

// Lanes 8 j … of eight scales: each of scales 2j and 2j + 1 eight times.
inline F spread2(F scales, int j) {
  return _mm512_permutexvar_ps(
      _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), _mm512_set1_epi32(2 * j)), scales);
}

// Each of scales 4j … 4j + 3 four times.
inline F spread4(F scales, int j) {
  return _mm512_permutexvar_ps(
      _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3), _mm512_set1_epi32(4 * j)), scales);
}

struct Header {
  F scales;  // of a 256-element block
  F shifts;
};

// offset: log2 of what unsigned codes have too much, -1 for none. shifts: per unit 0, 2, 8 (groups of 32) or 16.
template <int Bytes, int Offset, int Shifts>
struct PairOf {
  static constexpr int kBytes = 2 * Bytes, kSteps = 1, kOffset = Offset, kShifts = Shifts;
  static constexpr bool kFine = false;
};
template <int Bytes, int Offset, int Shifts, bool Fine>
struct BlockOf {
  static constexpr int kBytes = Bytes, kSteps = 4, kOffset = Offset, kShifts = Shifts;
  static constexpr bool kFine = Fine;  // groups of 16
};

struct CodesQ4_0 : PairOf<18, 3, 0> {
  static Header header(const uint8_t* p) { return {pairScale(p, p + 18), zero()}; }
  static __m512i codes(const uint8_t* p, int) { return nibbles64(p + 2, p + 20); }
};
struct CodesQ4_1 : PairOf<20, -1, 2> {
  static Header header(const uint8_t* p) { return {pairScale(p, p + 20), pairLow(p + 2, p + 22)}; }
  static __m512i codes(const uint8_t* p, int) { return nibbles64(p + 4, p + 24); }
};
struct CodesQ5_0 : PairOf<22, 4, 0> {
  static Header header(const uint8_t* p) { return {pairScale(p, p + 22), zero()}; }
  static __m512i codes(const uint8_t* p, int) { return withHighBits(nibbles64(p + 6, p + 28), p + 2, p + 24); }
};
struct CodesQ5_1 : PairOf<24, -1, 2> {
  static Header header(const uint8_t* p) { return {pairScale(p, p + 24), pairLow(p + 2, p + 26)}; }
  static __m512i codes(const uint8_t* p, int) { return withHighBits(nibbles64(p + 8, p + 32), p + 4, p + 28); }
};
struct CodesQ8_0 : PairOf<34, 7, 0> {
  static Header header(const uint8_t* p) { return {pairScale(p, p + 34), zero()}; }
  static __m512i codes(const uint8_t* p, int) {
    __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(load256(p + 2)), load256(p + 36), 1);
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80));
  }
};
struct CodesIq4Nl : PairOf<18, 7, 0> {
  static Header header(const uint8_t* p) { return {pairScale(p, p + 18), zero()}; }
  static __m512i codes(const uint8_t* p, int) { return _mm512_shuffle_epi8(tableIq4(), nibbles64(p + 2, p + 20)); }
};

// The 6-bit scales and mins of Q4_K and Q5_K as bytes: scales in the low half, mins in the high half.
inline __m128i scaleMins(const uint8_t* p) {
  const uint32_t a = load32(p), b = load32(p + 4), c = load32(p + 8);
  return _mm_setr_epi32((int)(a & 0x3f3f3f3f), (int)((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)), (int)(b & 0x3f3f3f3f),
                        (int)((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)));
}

struct CodesQ4_K : BlockOf<144, -1, 8, false> {
  static Header header(const uint8_t* p) {
    const F both = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(scaleMins(p + 4)));
    const F d = splat(halfScalar(p)), dmin = splat(-halfScalar(p + 2));
    return {mul(both, d), mul(_mm512_shuffle_f32x4(both, both, 0x0e), dmin)};
  }
  static __m512i codes(const uint8_t* p, int j) {
    __m512i v = _mm512_broadcast_i64x4(load256(p + 16 + 32 * j));
    v = _mm512_srlv_epi64(v, _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0));
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
  }
};
struct CodesQ5_K : BlockOf<176, -1, 8, false> {
  static Header header(const uint8_t* p) { return CodesQ4_K::header(p); }
  static __m512i codes(const uint8_t* p, int j) {
    __m512i v = CodesQ4_K::codes(p + 32, j);
    const __m512i high = _mm512_broadcast_i64x4(load256(p + 16));
    const __m512i bits = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * j)), _mm256_set1_epi8((char)(2 << 2 * j)), 1);
    return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(high, bits), v, _mm512_set1_epi8(16));
  }
};
struct CodesQ6_K : BlockOf<210, 5, 0, true> {
  static Header header(const uint8_t* p) {
    return {mul(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(p + 192))), splat(halfScalar(p + 208))), zero()};
  }
  static __m512i codes(const uint8_t* p, int j) {
    __m512i low = _mm512_loadu_si512(p + 64 * (j >> 1));
    if (j & 1) low = _mm512_srli_epi16(low, 4);
    low = _mm512_and_si512(low, _mm512_set1_epi8(15));
    __m512i high = _mm512_broadcast_i64x4(load256(p + 128 + 32 * (j >> 1)));
    high = _mm512_srlv_epi64(high, j & 1 ? _mm512_set_epi64(6, 6, 6, 6, 4, 4, 4, 4) : _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0));
    high = _mm512_slli_epi16(_mm512_and_si512(high, _mm512_set1_epi8(3)), 4);
    return _mm512_or_si512(low, high);
  }
};

// Two bits of 32 bytes, elements 64 j … of a 256-element block (Q2_K, Q3_K).
inline __m512i pairsOfBits(const uint8_t* qs, int j) {
  __m512i v = _mm512_broadcast_i64x4(load256(qs + 32 * (j >> 1)));
  v = _mm512_srlv_epi64(v, j & 1 ? _mm512_set_epi64(6, 6, 6, 6, 4, 4, 4, 4) : _mm512_set_epi64(2, 2, 2, 2, 0, 0, 0, 0));
  return _mm512_and_si512(v, _mm512_set1_epi8(3));
}

struct CodesQ2_K : BlockOf<84, -1, 16, true> {
  static Header header(const uint8_t* p) {
    const __m512i both = _mm512_cvtepu8_epi32(load128(p));
    const F scales = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15)));
    const F mins = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4));
    return {mul(scales, splat(halfScalar(p + 80))), mul(mins, splat(-halfScalar(p + 82)))};
  }
  static __m512i codes(const uint8_t* p, int j) { return pairsOfBits(p + 16, j); }
};
struct CodesQ3_K : BlockOf<110, 2, 0, true> {
  static Header header(const uint8_t* p) {
    const uint32_t a = load32(p + 96), b = load32(p + 100), c = load32(p + 104);
    const __m128i scales = _mm_setr_epi32((int)((a & 0x0f0f0f0f) | (c << 4 & 0x30303030)), (int)((b & 0x0f0f0f0f) | (c << 2 & 0x30303030)),
                                          (int)((a >> 4 & 0x0f0f0f0f) | (c & 0x30303030)), (int)((b >> 4 & 0x0f0f0f0f) | (c >> 2 & 0x30303030)));
    const __m512i centred = _mm512_sub_epi32(_mm512_cvtepu8_epi32(scales), _mm512_set1_epi32(32));
    return {mul(_mm512_cvtepi32_ps(centred), splat(halfScalar(p + 108))), zero()};
  }
  static __m512i codes(const uint8_t* p, int j) {
    const __m512i v = pairsOfBits(p + 32, j);
    const __m512i high = _mm512_broadcast_i64x4(load256(p));
    const __m512i bits = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * j)), _mm256_set1_epi8((char)(2 << 2 * j)), 1);
    return _mm512_mask_add_epi8(v, _mm512_test_epi8_mask(high, bits), v, _mm512_set1_epi8(4));
  }
};
struct CodesIq4Xs : BlockOf<136, 7, 0, false> {
  static Header header(const uint8_t* p) {
    const uint32_t low = load32(p + 4), high = (uint16_t)load16(p + 2);
    float scales[16] = {0};
    for (int b = 0; b < 8; b++) scales[b] = (float)((int)((low >> 4 * b & 15) | (high >> 2 * b & 3) << 4) - 32);
    return {mul(load(scales), splat(halfScalar(p))), zero()};
  }
  static __m512i codes(const uint8_t* p, int j) {
    return _mm512_shuffle_epi8(tableIq4(), nibbles64(p + 8 + 32 * j, p + 24 + 32 * j));
  }
};

template <class Q>
inline F stepScale(const Header& h, int j) {
  if (Q::kSteps == 1) return h.scales;
  return Q::kFine ? spread4(h.scales, j) : spread2(h.scales, j);
}

constexpr int64_t kAhead = 1536;  // bytes that the prefetch runs ahead

template <class Q, int R>
inline void fastUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  const Header h = Q::header(p);
#pragma GCC unroll 4
  for (int j = 0; j < Q::kSteps; j++) {
    const __m512i codes = Q::codes(p, j);
    const F scale = stepScale<Q>(h, j);
    const int64_t step = unit * Q::kSteps + j;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const int8_t* q = x.q + (r0 + r) * x.padded + step * 64;
      __m512i dot = Q::kOffset < 0 ? _mm512_setzero_si512()
                                   : _mm512_loadu_si512(x.offsets[Q::kOffset < 0 ? 0 : Q::kOffset] + (r0 + r) * (x.padded / 4) + step * 16);
      dot = _mm512_dpbusd_epi32(dot, codes, _mm512_loadu_si512(q));
      const F d = load(x.lanes + ((r0 + r) * (x.padded / 64) + step) * 16);
      acc[r] = fma(_mm512_cvtepi32_ps(dot), mul(scale, d), acc[r]);
    }
  }
  if (Q::kShifts > 0) {
    const __mmask16 mask = (__mmask16)((1u << Q::kShifts) - 1);
    for (int r = 0; r < R; r++) {
      const float* sums = Q::kFine ? x.sums16 + (r0 + r) * (x.padded / 16) + unit * 16
                                   : x.sums32 + (r0 + r) * (x.padded / 32) + unit * Q::kShifts;
      acc[r] = fma(_mm512_maskz_mov_ps(mask, h.shifts), _mm512_maskz_loadu_ps(mask, sums), acc[r]);
    }
  }
}

template <class Q, int R>
inline void exactUnit(const uint8_t* p, const GemvInput& x, int64_t unit, int r0, F* acc) {
  const Header h = Q::header(p);
  const __m512i offset = _mm512_set1_epi8(Q::kOffset < 0 ? 0 : (char)(1 << (Q::kOffset < 0 ? 0 : Q::kOffset)));
#pragma GCC unroll 4
  for (int j = 0; j < Q::kSteps; j++) {
    const __m512i codes = _mm512_sub_epi8(Q::codes(p, j), offset);
    const F scale = stepScale<Q>(h, j);
    F w[4];
    w[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_castsi512_si128(codes)));
    w[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(codes, 1)));
    w[2] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(codes, 2)));
    w[3] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(codes, 3)));
    const int64_t at = (unit * Q::kSteps + j) * 64;
    if (Q::kFine) {
      w[0] = mul(w[0], _mm512_shuffle_f32x4(scale, scale, 0x00));
      w[1] = mul(w[1], _mm512_shuffle_f32x4(scale, scale, 0x55));
      w[2] = mul(w[2], _mm512_shuffle_f32x4(scale, scale, 0xaa));
      w[3] = mul(w[3], _mm512_shuffle_f32x4(scale, scale, 0xff));
    } else {
      const F low = _mm512_shuffle_f32x4(scale, scale, 0x00), high = _mm512_shuffle_f32x4(scale, scale, 0xff);
      w[0] = mul(w[0], low);
      w[1] = mul(w[1], low);
      w[2] = mul(w[2], high);
      w[3] = mul(w[3], high);
    }
    for (int r = 0; r < R; r++) {
      const float* row = x.x + (r0 + r) * x.n + at;
      // a pair of blocks may be only half there
      const bool whole = at + 64 <= x.n;
      F low = fma(w[0], load(row), mul(w[1], load(row + 16)));
      if (Q::kSteps == 4 || whole) low = add(low, fma(w[2], load(row + 32), mul(w[3], load(row + 48))));
      acc[r] = add(acc[r], low);
    }
  }
  if (Q::kShifts > 0) {
    const __mmask16 mask = (__mmask16)((1u << Q::kShifts) - 1);
    for (int r = 0; r < R; r++) {
      const float* sums = Q::kFine ? x.sums16 + (r0 + r) * (x.padded / 16) + unit * 16
                                   : x.sums32 + (r0 + r) * (x.padded / 32) + unit * Q::kShifts;
      acc[r] = fma(_mm512_maskz_mov_ps(mask, h.shifts), _mm512_maskz_loadu_ps(mask, sums), acc[r]);
    }
  }
}

template <class Q, int R, bool Fast>
inline void dotRow(const uint8_t* p, const GemvInput& x, int r0, float* out, int64_t stride) {
  F acc[R];
  for (int r = 0; r < R; r++) acc[r] = zero();
  const int64_t units = x.n / (64 * Q::kSteps);
  for (int64_t u = 0; u < units; u++, p += Q::kBytes) {
    for (int line = 0; line < Q::kBytes; line += 64) _mm_prefetch((const char*)p + kAhead + line, _MM_HINT_T0);
    if (Fast) fastUnit<Q, R>(p, x, u, r0, acc);
    else exactUnit<Q, R>(p, x, u, r0, acc);
  }
  if (Q::kSteps == 1 && x.n % 64 != 0) {  // a last single block, beside one of zeros
    uint8_t pair[Q::kBytes] = {0};
    memcpy(pair, p, Q::kBytes / 2);
    if (Fast) fastUnit<Q, R>(pair, x, units, r0, acc);
    else exactUnit<Q, R>(pair, x, units, r0, acc);
  }
  for (int r = 0; r < R; r++) out[r * stride] = sumLanes(acc[r]);
}

template <class Q, bool Fast>
void gemvRows(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride) {
  for (int64_t o = begin; o < end; o++) {
    const uint8_t* p = w.row(o);
    float* y = out + (o - begin);
    int r = 0;
    if (x.rows == 8) {
      dotRow<Q, 8, Fast>(p, x, 0, y, stride);
      continue;
    }
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
  for (int64_t o = begin; o < end; o++) {
    unpackAvx2(w.dtype, w.row(o), x.n, codes, scales, shifts);
    for (int r = 0; r < x.rows; r++) {
      F acc = zero();
      for (int64_t b = 0; b < x.n / 32; b++) {
        const __m256i u = _mm256_xor_si256(load256((const uint8_t*)codes + 32 * b), _mm256_set1_epi8((char)0x80));
        __m256i dot = load256((const uint8_t*)(x.offsets[7] + r * (x.padded / 4) + 8 * b));
        dot = _mm256_dpbusd_epi32(dot, u, load256((const uint8_t*)x.q + r * x.padded + 32 * b));
        const __m256 scale = _mm256_set1_ps(scales[b] * x.d[r * (x.padded / 32) + b]);
        acc = _mm512_add_ps(acc, _mm512_zextps256_ps512(_mm256_mul_ps(_mm256_cvtepi32_ps(dot), scale)));
      }
      out[r * stride + o - begin] = sumLanes(acc);
    }
  }
}

}  // namespace
}  // namespace voxquant
