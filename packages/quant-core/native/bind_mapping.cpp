// mapFile, unmapFile, mappingFault.
#include "mapping.h"
#include "napi_values.h"

namespace voxquant {
namespace {

// What JavaScript holds of a mapping: the buffer has a reference of its own, which ends with its finalizer.
struct MappingHandle {
  Mapping* mapping;   // null after unmapFile
  napi_ref buffer;    // weak
};

const napi_type_tag kTag = {0x7d1f2a66c0b94e13, 0x9a3c55e2f0d84b71};

void finalizeBuffer(napi_env, void*, void* hint) { releaseMapping(static_cast<Mapping*>(hint)); }

void finalizeHandle(napi_env env, void* data, void*) {
  MappingHandle* handle = static_cast<MappingHandle*>(data);
  if (handle->buffer) napi_delete_reference(env, handle->buffer);
  if (handle->mapping) releaseMapping(handle->mapping);
  delete handle;
}

MappingHandle* handleOf(Call& call, size_t index) {
  bool ours = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(call.env, call.args[index], &kTag, &ours) != napi_ok || !ours ||
      napi_get_value_external(call.env, call.args[index], &data) != napi_ok) {
    call.fail("this is not the handle of a mapped file");
    return nullptr;
  }
  return static_cast<MappingHandle*>(data);
}

napi_value mapFileCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "mapFile");
  const std::string path = call.text(0, "path");
  if (call.failed) return nullptr;
  std::string error;
  Mapping* mapping = mapFile(path, &error);
  if (!mapping) {
    napi_throw_error(env, nullptr, error.c_str());
    return nullptr;
  }
  napi_value buffer = nullptr, external = nullptr, result = nullptr;
  if (napi_create_external_arraybuffer(env, mappingData(mapping), (size_t)mappingSize(mapping), finalizeBuffer, mapping, &buffer) != napi_ok) {
    releaseMapping(mapping);
    napi_throw_error(env, nullptr, "mapFile: this runtime has no external array buffers");
    return nullptr;
  }
  retainMapping(mapping);  // the handle's
  MappingHandle* handle = new MappingHandle{mapping, nullptr};
  napi_create_reference(env, buffer, 0, &handle->buffer);
  napi_create_external(env, handle, finalizeHandle, nullptr, &external);
  napi_type_tag_object(env, external, &kTag);
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "buffer", buffer);
  napi_set_named_property(env, result, "handle", external);
  return result;
}

// Views of the buffer become empty; the memory goes with the last reference.
napi_value unmapFileCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "unmapFile");
  MappingHandle* handle = handleOf(call, 0);
  if (!handle || !handle->mapping) return nullptr;
  napi_value buffer = nullptr;
  if (napi_get_reference_value(env, handle->buffer, &buffer) == napi_ok && buffer) napi_detach_arraybuffer(env, buffer);
  releaseMapping(handle->mapping);
  handle->mapping = nullptr;
  return nullptr;
}

napi_value mappingFaultCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "mappingFault");
  MappingHandle* handle = handleOf(call, 0);
  if (!handle) return nullptr;
  napi_value result = nullptr;
  napi_get_boolean(env, handle->mapping && mappingFaulted(handle->mapping), &result);
  return result;
}

}  // namespace

void registerMapping(napi_env env, napi_value exports) {
  exportFunction<mapFileCall>(env, exports, "mapFile");
  exportFunction<unmapFileCall>(env, exports, "unmapFile");
  exportFunction<mappingFaultCall>(env, exports, "mappingFault");
}

}  // namespace voxquant
