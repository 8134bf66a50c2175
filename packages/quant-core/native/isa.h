// The table of kernels of one instruction set. Each ISA fills one in its own translation unit, compiled with its own
// flags; everything else calls through the table. ISA files use no C++ library templates and no shared inline
// functions, so that the linker can never pick a copy that the machine cannot run.
#pragma once
#include "int8_cache.h"
#include "types.h"

namespace voxquant {

constexpr int kGemvRows = 8;      // most activation rows that the matrix x vectors kernels take
constexpr int kLaneRows = 4;      // up to this many rows are multiplied one by one
constexpr int kPanelOuts = 48;    // outputs per GEMM panel; a multiple of every tile height
inline int64_t paddedOuts(int64_t outs) { return (outs + kPanelOuts - 1) / kPanelOuts * kPanelOuts; }

// Activations of a matrix x vectors call, all arrays with `rows` rows one after the other.
struct GemvInput {
  int rows;
  int64_t n;        // inputs
  int64_t padded;   // n rounded up to 256: row length of the arrays below; the rest is zero
  const float* x;   // [rows, n] float32, always there
  // fast: x rounded to int8 per 32
  int8_t* q;        // [rows, padded]
  float* d;         // [rows, padded / 32]
  int32_t* quads;   // [rows, padded / 4] sums of 4 codes
  int32_t* offsets[8];  // [rows, padded / 4] each: -(1 << index) * quads, or null where no weight asks for that offset
  // fast, more than kLaneRows rows, where the instruction set has kernels for it: all rows side by side in eight lanes,
  // missing ones zero; else null
  int8_t* laneCodes;    // [padded / 4, 8, 4]
  float* laneD;         // [padded / 32, 8]
  int32_t* laneSums16;  // [padded / 16, 8]: - sum of the group's codes
  int32_t* laneSums32;  // [padded / 32, 8]
  float* laneShifts16;  // [padded / 16, 8]: sums16
  float* laneShifts32;  // [padded / 32, 8]: sums32
  // per group sums of what the kernel multiplies with (d * sum of codes when fast, sum of x when exact)
  float* sums16;    // [rows, padded / 16]
  float* sums32;    // [rows, padded / 32]
};

// Int8 products of many rows. Both sides are int8 codes with a scale per kPanelGroup inputs (the last group of a row may be
// shorter): activations are rounded so once, weights of any quantized type as they are put into a panel. How many bits of a
// code are used, and the order of activations' codes, is up to the level.
constexpr int kPanelGroup = 128;
inline int64_t panelGroups(int64_t k) { return (k + kPanelGroup - 1) / kPanelGroup; }

struct RoundedRows {
  int64_t rows, k;          // k is a multiple of 32
  int8_t* codes;            // [rows, k]
  float* d;                 // [rows, groups]
  int32_t* starts;          // [rows, groups]: what a group's sum of products starts from
};

// Up to kPanelOuts weight rows ("outputs"), side by side in vector lanes; missing ones are zero.
struct Int8Panel {
  int64_t k;
  int outs;
  uint8_t* codes;           // tiles of the level's width one after the other: [k / 4, width, 4]
  float* scales;            // [groups, kPanelOuts]
  int32_t* starts;          // [groups, kPanelOuts]: what is added to the activations' starts, for levels that do so
};

struct Int8Kernels {
  int top;                  // largest magnitude of activations' codes
  void (*round)(const float* x, int64_t k, int8_t* codes, float* d, int32_t* starts);
  // A row of quantized weights to codes [k] and scales [groups]. space: 8 * k bytes.
  void (*coarsen)(const WeightMatrix& w, int64_t row, int8_t* codes, float* scales, void* space);
  // The same of a row of floats, k of them, a multiple of 32.
  void (*coarsenFloats)(const float* x, int64_t k, int8_t* codes, float* scales);
  // codes [outs, k], scales [outs, groups]
  void (*pack)(const int8_t* codes, const float* scales, const Int8Panel& panel);
  // out[row * stride + o] = bias[o] (may be null) + product, for rows [begin, end). Fetches `ahead` meanwhile, which is read next.
  void (*multiply)(const RoundedRows& x, int64_t begin, int64_t end, const Int8Panel& panel, const float* bias, float* out,
                   int64_t stride, const uint8_t* ahead, int64_t aheadBytes);
  // out[i * stride + o] += product of row rows[i] of x, for i < count. out: whole vectors of outputs, kPanelOuts of a full panel.
  void (*multiplyGathered)(const RoundedRows& x, const int32_t* rows, int64_t count, const Int8Panel& panel, float* out, int64_t stride);
};

// Outputs of a bfloat16 tile; their pairs of inputs lie together: [tiles, k / 2, kBf16Outs, 2].
constexpr int kBf16Outs = 12;

// Of AMX tiles instead, where Isa::amxWeights says so: [tiles, k / kAmxInputs, kBf16Outs, kAmxInputs], the last block of
// inputs as narrow as it is.
constexpr int kAmxInputs = 32;

// Rows of a signal, rounded: row t of a convolution's output sees rows t + tap * dilation.
struct ConvInput {
  int64_t channels, kernel, dilation;
  const uint8_t* values;    // [rows, channels] int8 or bfloat16
  // int8 only
  const float* d;           // [rows, channels / 32]
  const int32_t* starts;    // [rows, channels / 32]: -128 * sum of the group's codes
};

// Weights of up to kPanelOuts outputs in vectors of kConvOuts; missing outputs are zero.
constexpr int kConvOuts = 16;
struct ConvPanel {
  int vectors;
  const uint8_t* values;    // [inputs / 4, vectors, kConvOuts, 4] code + 128, or [inputs / 2, vectors, kConvOuts, 2] bfloat16
  const float* scales;      // int8 only: [inputs / 32, vectors, kConvOuts]
};

// Where a panel's outputs go; bias [outs] and residual, laid out as out, may be null.
struct ConvOutput {
  const float *bias, *residual;
  float* out;
  int64_t stride;
  int outs;
};

// Convolutions of rounded signals.
struct ConvKernelsInt8 {
  // x [n], n a multiple of 32, for conv
  void (*round)(const float* x, int64_t n, int8_t* codes, float* d, int32_t* starts);
  // One vector of a panel: up to kConvOuts rows of k inputs, a multiple of 32, with scales [k / 32] each.
  void (*pack)(const int8_t* codes, const float* scales, int outs, int64_t k, int vectors, uint8_t* to, float* toScales);
  void (*conv)(const ConvInput& x, const ConvPanel& w, int rows, const ConvOutput& to);
};
struct ConvKernelsBf16 {  // of an even number of channels
  void (*pack)(const uint16_t* rows, int outs, int64_t k, int vectors, uint8_t* to);
  void (*conv)(const ConvInput& x, const ConvPanel& w, int rows, const ConvOutput& to);
};

enum Act : int32_t { kActNone = 0, kActGelu = 1, kActSilu = 2 };

struct Isa {
  const char* name;
  int lanes;        // activation rows per packed GEMM block
  bool rowLanes;    // gemvFast wants the lane arrays of GemvInput

