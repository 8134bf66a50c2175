// Reading of N-API arguments. Every reader throws a JavaScript error and returns false (or null) when the value does
// not fit, so that a wrong call can never touch memory that is not there.
#pragma once
#include <node_api.h>
#include <stdint.h>

#include <string>

namespace voxquant {

struct Call {
  static constexpr size_t kMost = 20;
  napi_env env;
  const char* name;
  napi_value args[kMost];
  size_t count = kMost;
  bool failed = false;

  Call(napi_env env, napi_callback_info info, const char* name);
  void fail(const std::string& message);

  int64_t integer(size_t index, const char* what, int64_t least = 0, int64_t most = INT64_C(1) << 40);
  double number(size_t index, const char* what);
  bool boolean(size_t index, const char* what);
  std::string text(size_t index, const char* what);
  bool isNull(napi_value value);
  bool isArrayOf(napi_value value, napi_typedarray_type type);
  // Data of a typed array with at least `least` elements; length, if asked for, gets its elements.
  void* array(napi_value value, napi_typedarray_type type, int64_t least, const char* what, int64_t* length = nullptr);
  float* floats(size_t index, int64_t least, const char* what, int64_t* length = nullptr) {
    return static_cast<float*>(array(args[index], napi_float32_array, least, what, length));
  }
  float* floatsOrNull(size_t index, int64_t least, const char* what) {
    return isNull(args[index]) ? nullptr : floats(index, least, what);
  }
  int32_t* integers(size_t index, int64_t least, const char* what, int64_t* length = nullptr) {
    return static_cast<int32_t*>(array(args[index], napi_int32_array, least, what, length));
  }
  uint32_t listLength(size_t index, const char* what);
  napi_value listItem(size_t index, uint32_t item);
};

napi_value makeString(napi_env env, const char* text);

// Throws what setBackendError() was called with: the caller did nothing wrong, the machine does not allow it.
void throwBackendError(napi_env env, const std::string& message);

void exportCallback(napi_env env, napi_value exports, const char* name, napi_callback callback);

// Leaves the C++ exception that is being handled as one of JavaScript: nothing may go through Node's frames.
void rethrowInJavaScript(napi_env env);

template <napi_callback callback>
void exportFunction(napi_env env, napi_value exports, const char* name) {
  exportCallback(env, exports, name, [](napi_env env, napi_callback_info info) -> napi_value {
    try {
      return callback(env, info);
    } catch (...) {
      rethrowInJavaScript(env);
      return nullptr;
    }
  });
}

void registerErrors(napi_env env, napi_value exports);

void registerProducts(napi_env env, napi_value exports);
void registerLayers(napi_env env, napi_value exports);
void registerCodec(napi_env env, napi_value exports);
void registerDecoder(napi_env env, napi_value exports);
void registerMachine(napi_env env, napi_value exports);
void registerMapping(napi_env env, napi_value exports);
void registerMemory(napi_env env, napi_value exports);

}  // namespace voxquant
