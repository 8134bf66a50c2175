// Checks every instruction set level of the machine (or the emulator) against plain arithmetic in double precision; the
// levels AVX-VNNI and AMX also without their instructions, by AVX-512's dot products and in plain arithmetic:
//
//   kernel_check [VECTORS]
//   kernel_check --levels      names the levels after the self-check alone
//
// VECTORS: dot products of the ggml goldens, written by kernel-check.test.ts: per case int32 dtype, int32 n, f32 x [n],
// int32 bytes, row, f64 expected, f64 tolerance. Prints a line per level; exits with 1 if anything differs.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "../attention.h"
#include "../causal_conv.h"
#include "../conv.h"
#include "../dispatch.h"
#include "../elementwise.h"
#include "../linear.h"
#include "../quantize.h"
#include "../rope.h"
#include "../thread_pool.h"

using namespace voxquant;

namespace {

int failures = 0, checks = 0;
uint32_t state = 1;

float uniform() {  // -1 … 1
  state = state * 1664525u + 1013904223u;
  return (float)(int32_t)state * 0x1p-31f;
}

std::vector<float> randoms(int64_t n, float size = 1.0f) {
  std::vector<float> values((size_t)n);
  for (float& value : values) {
    const float u = uniform();
    value = size * u * u * u * 2.0f;  // some large, many small
  }
  return values;
}

void expectClose(const std::string& what, const std::vector<float>& got, const std::vector<double>& wanted, const std::vector<double>& limit) {
  checks++;
  for (size_t i = 0; i < got.size(); i++) {
    if (fabs(got[i] - wanted[i]) <= limit[i]) continue;
    printf("FAILED %s: element %zu is %.9g, expected %.9g within %.3g\n", what.c_str(), i, (double)got[i], wanted[i], limit[i]);
    failures++;
    return;
  }
}

struct Matrix {
  WeightMatrix weight;
  std::vector<uint8_t> bytes;
  std::vector<float> values;  // dequantized
};

Matrix randomMatrix(int32_t dtype, int64_t out, int64_t in) {
  const TypeTraits* traits = traitsOf(dtype);
  Matrix m;
  const int64_t rowBytes = in / traits->block * traits->bytes;
  m.bytes.resize((size_t)(out * rowBytes));
  m.values.resize((size_t)(out * in));
  for (int64_t o = 0; o < out; o++) {
    const std::vector<float> row = randoms(in, 0.2f);
    if (dtype == F32) memcpy(m.bytes.data() + o * rowBytes, row.data(), (size_t)rowBytes);
    else encode_row((uint32_t)dtype, row.data(), (size_t)in, nullptr, m.bytes.data() + o * rowBytes);
    isaBaseline()->dequantize(dtype, m.bytes.data() + o * rowBytes, in, m.values.data() + o * in);
  }
  m.weight = {dtype, out, in, m.bytes.data(), rowBytes, traits};
  return m;
}

// Largest magnitude of each `group` values of a row.
std::vector<double> groupTops(const float* row, int64_t n, int64_t group) {
  std::vector<double> tops((size_t)((n + group - 1) / group), 0.0);
  for (int64_t i = 0; i < n; i++) tops[(size_t)(i / group)] = fmax(tops[(size_t)(i / group)], fabs(row[i]));
  return tops;
}

// Rounding of one activation changes a product by at most half its step: amax / 254 per group of inputs (int8; amax / 126 where
// codes have seven bits), 2^-9 (bfloat16 of both factors). Int8 products of many rows round weights too, whose step may be a
// little larger than their largest magnitude asks for. A little is added for the sums.
void checkLinear(const std::string& level, const Matrix& m, int64_t rows, bool fast) {
  const int64_t in = m.weight.in, out = m.weight.out;
  const std::vector<float> x = randoms(rows * in), bias = randoms(out);
  std::vector<float> got((size_t)(rows * out));
  const float* biases[1] = {bias.data()};
  float* outs[1] = {got.data()};
  linear(x.data(), rows, 1, &m.weight, biases, outs, fast);
  std::vector<double> wanted(got.size()), limit(got.size());
  const bool dense = m.weight.traits->group == 0, panels = !dense && rows > kGemvRows && isa().int8;
  const int64_t group = panels ? kPanelGroup : 32;
  const double halfStep = 1 / (2.0 * (panels ? isa().int8->top : 127) - 1);
  for (int64_t r = 0; r < rows; r++) {
    const std::vector<double> tops = groupTops(x.data() + r * in, in, group);
    for (int64_t o = 0; o < out; o++) {
      const float* row = m.values.data() + o * in;
      const std::vector<double> weightTops = groupTops(row, in, group);
      double sum = bias[(size_t)o], size = fabs(sum), slack = 0;
      for (int64_t i = 0; i < in; i++) {
        const double w = row[i], p = w * x[(size_t)(r * in + i)];
        sum += p;
        size += fabs(p);
        slack += dense ? fabs(p) / 120 : fabs(w) * tops[(size_t)(i / group)] * halfStep;
        if (panels) slack += 1.3 * fabs(x[(size_t)(r * in + i)]) * weightTops[(size_t)(i / group)] * halfStep;
      }
      wanted[(size_t)(r * out + o)] = sum;
      limit[(size_t)(r * out + o)] = 4e-6 * size + (fast ? slack : 0);
    }
  }
  expectClose(level + " linear type " + std::to_string(m.weight.dtype) + " [" + std::to_string(out) + ", " + std::to_string(in) + "] rows " +
                  std::to_string(rows) + (fast ? " fast" : " exact"),
              got, wanted, limit);
}

void checkRowsAlone(const std::string& level, const Matrix& m) {
  // a row's result does not depend on the rows beside it
  const int64_t in = m.weight.in, out = m.weight.out, rows = 5;
  const std::vector<float> x = randoms(rows * in);
  std::vector<float> together((size_t)(rows * out)), alone((size_t)out);
  const float* none[1] = {nullptr};
  for (bool fast : {false, true}) {
    float* outs[1] = {together.data()};
    linear(x.data(), rows, 1, &m.weight, none, outs, fast);
    for (int64_t r = 0; r < rows; r++) {
      float* one[1] = {alone.data()};
      linear(x.data() + r * in, 1, 1, &m.weight, none, one, fast);
      const std::vector<double> wanted(together.begin() + r * out, together.begin() + (r + 1) * out), zero((size_t)out, 0.0);
      expectClose(level + " row alone, type " + std::to_string(m.weight.dtype) + (fast ? " fast" : " exact"), alone, wanted, zero);
    }
  }
}

// Products of tiles sum the same integers as dot products do.
void checkSameAs(const char* other, const Matrix& m, int64_t rows) {
  const int64_t in = m.weight.in, out = m.weight.out;
  const std::vector<float> x = randoms(rows * in);
  std::vector<float> got((size_t)(rows * out)), expected(got.size());
  const float* none[1] = {nullptr};
  const std::string level = isa().name;
  for (std::vector<float>* result : {&expected, &got}) {
    float* outs[1] = {result->data()};
    setIsa(result == &got ? level.c_str() : other);
    linear(x.data(), rows, 1, &m.weight, none, outs, true);
  }
  expectClose(level + " as " + other + ", type " + std::to_string(m.weight.dtype) + " rows " + std::to_string(rows), got,
              std::vector<double>(expected.begin(), expected.end()), std::vector<double>(got.size(), 0.0));
}

// A position's vector out of a head of an 8-bit cache.
std::vector<double> fromInt8(const std::vector<uint8_t>& cache, int64_t head, int64_t capacity, int64_t headDim, int64_t t, bool key) {
  const CacheLayout layout(headDim);
  const uint8_t* block = cache.data() + head * layout.headBytes(capacity) + t / kCacheBlock * layout.blockBytes;
  const int64_t at = t % kCacheBlock;
  std::vector<double> x((size_t)headDim);
  for (int64_t i = 0; i < headDim; i++) {
    const int code = key ? block[(i / 4 * kCacheBlock + at) * 4 + i % 4] - 128 : (int8_t)block[(at / 2 * layout.padded + i) * 2 + at % 2];
    float scale;
    const uint8_t* bits = block + layout.codeBytes + (i / kCacheGroup * kCacheBlock + at) * 2;
    const uint32_t wide = (uint32_t)(bits[0] | bits[1] << 8) << 16;
    memcpy(&scale, &wide, 4);
    x[(size_t)i] = code * (double)scale;
  }
  return x;
}

// The largest magnitude of the group of channel i.
float groupLargest(const float* x, int64_t headDim, int64_t i) {
  const int64_t first = i / kCacheGroup * kCacheGroup;
  float top = 0;
  for (int64_t j = first; j < headDim && j < first + kCacheGroup; j++) top = fmaxf(top, fabsf(x[j]));
  return top;
}

// What attendInt8 makes of a query vector.
std::vector<double> roundedQuery(const float* q, int64_t headDim) {
  std::vector<double> x((size_t)headDim);
  for (int64_t i = 0; i < headDim; i++) {
    const float top = groupLargest(q, headDim, i);
    x[(size_t)i] = nearbyintf(q[i] * (127.0f / top)) * (double)(top / 127.0f);
  }
  return x;
}

struct AttentionShape {
  int64_t heads, kvHeads, headDim;
};

void checkAttention(const std::string& level, const AttentionShape& shape, int64_t before, int64_t rows, bool int8, int64_t window) {
  const int64_t heads = shape.heads, kvHeads = shape.kvHeads, headDim = shape.headDim, capacity = before + rows + 3, all = before + rows;
  const std::vector<float> k = randoms(all * kvHeads * headDim), v = randoms(all * kvHeads * headDim), q = randoms(all * heads * headDim);
  const size_t size = (size_t)(kvHeads * (int8 ? CacheLayout(headDim).headBytes(capacity) : capacity * headDim * 4));
  std::vector<uint8_t> keys(size, 0x7f), values(size, 0x7f);  // what was not written is not to be used
  const float scale = 1.0f / sqrtf((float)headDim);
  std::vector<float> first((size_t)(before * heads * headDim)), got((size_t)(rows * heads * headDim)), alone(got.size());
  auto attend = [&](int64_t begin, int64_t count, float* out) {
    AttentionSegment segment = {};
    segment.keys = keys.data();
    segment.values = values.data();
    segment.int8 = int8;
    segment.count = count;
    segment.position = begin;
    segment.capacity = capacity;
    cachedAttention(q.data() + begin * heads * headDim, k.data() + begin * kvHeads * headDim, v.data() + begin * kvHeads * headDim, &segment, 1,
                    heads, kvHeads, headDim, scale, out, window);
  };
  attend(0, before, first.data());
  attend(before, rows, got.data());
  const std::string what = level + " attention " + std::to_string(heads) + "/" + std::to_string(kvHeads) + " x " + std::to_string(headDim) + " rows " +
                           std::to_string(rows) + " after " + std::to_string(before) + (int8 ? " int8" : " f32") + " window " + std::to_string(window);
  std::vector<double> wanted(got.size()), limit(got.size());
  for (int64_t r = 0; r < rows; r++)
    for (int64_t h = 0; h < heads; h++) {
      const int64_t kv = h * kvHeads / heads;
      const float* query = q.data() + ((before + r) * heads + h) * headDim;
      const std::vector<double> x = int8 ? roundedQuery(query, headDim) : std::vector<double>(query, query + headDim);
      auto cached = [&](const std::vector<uint8_t>& cache, const std::vector<float>& fresh, int64_t t) {
        const float* from = fresh.data() + (t * kvHeads + kv) * headDim;
        return int8 ? fromInt8(cache, kv, capacity, headDim, t, &cache == &keys) : std::vector<double>(from, from + headDim);
      };
      std::vector<double> scores;
      double total = 0;
      const int64_t start = window > before + r ? 0 : before + r - window + 1;
      for (int64_t t = start; t <= before + r; t++) {
        const std::vector<double> key = cached(keys, k, t);
        double dot = 0;
        for (int64_t i = 0; i < headDim; i++) dot += x[(size_t)i] * key[(size_t)i];
        scores.push_back(exp(dot * scale));
        total += scores.back();
      }
      for (size_t t = 0; t < scores.size(); t++) {
        const std::vector<double> value = cached(values, v, start + (int64_t)t);
        for (int64_t i = 0; i < headDim; i++) wanted[(size_t)((r * heads + h) * headDim + i)] += scores[t] / total * value[(size_t)i];
      }
      // int8: a weight is rounded to 2^-16 of the largest of its tile, times a value of up to 2
      for (int64_t i = 0; i < headDim; i++) limit[(size_t)((r * heads + h) * headDim + i)] = int8 ? 1e-4 : 4e-5;
    }
  expectClose(what, got, wanted, limit);
  if (!int8) return;
  for (int64_t r = 0; r < rows; r++) attend(before + r, 1, alone.data() + r * heads * headDim);
  expectClose(what + " row alone", alone, std::vector<double>(got.begin(), got.end()), std::vector<double>(got.size(), 0.0));
  for (int64_t t = 0; t < all; t++)
    for (int64_t head = 0; head < kvHeads; head++)
      for (bool key : {true, false}) {
        const float* from = (key ? k : v).data() + (t * kvHeads + head) * headDim;
        const std::vector<double> held = fromInt8(key ? keys : values, head, capacity, headDim, t, key);
        std::vector<double> original(from, from + headDim), slack((size_t)headDim);
        for (int64_t i = 0; i < headDim; i++) slack[(size_t)i] = groupLargest(from, headDim, i) / 127 * 0.505;
        expectClose(what + " cached", std::vector<float>(held.begin(), held.end()), original, slack);
      }
}

void checkElementwise(const std::string& level) {
  for (int64_t n : {1, 3, 4, 7, 16, 33, 100}) {
    const std::vector<float> a = randoms(n, 6.0f), b = randoms(n, 3.0f), gamma = randoms(n), beta = randoms(n);
    std::vector<float> out((size_t)n), sum((size_t)n);
    std::vector<double> wanted((size_t)n), limit((size_t)n);
    auto check = [&](const char* name, auto&& f) {
      for (int64_t i = 0; i < n; i++) {
        wanted[(size_t)i] = f((size_t)i);
        limit[(size_t)i] = 2e-6 * (1 + fabs(wanted[(size_t)i]));
      }
      expectClose(level + " " + name + " of " + std::to_string(n), out, wanted, limit);
    };
    isa().gelu(a.data(), n, out.data());
    check("gelu", [&](size_t i) { return a[i] / 2.0 * (1 + erf(a[i] / sqrt(2.0))); });
    isa().siluMul(a.data(), b.data(), n, out.data());
    check("siluMul", [&](size_t i) { return a[i] / (1 + exp(-(double)a[i])) * b[i]; });
    isa().rmsNorm(a.data(), b.data(), gamma.data(), 1e-6f, n, sum.data(), out.data());
    double squares = 0, mean = 0, variance = 0;
    for (int64_t i = 0; i < n; i++) {
      const double s = (double)a[(size_t)i] + b[(size_t)i];
      squares += s * s / (double)n;
      mean += s / (double)n;
    }
    for (int64_t i = 0; i < n; i++) variance += ((double)a[(size_t)i] + b[(size_t)i] - mean) * ((double)a[(size_t)i] + b[(size_t)i] - mean) / (double)n;
    check("rmsNorm", [&](size_t i) { return ((double)a[i] + b[i]) / sqrt(squares + 1e-6) * gamma[i]; });
    isa().layerNorm(a.data(), b.data(), gamma.data(), beta.data(), 1e-3f, n, sum.data(), out.data());
    check("layerNorm", [&](size_t i) { return ((double)a[i] + b[i] - mean) / sqrt(variance + 1e-3) * gamma[i] + beta[i]; });
  }
  for (int64_t headDim : {8, 16, 20, 64, 128}) {
    const std::vector<float> x = randoms(3 * 2 * headDim), gamma = randoms(headDim);
    std::vector<float> out(x.size());
    const int32_t positions[3] = {0, 7, 4001};
    headNormRope(x.data(), gamma.data(), positions, 3, 2, headDim, 1e-6f, 1e6, out.data());
    std::vector<double> wanted(x.size()), limit(x.size(), 3e-6);
    for (int64_t row = 0; row < 6; row++) {
      const float* from = x.data() + row * headDim;
      double squares = 0;
      for (int64_t i = 0; i < headDim; i++) squares += (double)from[i] * from[i] / (double)headDim;
      for (int64_t i = 0; i < headDim / 2; i++) {
        const double angle = positions[row / 2] * pow(1e6, -2.0 * (double)i / (double)headDim), norm = 1 / sqrt(squares + 1e-6);
        const double a = from[i] * norm * gamma[(size_t)i], b = from[i + headDim / 2] * norm * gamma[(size_t)(i + headDim / 2)];
        wanted[(size_t)(row * headDim + i)] = a * cos(angle) - b * sin(angle);
        wanted[(size_t)(row * headDim + i + headDim / 2)] = b * cos(angle) + a * sin(angle);
        limit[(size_t)(row * headDim + i)] = limit[(size_t)(row * headDim + i + headDim / 2)] = 5e-6 * (fabs(a) + fabs(b)) + 1e-6;
      }
    }
    expectClose(level + " headNormRope " + std::to_string(headDim), out, wanted, limit);
  }
}

void checkConv(const std::string& level, int32_t dtype, bool fast, int64_t channels, int64_t outs) {
  const ConvGeometry g = {2, 9, 11, channels, outs, 3, 3, 2, 2, 1, 1, kActNone, true};
  const int64_t depth = g.inChannels * 9;
  const Matrix m = randomMatrix(dtype, g.outChannels, depth);
  const std::vector<float> x = randoms(g.batch * g.height * g.width * g.inChannels), bias = randoms(g.outChannels);
  std::vector<float> got((size_t)(g.batch * g.outHeight() * g.outWidth() * g.outChannels));
  const bool codes = fast && isa().int8 && m.weight.traits->group > 0;
  const double rounding = codes ? 127.0 / isa().int8->top / 120 : 1.0 / 120;
  KeptFilter filter;
  conv2d(x.data(), g, m.weight, bias.data(), got.data(), fast, filter);
  std::vector<double> wanted(got.size()), limit(got.size());
  size_t at = 0;
  for (int64_t n = 0; n < g.batch; n++)
    for (int64_t y = 0; y < g.outHeight(); y++)
      for (int64_t z = 0; z < g.outWidth(); z++)
        for (int64_t o = 0; o < g.outChannels; o++, at++) {
          double sum = bias[(size_t)o], size = fabs(sum);
          for (int64_t c = 0; c < g.inChannels; c++)
            for (int64_t kh = 0; kh < 3; kh++)
              for (int64_t kw = 0; kw < 3; kw++) {
                const int64_t row = 2 * y + kh - 1, column = 2 * z + kw - 1;
                if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
                const double p = (double)m.values[(size_t)(o * depth + (c * 3 + kh) * 3 + kw)] * x[(size_t)(((n * g.height + row) * g.width + column) * g.inChannels + c)];
                sum += p;
                size += fabs(p);
              }
          wanted[at] = sum;
          limit[at] = size * (fast ? rounding : 4e-6);
        }
  expectClose(level + " conv2d type " + std::to_string(dtype) + " channels " + std::to_string(channels) + (fast ? " fast" : " exact"), got, wanted, limit);
}

void checkCausalConv(const std::string& level, int32_t dtype, bool fast, int64_t rows, int64_t channels) {
  const CausalConv conv = {rows, channels, 3, 2, kActNone};
  const int64_t before = conv.before(), outs = 29, depth = conv.kernel * channels;
  const Matrix m = randomMatrix(dtype, outs, depth);
  const std::vector<float> signal = randoms((before + rows) * channels), bias = randoms(outs), residual = randoms(rows * outs);
  std::vector<float> history(signal.begin(), signal.begin() + before * channels), got((size_t)(rows * outs));
  causalConv1d(signal.data() + before * channels, conv, m.weight, bias.data(), history.data(), residual.data(), got.data(), fast);
  std::vector<double> wanted(got.size()), limit(got.size());
  for (int64_t t = 0; t < rows; t++)
    for (int64_t o = 0; o < outs; o++) {
      double sum = (double)bias[(size_t)o] + residual[(size_t)(t * outs + o)], size = fabs(sum);
      for (int64_t i = 0; i < depth; i++) {
        const double p = (double)m.values[(size_t)(o * depth + i)] * signal[(size_t)((t + i / channels * conv.dilation) * channels + i % channels)];
        sum += p;
        size += fabs(p);
      }
      wanted[(size_t)(t * outs + o)] = sum;
      limit[(size_t)(t * outs + o)] = size * (fast ? 1.0 / 120 : 4e-6);
    }
  const std::string what = level + " causalConv1d type " + std::to_string(dtype) + " rows " + std::to_string(rows) + (fast ? " fast" : " exact");
  expectClose(what, got, wanted, limit);
  const std::vector<double> last(signal.end() - before * channels, signal.end()), zero((size_t)(before * channels), 0.0);
  expectClose(what + " history", history, last, zero);
}

void checkSignal(const std::string& level) {
  const int64_t rows = 11, channels = 37, kernel = 7;
  const std::vector<float> x = randoms(rows * channels, 4.0f), y = randoms(rows * channels), weight = randoms(kernel * channels), bias = randoms(channels);
  std::vector<float> history((size_t)((kernel - 1) * channels), 0.0f), out(x.size());
  std::vector<double> wanted(x.size()), limit(x.size(), 2e-5);
  depthwiseCausalConv1d(x.data(), rows, channels, kernel, weight.data(), bias.data(), history.data(), out.data());
  for (int64_t i = 0; i < rows * channels; i++) {
    double sum = bias[(size_t)(i % channels)];
    for (int64_t k = 0; k < kernel; k++) {
      const int64_t at = i - (kernel - 1 - k) * channels;
      if (at >= 0) sum += (double)weight[(size_t)(k * channels + i % channels)] * x[(size_t)at];
    }
    wanted[(size_t)i] = sum;
  }
  expectClose(level + " depthwiseCausalConv1d", out, wanted, limit);
  isa().snake(x.data(), weight.data(), bias.data(), channels, out.data());
  for (int64_t i = 0; i < channels; i++) wanted[(size_t)i] = x[(size_t)i] + pow(sin((double)x[(size_t)i] * weight[(size_t)i]), 2) * bias[(size_t)i];
  isa().addScaled(x.data() + channels, y.data(), bias.data(), channels, out.data() + channels);
  for (int64_t i = 0; i < channels; i++) wanted[(size_t)(channels + i)] = x[(size_t)(channels + i)] + (double)bias[(size_t)i] * y[(size_t)i];
  expectClose(level + " snake, addScaled", out, wanted, limit);
}

void checkVectors(const std::string& level, const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) {
    printf("FAILED cannot read %s\n", path);
    failures++;
    return;
  }
  int32_t head[2];
  while (fread(head, 4, 2, file) == 2) {
    const int64_t n = head[1];
    std::vector<float> x((size_t)n);
    int32_t bytes = 0;
    if (fread(x.data(), 4, (size_t)n, file) != (size_t)n || fread(&bytes, 4, 1, file) != 1) break;
    std::vector<uint8_t> row((size_t)bytes);
    double answer[2];
    if (fread(row.data(), 1, row.size(), file) != row.size() || fread(answer, 8, 2, file) != 2) break;
    const WeightMatrix weight = {head[0], 1, n, row.data(), bytes, traitsOf(head[0])};
    const float* none[1] = {nullptr};
    float got = 0;
    float* outs[1] = {&got};
    linear(x.data(), 1, 1, &weight, none, outs, false);
    expectClose(level + " golden dot product, type " + std::to_string(head[0]), {got}, {answer[0]}, {answer[1]});
  }
  fclose(file);
}