  // One row (or part of it, whole blocks): int8 codes, scales and shifts per group.
  void (*unpack)(int32_t dtype, const uint8_t* src, int64_t n, int8_t* codes, float* scales, float* shifts);
  void (*dequantize)(int32_t dtype, const uint8_t* src, int64_t n, float* out);

  // Matrix x vectors: out[row * stride + o - begin] for weight rows begin <= o < end. scratch: 8 * padded bytes.
  void (*gemvExact)(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch);
  void (*gemvFast)(const WeightMatrix& w, int64_t begin, int64_t end, const GemvInput& x, float* out, int64_t stride, void* scratch);
  // Rounds x [n] to q, d, quads, sums (padded parts zeroed); RNE(x * 127 / amax), d = amax / 127.
  void (*quantizeRow)(const float* x, int64_t n, int64_t padded, int8_t* q, float* d, int32_t* quads, float* sums16, float* sums32);

  // GEMM with activation rows in vector lanes: c[o, lane] (+)= sum over k of a[k, lane] * w[o * outStride + k * kStride].
  // rows: lanes in use.
  void (*packF32)(const float* x, int64_t stride, int rows, int64_t k, float* a);
  void (*tileF32)(const float* a, int64_t k, const float* w, int64_t outStride, int64_t kStride, int outs, int rows, float* c, bool accumulate);
  // null where the instruction set has no gain from them
  void (*packBf16)(const float* x, int64_t stride, int rows, int64_t k, uint16_t* a);  // [k / 2, lanes, 2]
  void (*toBf16)(const float* x, int64_t n, uint16_t* out);
  // w: tiles one after the other, tileStride values apart; outs: whole tiles
  void (*tileBf16)(const uint16_t* a, int64_t k, const uint16_t* w, int64_t tileStride, int outs, int rows, float* c, bool accumulate);
  // out[lane * stride + o] = act(c[o, lane] + bias[o])
  void (*storeTile)(const float* c, int outs, int rows, const float* bias, int32_t act, float* out, int64_t stride);

