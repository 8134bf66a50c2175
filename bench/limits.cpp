// What this machine can do at most: bytes read from memory and multiply-accumulates per second, by 1 and by N threads.
// Prints one JSON object. bench/kernels.mjs compiles it for the machine it runs on.
//
//   c++ -std=c++17 -O3 -march=native -pthread bench/limits.cpp -o limits && ./limits THREADS
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#if defined(__AMX_INT8__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr double kSeconds = 0.25;
constexpr int kChains = 12;  // independent accumulators: enough to hide the latency of any of the instructions
volatile float gSink;

// Work of one call, which takes some microseconds: bytes or multiply-accumulates done.
using Step = double (*)(const uint8_t* data, size_t size, size_t* at);

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

constexpr size_t kReadBytes = size_t(256) << 20;  // per thread; far beyond any cache
constexpr size_t kReadStep = size_t(1) << 18;

double readMemory(const uint8_t* data, size_t size, size_t* at) {
  const uint8_t* p = data + *at;
  *at = (*at + kReadStep) % size;
#if defined(__AVX512F__)
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t i = 0; i < kReadStep; i += 256) {
    a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
    c = _mm512_xor_si512(c, _mm512_load_si512(p + i + 128));
    d = _mm512_xor_si512(d, _mm512_load_si512(p + i + 192));
  }
  gSink = (float)_mm512_reduce_or_epi32(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
#else
  uint64_t sum[16] = {};
  for (size_t i = 0; i < kReadStep; i += 128) {
    uint64_t words[16];
    memcpy(words, p + i, 128);
    for (int j = 0; j < 16; j++) sum[j] ^= words[j];
  }
  uint64_t all = 0;
  for (uint64_t word : sum) all ^= word;
  gSink = (float)all;
#endif
  return kReadStep;
}

constexpr int kRepeats = 4096;

#if defined(__AVX512F__)
double fmaFloat(const uint8_t*, size_t, size_t*) {
  __m512 sums[kChains], x = _mm512_set1_ps(1.0f + gSink * 0), y = _mm512_set1_ps(0.5f);
  for (auto& sum : sums) sum = x;
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, y, x);
  for (int i = 1; i < kChains; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  gSink = _mm512_reduce_add_ps(sums[0]);
  return 16.0 * kChains * kRepeats;
}
#elif defined(__FMA__)
double fmaFloat(const uint8_t*, size_t, size_t*) {
  __m256 sums[kChains], x = _mm256_set1_ps(1.0f + gSink * 0), y = _mm256_set1_ps(0.5f);
  for (auto& sum : sums) sum = x;
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, y, x);
  for (int i = 1; i < kChains; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  gSink = _mm256_cvtss_f32(sums[0]);
  return 8.0 * kChains * kRepeats;
}
#elif defined(__aarch64__)
double fmaFloat(const uint8_t*, size_t, size_t*) {
  float32x4_t sums[kChains], x = vdupq_n_f32(1.0f + gSink * 0), y = vdupq_n_f32(0.5f);
  for (auto& sum : sums) sum = x;
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = vfmaq_f32(x, sum, y);
  for (int i = 1; i < kChains; i++) sums[0] = vaddq_f32(sums[0], sums[i]);
  gSink = vgetq_lane_f32(sums[0], 0);
  return 4.0 * kChains * kRepeats;
}
#else
constexpr Step fmaFloat = nullptr;
#endif

