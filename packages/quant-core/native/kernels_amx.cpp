// AMX: the table of AVX-512 BF16 with tiles for products of many rows: int8 of quantized weights, bfloat16 of dense ones.
//
// Int8 products take the panels of AVX-512 as they are, and give the same bits.
#include "isa.h"

#if defined(VOXQUANT_LEVEL_MISSING)

namespace voxquant {
bool requestAmx() { return false; }
const Isa* isaAmx() { return nullptr; }
}  // namespace voxquant

#else

#include "vectors_avx512.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace voxquant {

const Isa* isaAvx512Bf16();

namespace {

constexpr int kLanes = W * kVectors;
constexpr int kBlock = kAmxInputs;  // inputs of a tile: 64 bytes of bfloat16
constexpr int kTileRows = 16, kTileBytes = 64;

// Which tile registers hold what in products of bfloat16: sums of two halves of the lanes, weights, activations; the last
// three with the shape of an incomplete block of inputs.
enum Register { kSums0, kSums1, kWeights, kInputs0, kInputs1, kLastWeights, kLastInputs0, kLastInputs1 };

// And of int8: sums of up to three vectors of outputs, activations, weights.
enum Int8Register { kDot0, kDot1, kDot2, kRows, kColumns0, kColumns1, kColumns2 };

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {};
  uint8_t rows[16] = {};

  void shape(int tile, int rowCount, int bytes) {
    rows[tile] = (uint8_t)rowCount;
    rowBytes[tile] = (uint16_t)bytes;
  }
};

struct Tiles {
  void configure(const TileConfig& next) {
    asm volatile("" : : "r"(&next) : "memory");  // GCC takes the instruction to read eight bytes of it
    _tile_loadconfig(&next);
  }
  void release() { _tile_release(); }
  template <int T>
  void clear();
  template <int T>
  void load(const void* from, int64_t stride);
  template <int T>
  void store(void* to, int64_t stride);
  template <int C, int A, int B>
  void multiply();  // bfloat16
  template <int C, int A, int B>
  void multiplyInt8();  // signed A, unsigned B
};

// The intrinsics want literal register numbers.
#define VOXQUANT_LOAD(T)                                            \
  template <>                                                       \
  inline void Tiles::load<T>(const void* from, int64_t stride) {    \
    _tile_loadd(T, from, stride);                                   \
  }
#define VOXQUANT_SUMS(T)                                            \
  template <>                                                       \
  inline void Tiles::clear<T>() {                                   \
    _tile_zero(T);                                                  \
  }                                                                 \
  template <>                                                       \
  inline void Tiles::store<T>(void* to, int64_t stride) {           \
    _tile_stored(T, to, stride);                                    \
  }
#define VOXQUANT_MULTIPLY(C, A, B)                                  \
  template <>                                                       \
  inline void Tiles::multiply<C, A, B>() {                          \
    _tile_dpbf16ps(C, A, B);                                        \
  }
#define VOXQUANT_MULTIPLY_INT8(C, A, B)                             \
  template <>                                                       \
  inline void Tiles::multiplyInt8<C, A, B>() {                      \
    _tile_dpbsud(C, A, B);                                          \
  }
VOXQUANT_LOAD(0)
VOXQUANT_LOAD(1)
VOXQUANT_LOAD(2)
VOXQUANT_LOAD(3)
VOXQUANT_LOAD(4)
VOXQUANT_LOAD(5)
VOXQUANT_LOAD(6)
VOXQUANT_LOAD(7)
VOXQUANT_SUMS(0)
VOXQUANT_SUMS(1)
VOXQUANT_SUMS(2)
VOXQUANT_MULTIPLY(0, 2, 3)
VOXQUANT_MULTIPLY(1, 2, 4)
VOXQUANT_MULTIPLY(0, 5, 6)
VOXQUANT_MULTIPLY(1, 5, 7)
VOXQUANT_MULTIPLY_INT8(0, 3, 4)
VOXQUANT_MULTIPLY_INT8(1, 3, 5)
VOXQUANT_MULTIPLY_INT8(2, 3, 6)
#undef VOXQUANT_LOAD
#undef VOXQUANT_SUMS
#undef VOXQUANT_MULTIPLY
#undef VOXQUANT_MULTIPLY_INT8