  void (*add)(const float* a, const float* b, int64_t n, float* out);
  void (*siluMul)(const float* gate, const float* up, int64_t n, float* out);
  void (*gelu)(const float* x, int64_t n, float* out);
  void (*silu)(const float* x, int64_t n, float* out);
  void (*rmsNorm)(const float* x, const float* residual, const float* gamma, float eps, int64_t n, float* sum, float* out);
  void (*layerNorm)(const float* x, const float* residual, const float* gamma, const float* beta, float eps, int64_t n, float* sum, float* out);
  // x, out [headDim]; cosSin [headDim]: cosines, then sines. gamma may be null.
  void (*normRope)(const float* x, const float* gamma, const float* cosSin, float eps, int64_t headDim, float* out);
  // Online softmax over `keys` score rows s [keys, lanes]: updates running max m and sum l [lanes], turns s into weights,
  // and gives the factor for what was accumulated before. visible[lane]: keys that the lane may see (null: all).
  void (*softmaxTile)(float* s, int keys, const int64_t* visible, float* m, float* l, float* factor);
  void (*scaleTile)(float* c, int64_t n, const float* factor);  // c [n, lanes] *= factor [lanes]
  // One token's query heads of a group against keys and values [tokens, stride]: out [group, headDim]
  void (*attendToken)(const float* q, const float* keys, const float* values, int64_t tokens, int64_t stride, int group, int64_t headDim, float scale, float* out);
  // `count` vectors [headDim], `stride` floats apart, to the positions of a head of an 8-bit cache; one with a value that is
  // not finite becomes NaN
  void (*storeKeys)(const float* x, int64_t stride, int64_t count, int64_t headDim, uint8_t* keys, int64_t position);
  void (*storeValues)(const float* x, int64_t stride, int64_t count, int64_t headDim, uint8_t* values, int64_t position);
  void (*attendInt8)(const Int8Attention& attention);
  void (*snake)(const float* x, const float* alpha, const float* inverseBeta, int64_t n, float* out);  // x + sin^2(x * alpha) * inverseBeta
  void (*addScaled)(const float* x, const float* y, const float* scale, int64_t n, float* out);        // x + scale * y; out may be x
  void (*coarseGelu)(const float* x, int64_t n, float* out);  // for what is rounded to eight bits
  // out[i * stride + o] = act(filter[0, o] + sum of patches[i, j] * filter[1 + j, o]); filter [1 + k, paddedOuts(outs)]: the
  // biases, then an input after the other. coarse: activations as coarseGelu.
  void (*fewInputs)(const float* patches, int64_t count, int64_t k, const float* filter, int outs, int32_t act, bool coarse, float* out, int64_t stride);
  // Weights for tileBf16, null where that is: up to kBf16Outs rows of k floats, missing ones zero
  void (*packTileBf16)(const float* w, int64_t stride, int outs, int64_t k, uint16_t* tile);
  bool amxWeights;  // tileBf16 wants its weights in blocks of kAmxInputs
  // null where the instruction set has no gain from them
  const Int8Kernels* int8 = nullptr;
  const ConvKernelsInt8* convInt8 = nullptr;
  const ConvKernelsBf16* convBf16 = nullptr;
};

const Isa* isaBaseline();
#if defined(__x86_64__)
const Isa* isaAvx2();
const Isa* isaAvxVnni();     // AVX2 with 256-bit dot products
const Isa* isaAvx512();      // F, BW, DQ, VL, VNNI
const Isa* isaAvx512Bf16();  // the same with BF16 tiles
const Isa* isaAvx512Pairs(); // the same with int8 products in pairs of inputs
const Isa* isaAmx();         // BF16's with AMX tiles
bool requestAmx();           // whether the operating system lets this process use them
#if defined(VOXQUANT_KERNEL_CHECK)
// The same levels for machines without their instructions.
const Isa* isaAvxVnniOfAvx512();
const Isa* isaPlainAmx();
#endif
void unpackAvx2(int32_t dtype, const uint8_t* src, int64_t n, int8_t* codes, float* scales, float* shifts);
void dequantizeAvx2(int32_t dtype, const uint8_t* src, int64_t n, float* out);
#elif defined(__aarch64__)
const Isa* isaNeon();
const Isa* isaNeonDotprod();
const Isa* isaNeonI8mm();  // with dot products
#endif

}  // namespace voxquant
