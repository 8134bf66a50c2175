// AMX: the table of AVX-512 BF16 with bfloat16 tiles for all many-row products, dense and quantized.
//
// Quantized weights go through bfloat16 too, not int8: int8 sums would leave the tile registers after every two products,
// where the scale of 128 inputs changes, while float32 sums stay there to the end.
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

// Which tile registers hold what: sums of two halves of the lanes, weights, activations; the last three with the shape of
// an incomplete block of inputs.
enum Register { kSums0, kSums1, kWeights, kInputs0, kInputs1, kLastWeights, kLastInputs0, kLastInputs1 };

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t rowBytes[16] = {};
  uint8_t rows[16] = {};

  void shape(int tile, int rowCount, int bytes) {
    rows[tile] = (uint8_t)rowCount;
    rowBytes[tile] = (uint16_t)bytes;
  }
};

#if defined(VOXQUANT_KERNEL_CHECK)

// The tile instructions in plain arithmetic, for machines without them (Intel SDM, TDPBF16PS).
struct Tiles {
  TileConfig config;
  uint8_t data[8][1024];

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
  template <int C, int A, int B>
  void multiply() {
    for (int m = 0; m < config.rows[C]; m++)
      for (int pair = 0; pair < config.rowBytes[A] / 4; pair++)
        for (int n = 0; n < config.rowBytes[C] / 4; n++) {
          float sum;
          memcpy(&sum, data[C] + 64 * m + 4 * n, 4);
          for (int i = 0; i < 2; i++) sum += value(data[A] + 64 * m + 4 * pair + 2 * i) * value(data[B] + 64 * pair + 4 * n + 2 * i);
          memcpy(data[C] + 64 * m + 4 * n, &sum, 4);
        }
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

#else

struct Tiles {
  void configure(const TileConfig& next) { _tile_loadconfig(&next); }
  void release() { _tile_release(); }
  template <int T>
  void clear();
  template <int T>
  void load(const void* from, int64_t stride);
  template <int T>
  void store(void* to, int64_t stride);
  template <int C, int A, int B>
  void multiply();
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
VOXQUANT_MULTIPLY(0, 2, 3)
VOXQUANT_MULTIPLY(1, 2, 4)
VOXQUANT_MULTIPLY(0, 5, 6)
VOXQUANT_MULTIPLY(1, 5, 7)
#undef VOXQUANT_LOAD
#undef VOXQUANT_SUMS
#undef VOXQUANT_MULTIPLY

#endif

// Two: whether lanes 16 … 31 are used. a [k / 2, lanes, 2]; w in the layout of placeBf16: [k / kBlock, kBf16Outs, kBlock],
// the last block as narrow as it is.
template <bool Two>
inline void tile(Tiles& tiles, const uint16_t* a, int64_t k, const uint16_t* w, float* c, bool accumulate) {
  constexpr int64_t kRow = kLanes * 4;  // bytes of a row of c, and of a pair of inputs
  if (accumulate) {
    tiles.load<kSums0>(c, kRow);
    if (Two) tiles.load<kSums1>(c + 16, kRow);
  } else {
    tiles.clear<kSums0>();
    if (Two) tiles.clear<kSums1>();
  }
  int64_t i = 0;
  for (; i + kBlock <= k; i += kBlock) {
    tiles.load<kWeights>(w + i * kBf16Outs, 2 * kBlock);
    tiles.load<kInputs0>(a + i * kLanes, kRow);
    tiles.multiply<kSums0, kWeights, kInputs0>();
    if (Two) {
      tiles.load<kInputs1>(a + i * kLanes + 32, kRow);
      tiles.multiply<kSums1, kWeights, kInputs1>();
    }
  }
  if (i < k) {
    tiles.load<kLastWeights>(w + i * kBf16Outs, 2 * (k - i));
    tiles.load<kLastInputs0>(a + i * kLanes, kRow);
    tiles.multiply<kSums0, kLastWeights, kLastInputs0>();
    if (Two) {
      tiles.load<kLastInputs1>(a + i * kLanes + 32, kRow);
      tiles.multiply<kSums1, kLastWeights, kLastInputs1>();
    }
  }
  tiles.store<kSums0>(c, kRow);
  if (Two) tiles.store<kSums1>(c + 16, kRow);
}

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

}  // namespace

// Linux gives the tile registers' state to a process that asks.
bool requestAmx() {
#if defined(VOXQUANT_KERNEL_CHECK)
  return true;
#elif defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

const Isa* isaAmx() {
  static const Isa table = [] {
    Isa t = *isaAvx512Bf16();
    t.name = "amx";
    t.tileBf16 = tileBf16;
    t.packTileBf16 = packTileBf16;
    t.amxWeights = true;
    t.int8 = nullptr;
    return t;
  }();
  return &table;
}

}  // namespace voxquant

#endif