#if defined(VOXQUANT_KERNEL_CHECK)

// The tile instructions in plain arithmetic, for machines without them (Intel SDM, TDPBF16PS, TDPBSUD).
struct PlainTiles {
  TileConfig config;
  uint8_t data[8][kTileRows * kTileBytes];

  void configure(const TileConfig& next) { config = next; }
  void release() {}
  template <int T>
  void clear() {
    memset(data[T], 0, sizeof data[T]);
  }
  template <int T>
  void load(const void* from, int64_t stride) {
    for (int r = 0; r < config.rows[T]; r++) memcpy(data[T] + 64 * r, (const uint8_t*)from + r * stride, config.rowBytes[T]);
  }
  template <int T>
  void store(void* to, int64_t stride) {
    for (int r = 0; r < config.rows[T]; r++) memcpy((uint8_t*)to + r * stride, data[T] + 64 * r, config.rowBytes[T]);
  }
  // sum(c, a, b) adds to c the product of four bytes of a row and four of a column.
  template <int C, int A, int B, class Value, class Sum>
  void multiplyQuads(Sum&& sum) {
    for (int m = 0; m < config.rows[C]; m++)
      for (int quad = 0; quad < config.rowBytes[A] / 4; quad++)
        for (int n = 0; n < config.rowBytes[C] / 4; n++) {
          uint8_t* const at = data[C] + 64 * m + 4 * n;
          Value c;
          memcpy(&c, at, 4);
          c = sum(c, data[A] + 64 * m + 4 * quad, data[B] + 64 * quad + 4 * n);
          memcpy(at, &c, 4);
        }
  }
  template <int C, int A, int B>
  void multiply() {
    multiplyQuads<C, A, B, float>([](float c, const uint8_t* a, const uint8_t* b) {
      for (int i = 0; i < 4; i += 2) c += value(a + i) * value(b + i);
      return c;
    });
  }
  template <int C, int A, int B>
  void multiplyInt8() {
    multiplyQuads<C, A, B, int32_t>([](int32_t c, const uint8_t* a, const uint8_t* b) {
      for (int i = 0; i < 4; i++) c += (int8_t)a[i] * b[i];
      return c;
    });
  }
  static float value(const uint8_t* p) {
    uint16_t half;
    memcpy(&half, p, 2);
    const uint32_t bits = (uint32_t)half << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
  }
};

#endif

// Two: whether lanes 16 … 31 are used. a [k / 2, lanes, 2]; w in the layout of placeBf16: [k / kBlock, kBf16Outs, kBlock],
// the last block as narrow as it is.
template <bool Two, class Tiles>
inline void tile(Tiles& tiles, const uint16_t* a, int64_t k, const uint16_t* w, float* c, bool accumulate) {
  constexpr int64_t kRow = kLanes * 4;  // bytes of a row of c, and of a pair of inputs
  if (accumulate) {
    tiles.template load<kSums0>(c, kRow);
    if (Two) tiles.template load<kSums1>(c + 16, kRow);
  } else {
    tiles.template clear<kSums0>();
    if (Two) tiles.template clear<kSums1>();
  }
  int64_t i = 0;
  for (; i + kBlock <= k; i += kBlock) {
    tiles.template load<kWeights>(w + i * kBf16Outs, 2 * kBlock);
    tiles.template load<kInputs0>(a + i * kLanes, kRow);
    tiles.template multiply<kSums0, kWeights, kInputs0>();
    if (Two) {
      tiles.template load<kInputs1>(a + i * kLanes + 32, kRow);
      tiles.template multiply<kSums1, kWeights, kInputs1>();
    }
  }
  if (i < k) {
    tiles.template load<kLastWeights>(w + i * kBf16Outs, 2 * (k - i));
    tiles.template load<kLastInputs0>(a + i * kLanes, kRow);
    tiles.template multiply<kSums0, kLastWeights, kLastInputs0>();
    if (Two) {
      tiles.template load<kLastInputs1>(a + i * kLanes + 32, kRow);
      tiles.template multiply<kSums1, kLastWeights, kLastInputs1>();
    }
  }
  tiles.template store<kSums0>(c, kRow);
  if (Two) tiles.template store<kSums1>(c + 16, kRow);
}