// An exception of one task reaches the caller, whichever thread met it, and the pool goes on.
void checkErrors() {
  const auto throwAt = [](int64_t thrown) {
    parallelFor(64, 1e9, [&](int64_t task) {
      if (task == thrown) throw std::bad_alloc();
    });
  };
  for (int64_t task : {0, 40, 63}) {
    checks++;
    try {
      throwAt(task);
      printf("FAILED an exception of task %d was lost\n", (int)task);
      failures++;
    } catch (const std::bad_alloc&) {
    }
  }
  std::atomic<int64_t> done{0};
  parallelFor(64, 1e9, [&](int64_t) { done++; });
  checks++;
  if (done != 64) {
    printf("FAILED %d of 64 tasks after an exception\n", (int)done);
    failures++;
  }
}

}  // namespace

int main(int argc, char** argv) {
  static const int32_t kTypes[] = {F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0, MXFP4};
  const bool namesOnly = argc > 1 && strcmp(argv[1], "--levels") == 0;
  setThreads(2);
  retainPool();
  checkErrors();
  for (int i = 0; i < isaCount(); i++) {
    const Isa* level = isaAt(i);
    setIsa(level->name);
    const int before = checks, failed = failures;
    state = 7;
    if (const char* difference = checkIsa(level)) {
      printf("FAILED %s\n", difference);
      failures++;
    }
    if (!namesOnly) {
      FlushDenormals flush;
      for (int32_t dtype : kTypes) {
        if (!block_format((uint32_t)dtype) && dtype != F32) {
          printf("FAILED type %d has no encoder\n", (int)dtype);
          failures++;
          continue;
        }
        const Matrix wide = randomMatrix(dtype, 53, 512), dense = randomMatrix(dtype, 9, traitsOf(dtype)->block == 1 ? 37 : 256);
        for (int64_t rows : {1, 2, 3, 4, 5, 8, 9, 21}) {
          for (bool fast : {false, true}) {
            checkLinear(level->name, wide, rows, fast);
            if (rows < 4 || rows == 9) checkLinear(level->name, dense, rows, fast);
          }
        }
        checkRowsAlone(level->name, wide);
        if (traitsOf(dtype)->block == 32) checkLinear(level->name, randomMatrix(dtype, 35, 160), 21, true);
        const char* dots = strcmp(level->name, "amx") == 0 ? "avx512bf16" : strcmp(level->name, "neoni8mm") == 0 ? "neondotprod" : nullptr;
        if (dots && traitsOf(dtype)->group > 0)
          for (int64_t rows : {9, 19, 21, 37}) checkSameAs(dots, wide, rows);
      }
      for (bool int8 : {false, true})
        for (int64_t rows : {1, 2, 13})
          for (int64_t cached : {0, 70, 200})
            for (int64_t window : {(int64_t)7, INT64_MAX}) checkAttention(level->name, {6, 2, 32}, cached, rows, int8, window);
      for (const AttentionShape& shape : {AttentionShape{5, 2, 128}, {2, 2, 20}, {9, 1, 48}, {1, 1, 3}})
        for (int64_t window : {(int64_t)65, INT64_MAX}) checkAttention(level->name, shape, 61, 17, true, window);
      checkElementwise(level->name);
      for (int32_t dtype : {F32, F16, BF16})
        for (bool fast : {false, true})
          for (int64_t channels : {1, 7}) checkConv(level->name, dtype, fast, channels, 13);
      for (int32_t dtype : {Q8_0, Q4_1})
        for (bool fast : {false, true})
          for (int64_t channels : {32, 160}) checkConv(level->name, dtype, fast, channels, 61);
      for (int32_t dtype : {F32, F16, BF16, Q8_0})
        for (bool fast : {false, true})
          for (int64_t rows : {1, 5, 70})
            for (int64_t channels : {32, 33})
              if (channels == 32 || dtype != Q8_0) checkCausalConv(level->name, dtype, fast, rows, channels);
      checkSignal(level->name);
      if (argc > 1) checkVectors(level->name, argv[1]);
    }
    if (namesOnly) printf("%s\n", level->name);
    else printf("%s: %d checks, %d failed\n", level->name, checks - before, failures - failed);
  }
  releasePool();
  return failures == 0 ? 0 : 1;
}