#if defined(__AMX_INT8__) && defined(__linux__)
double dotInt8(const uint8_t*, size_t, size_t*) {
  static thread_local bool ready = false;
  if (!ready) {
    syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */);
    alignas(64) uint8_t config[64] = {1};
    for (int tile = 0; tile < 8; tile++) {
      config[16 + 2 * tile] = 64;
      config[48 + tile] = 16;
    }
    _tile_loadconfig(config);
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
    ready = true;
  }
  for (int i = 0; i < kRepeats / 8; i++) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  return 16.0 * 16 * 64 * 4 * (kRepeats / 8);
}
#elif defined(__AVX512VNNI__)
double dotInt8(const uint8_t*, size_t, size_t*) {
  __m512i sums[kChains], x = _mm512_set1_epi32((int)gSink | 1), y = _mm512_set1_epi8(3);
  for (auto& sum : sums) sum = x;
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, x, y);
  for (int i = 1; i < kChains; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  gSink = (float)_mm512_reduce_add_epi32(sums[0]);
  return 64.0 * kChains * kRepeats;
}
#elif defined(__AVX2__)
double dotInt8(const uint8_t*, size_t, size_t*) {
  __m256i sums[kChains], x = _mm256_set1_epi32((int)gSink | 1), y = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
  for (auto& sum : sums) sum = x;
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) {
#if defined(__AVXVNNI__)
      sum = _mm256_dpbusd_avx_epi32(sum, x, y);
#else
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_xor_si256(x, sum), y), ones));
#endif
    }
  for (int i = 1; i < kChains; i++) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  gSink = (float)_mm256_extract_epi32(sums[0], 0) + (float)_mm256_extract_epi16(ones, 0);
  return 32.0 * kChains * kRepeats;
}
#elif defined(__ARM_FEATURE_MATMUL_INT8)
double dotInt8(const uint8_t*, size_t, size_t*) {
  int32x4_t sums[kChains];
  int8x16_t x = vdupq_n_s8((int8_t)((int)gSink | 1)), y = vdupq_n_s8(3);
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = vmmlaq_s32(sum, x, y);
  for (int i = 1; i < kChains; i++) sums[0] = vaddq_s32(sums[0], sums[i]);
  gSink = (float)vaddvq_s32(sums[0]);
  return 32.0 * kChains * kRepeats;
}
#elif defined(__ARM_FEATURE_DOTPROD)
double dotInt8(const uint8_t*, size_t, size_t*) {
  int32x4_t sums[kChains];
  int8x16_t x = vdupq_n_s8((int8_t)((int)gSink | 1)), y = vdupq_n_s8(3);
  for (auto& sum : sums) sum = vdupq_n_s32(0);
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = vdotq_s32(sum, x, y);
  for (int i = 1; i < kChains; i++) sums[0] = vaddq_s32(sums[0], sums[i]);
  gSink = (float)vaddvq_s32(sums[0]);
  return 16.0 * kChains * kRepeats;
}
#else
constexpr Step dotInt8 = nullptr;
#endif

#if defined(__AVX512BF16__)
double dotBf16(const uint8_t*, size_t, size_t*) {
  __m512 sums[kChains];
  const __m512bh x = (__m512bh)_mm512_set1_epi16(0x3f80 + ((int)gSink & 1)), y = (__m512bh)_mm512_set1_epi16(0x3f00);
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (int i = 0; i < kRepeats; i++)
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, x, y);
  for (int i = 1; i < kChains; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  gSink = _mm512_reduce_add_ps(sums[0]);
  return 32.0 * kChains * kRepeats;
}
#else
constexpr Step dotBf16 = nullptr;
#endif

// Best of three rounds: units per second of all threads together.
double rate(Step step, int threads, bool needsMemory) {
  if (!step) return 0;
  std::vector<uint8_t*> buffers(threads, nullptr);
  double best = 0;
  for (int round = 0; round < 3; round++) {
    std::atomic<int> waiting{threads};
    std::atomic<bool> stop{false};
    std::vector<double> done(threads, 0);
    std::vector<std::thread> workers;
    double begin = 0;
    for (int i = 0; i < threads; i++)
      workers.emplace_back([&, i] {
        if (needsMemory && !buffers[i]) {
          buffers[i] = static_cast<uint8_t*>(aligned_alloc(4096, kReadBytes));
          if (buffers[i]) memset(buffers[i], i + 1, kReadBytes);
        }
        size_t at = 0;
        if (needsMemory && !buffers[i]) stop = true;
        waiting--;
        while (waiting > 0) std::this_thread::yield();
        double units = 0;
        while (!stop.load(std::memory_order_relaxed)) units += step(buffers[i], kReadBytes, &at);
        done[i] = units;
      });
    while (waiting > 0) std::this_thread::yield();
    begin = now();
    std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
    stop = true;
    const double seconds = now() - begin;
    for (auto& worker : workers) worker.join();
    double units = 0;
    for (double part : done) units += part;
    if (units / seconds > best) best = units / seconds;
  }
  for (uint8_t* buffer : buffers) free(buffer);
  return best;
}

void report(int threads, const char* end) {
  printf("{\"threads\":%d,\"readGBs\":%.2f,\"f32GMACs\":%.1f,\"int8GMACs\":%.1f,\"bf16GMACs\":%.1f}%s", threads,
         rate(readMemory, threads, true) / 1e9, rate(fmaFloat, threads, false) / 1e9, rate(dotInt8, threads, false) / 1e9,
         rate(dotBf16, threads, false) / 1e9, end);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : (int)std::thread::hardware_concurrency();
  if (threads < 1 || threads > 1024) {
    fprintf(stderr, "usage: limits [THREADS]\n");
    return 2;
  }
  printf("[");
  report(1, threads > 1 ? "," : "");
  if (threads > 1) report(threads, "");
  printf("]\n");
  return 0;
}