template <class Tiles>
void tileBf16(const uint16_t* a, int64_t k, const uint16_t* w, int64_t tileStride, int outs, int rows, float* c, bool accumulate) {
  k = (k + 1) / 2 * 2;
  const int last = (int)(k % kBlock);
  TileConfig config;
  for (int half = 0; half < 2; half++) config.shape(kSums0 + half, kBf16Outs, 64);
  config.shape(kWeights, kBf16Outs, 2 * kBlock);
  for (int half = 0; half < 2; half++) config.shape(kInputs0 + half, kBlock / 2, 64);
  if (last) {
    config.shape(kLastWeights, kBf16Outs, 2 * last);
    for (int half = 0; half < 2; half++) config.shape(kLastInputs0 + half, last / 2, 64);
  }
  Tiles tiles;
  tiles.configure(config);
  for (int o = 0; o < outs; o += kBf16Outs) {
    const uint16_t* weights = w + o / kBf16Outs * tileStride;
    if (rows <= W) tile<false>(tiles, a, k, weights, c + o * kLanes, accumulate);
    else tile<true>(tiles, a, k, weights, c + o * kLanes, accumulate);
  }
  tiles.release();
}

void packTileBf16(const float* w, int64_t stride, int outs, int64_t k, uint16_t* tile) {
  const Isa* level = isaAvx512Bf16();
  const int64_t padded = (k + 1) / 2 * 2;
  for (int64_t i = 0; i < padded; i += kBlock) {
    const int64_t width = padded - i < kBlock ? padded - i : kBlock, count = k - i < width ? k - i : width;
    for (int o = 0; o < kBf16Outs; o++) {
      uint16_t* to = tile + i * kBf16Outs + o * width;
      if (o < outs) level->toBf16(w + o * stride + i, count, to);
      else memset(to, 0, 2 * (size_t)count);
      if (count < width) to[count] = 0;
    }
  }
}

// Sums of up to 16 rows and V vectors of outputs; dot is space for as many products of a group.
template <int V, class Tiles>
inline void multiplyTile(Tiles& tiles, int step, int rows, const RoundedRows& x, int64_t row, const uint8_t* weights, const float* scales, const float* bias,
                         int32_t* dot, float* sums) {
  constexpr int kWidth = V * W;
  const int64_t groups = panelGroups(x.k);
  const int8_t* codes = x.codes + row * x.k;
  const float* d = x.d + row * groups;
  const int32_t* starts = x.starts + row * groups;
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < V; v++) store(sums + r * kWidth + v * W, load(bias + v * W));
  for (int64_t g = 0; g < groups; g++) {
    const int64_t begin = g * kPanelGroup, end = begin + kPanelGroup < x.k ? begin + kPanelGroup : x.k;
    tiles.template clear<kDot0>();
    if (V > 1) tiles.template clear<kDot1>();
    if (V > 2) tiles.template clear<kDot2>();
    for (int64_t i = begin; i < end; i += step) {
      const uint8_t* columns = weights + i * kWidth;
      tiles.template load<kRows>(codes + i, x.k);
      tiles.template load<kColumns0>(columns, kWidth * 4);
      tiles.template multiplyInt8<kDot0, kRows, kColumns0>();
      if (V > 1) {
        tiles.template load<kColumns1>(columns + 4 * W, kWidth * 4);
        tiles.template multiplyInt8<kDot1, kRows, kColumns1>();
      }
      if (V > 2) {
        tiles.template load<kColumns2>(columns + 8 * W, kWidth * 4);
        tiles.template multiplyInt8<kDot2, kRows, kColumns2>();
      }
    }
    tiles.template store<kDot0>(dot, kWidth * 4);
    if (V > 1) tiles.template store<kDot1>(dot + W, kWidth * 4);
    if (V > 2) tiles.template store<kDot2>(dot + 2 * W, kWidth * 4);
    F scale[V];
    for (int v = 0; v < V; v++) scale[v] = load(scales + g * kPanelOuts + v * W);
    for (int r = 0; r < rows; r++) {
      const F size = splat(d[r * groups + g]);
      const __m512i start = _mm512_set1_epi32(starts[r * groups + g]);
      for (int v = 0; v < V; v++) {
        const F product = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_loadu_si512(dot + r * kWidth + v * W), start));
        float* const sum = sums + r * kWidth + v * W;
        store(sum, fma(product, mul(size, scale[v]), load(sum)));
      }
    }
  }
}

