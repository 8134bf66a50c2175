#include "napi_values.h"

#include <exception>
#include <memory>
#include <new>

namespace voxquant {
namespace {

// setBackendError(constructor)
napi_value setBackendErrorCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "setBackendError");
  std::unique_ptr<napi_ref> constructor(new napi_ref);
  if (napi_create_reference(env, call.args[0], 1, constructor.get()) != napi_ok) {
    call.fail("this is not a constructor");
    return nullptr;
  }
  const auto release = [](napi_env, void* data, void*) { delete static_cast<napi_ref*>(data); };
  if (napi_set_instance_data(env, constructor.get(), release, nullptr) == napi_ok) constructor.release();
  return nullptr;
}

}  // namespace

void throwBackendError(napi_env env, const std::string& message) {
  void* constructor = nullptr;
  napi_value type = nullptr, error = nullptr, text = makeString(env, message.c_str());
  if (napi_get_instance_data(env, &constructor) == napi_ok && constructor &&
      napi_get_reference_value(env, *static_cast<napi_ref*>(constructor), &type) == napi_ok &&
      napi_new_instance(env, type, 1, &text, &error) == napi_ok)
    napi_throw(env, error);
  else
    napi_throw_error(env, nullptr, message.c_str());
}

Call::Call(napi_env env, napi_callback_info info, const char* name) : env(env), name(name) {
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  if (count > kMost) count = kMost;
}

void Call::fail(const std::string& message) {
  if (failed) return;
  failed = true;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_range_error(env, nullptr, (std::string(name) + ": " + message).c_str());
}

int64_t Call::integer(size_t index, const char* what, int64_t least, int64_t most) {
  double found = 0;
  if (napi_get_value_double(env, args[index], &found) != napi_ok || !(found >= (double)least && found <= (double)most) ||
      found != (double)(int64_t)found) {
    fail(std::string(what) + " is not an integer in " + std::to_string(least) + ".." + std::to_string(most));
    return least;
  }
  return (int64_t)found;
}

double Call::number(size_t index, const char* what) {
  double found = 0;
  if (napi_get_value_double(env, args[index], &found) != napi_ok) fail(std::string(what) + " is not a number");
  return found;
}

bool Call::boolean(size_t index, const char* what) {
  bool found = false;
  if (napi_get_value_bool(env, args[index], &found) != napi_ok) fail(std::string(what) + " is not a boolean");
  return found;
}

std::string Call::text(size_t index, const char* what) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, args[index], nullptr, 0, &length) != napi_ok) {
    fail(std::string(what) + " is not a string");
    return std::string();
  }
  std::string found(length, '\0');
  napi_get_value_string_utf8(env, args[index], &found[0], length + 1, &length);
  return found;
}

bool Call::isNull(napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type == napi_null || type == napi_undefined;
}

bool Call::isArrayOf(napi_value value, napi_typedarray_type type) {
  napi_typedarray_type found;
  return napi_get_typedarray_info(env, value, &found, nullptr, nullptr, nullptr, nullptr) == napi_ok && found == type;
}

void* Call::array(napi_value value, napi_typedarray_type type, int64_t least, const char* what, int64_t* length) {
  static int64_t empty[1];
  napi_typedarray_type found;
  size_t elements = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &found, &elements, &data, nullptr, nullptr) != napi_ok || found != type) {
    fail(std::string(what) + " is not a typed array of the expected kind");
    return empty;
  }
  if ((int64_t)elements < least) {
    fail(std::string(what) + " has " + std::to_string(elements) + " elements, needs " + std::to_string(least));
    return empty;
  }
  if (length) *length = (int64_t)elements;
  return data ? data : empty;
}

uint32_t Call::listLength(size_t index, const char* what) {
  uint32_t length = 0;
  if (napi_get_array_length(env, args[index], &length) != napi_ok) fail(std::string(what) + " is not an array");
  return length;
}

napi_value Call::listItem(size_t index, uint32_t item) {
  napi_value value = nullptr;
  if (napi_get_element(env, args[index], item, &value) != napi_ok) napi_get_undefined(env, &value);
  return value;
}

napi_value makeString(napi_env env, const char* text) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

void rethrowInJavaScript(napi_env env) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    throwBackendError(env, "the system has no memory for what this step works on; use shorter inputs or fewer at a time");
  } catch (const std::exception& error) {
    throwBackendError(env, std::string("the system refuses what this step needs: ") + error.what());
  }
}

void exportCallback(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

void registerErrors(napi_env env, napi_value exports) { exportFunction<setBackendErrorCall>(env, exports, "setBackendError"); }

}  // namespace voxquant
