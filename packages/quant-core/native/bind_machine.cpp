// Instruction sets and threads for JavaScript.
#include <string.h>

#include <vector>

#include "dispatch.h"
#include "napi_values.h"
#include "thread_pool.h"

namespace voxquant {
namespace {

// Reads all bytes once with all threads, for benchmarks: the speed that a matrix x vector product can have at most.
napi_value streamReadCall(napi_env env, napi_callback_info info) {
  constexpr int64_t kChunk = 1 << 20;
  Call call(env, info, "streamRead");
  int64_t length = 0;
  const uint8_t* bytes = static_cast<const uint8_t*>(call.array(call.args[0], napi_uint8_array, 0, "bytes", &length));
  if (call.failed) return nullptr;
  std::vector<uint64_t> sums((size_t)((length + kChunk - 1) / kChunk));
  parallelFor((int64_t)sums.size(), (double)length, [&](int64_t task) {
    const int64_t end = (task + 1) * kChunk < length ? (task + 1) * kChunk : length;
    uint64_t sum[8] = {};
    for (int64_t at = task * kChunk; at + 64 <= end; at += 64) {
      uint64_t words[8];
      memcpy(words, bytes + at, 64);
      for (int i = 0; i < 8; i++) sum[i] += words[i];
    }
    for (uint64_t part : sum) sums[(size_t)task] += part;
  });
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  napi_value result = nullptr;
  napi_create_double(env, (double)(total & 0xffffffff), &result);
  return result;
}

napi_value isaCall(napi_env env, napi_callback_info) { return makeString(env, isa().name); }

napi_value isaLevelsCall(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  for (int i = 0; i < isaCount(); i++) napi_set_element(env, list, (uint32_t)i, makeString(env, isaAt(i)->name));
  return list;
}

napi_value setIsaCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "setIsa");
  const std::string name = call.text(0, "name");
  napi_value result = nullptr;
  napi_get_boolean(env, !call.failed && setIsa(name.c_str()), &result);
  return result;
}

napi_value checkIsaCall(napi_env env, napi_callback_info) {
  const char* problem = checkIsa(&isa());
  if (problem) return makeString(env, problem);
  napi_value result = nullptr;
  napi_get_null(env, &result);
  return result;
}

napi_value threadsCall(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_int32(env, threads(), &result);
  return result;
}

napi_value setThreadsCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "setThreads");
  const int64_t count = call.integer(0, "threads", 1, 256);
  if (!call.failed) setThreads((int)count);
  return nullptr;
}

}  // namespace

void registerMachine(napi_env env, napi_value exports) {
  exportFunction<isaCall>(env, exports, "isa");
  exportFunction<isaLevelsCall>(env, exports, "isaLevels");
  exportFunction<setIsaCall>(env, exports, "setIsa");
  exportFunction<checkIsaCall>(env, exports, "checkIsa");
  exportFunction<threadsCall>(env, exports, "threads");
  exportFunction<setThreadsCall>(env, exports, "setThreads");
  exportFunction<streamReadCall>(env, exports, "streamRead");
}

}  // namespace voxquant