// Int8Kernels::multiply. A tile of weights is one vector of outputs of AVX-512's panel.
template <class Tiles>
void multiplyPanel(const RoundedRows& x, int64_t begin, int64_t end, const Int8Panel& panel, const float* bias, float* out, int64_t stride,
                   const uint8_t* ahead, int64_t aheadBytes) {
  constexpr int kVectorsMost = kPanelOuts / W;
  static_assert(kVectorsMost == 3, "a panel is one tile of AVX-512, with a register for each vector");
  alignas(64) int32_t dot[kTileRows * kPanelOuts];
  alignas(64) float sums[kTileRows * kPanelOuts], biases[kPanelOuts] = {};
  if (bias) memcpy(biases, bias, sizeof(float) * (size_t)panel.outs);
  const int64_t blocks = (end - begin + kTileRows - 1) / kTileRows, share = (aheadBytes / blocks + 63) / 64 * 64;
  const uint8_t* const aheadEnd = ahead + aheadBytes;
  const int vectors = (panel.outs + W - 1) / W, width = vectors * W;
  const int step = x.k % kTileBytes == 0 ? kTileBytes : 32;
  Tiles tiles;
  int configured = 0;
  for (int64_t row = begin; row < end; row += kTileRows) {
    const int rows = end - row < kTileRows ? (int)(end - row) : kTileRows;
    for (int64_t line = 0; line < share && ahead < aheadEnd; line += 64, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    if (rows != configured) {
      TileConfig config;
      for (int v = 0; v < kVectorsMost; v++) {
        config.shape(kDot0 + v, rows, kTileBytes);
        config.shape(kColumns0 + v, step / 4, kTileBytes);
      }
      config.shape(kRows, rows, step);
      tiles.configure(config);
      configured = rows;
    }
    switch (vectors) {
      case 1: multiplyTile<1>(tiles, step, rows, x, row, panel.codes, panel.scales, biases, dot, sums); break;
      case 2: multiplyTile<2>(tiles, step, rows, x, row, panel.codes, panel.scales, biases, dot, sums); break;
      default: multiplyTile<3>(tiles, step, rows, x, row, panel.codes, panel.scales, biases, dot, sums);
    }
    for (int r = 0; r < rows; r++) memcpy(out + (row - begin + r) * stride, sums + r * width, sizeof(float) * (size_t)panel.outs);
  }
  tiles.release();
}

template <class Tiles>
const Isa* tableOf() {
  static const Int8Kernels int8 = [] {
    Int8Kernels kernels = *isaAvx512Bf16()->int8;
    kernels.multiply = multiplyPanel<Tiles>;
    return kernels;
  }();
  static const Isa table = [] {
    Isa t = *isaAvx512Bf16();
    t.name = "amx";
    t.tileBf16 = tileBf16<Tiles>;
    t.packTileBf16 = packTileBf16;
    t.amxWeights = true;
    t.int8 = &int8;
    return t;
  }();
  return &table;
}

}  // namespace

// Linux gives the tile registers' state to a process that asks.
bool requestAmx() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

const Isa* isaAmx() { return tableOf<Tiles>(); }

#if defined(VOXQUANT_KERNEL_CHECK)
const Isa* isaPlainAmx() { return tableOf<PlainTiles>(); }
#endif

}  // namespace voxquant

#endif
