// The N-API module. It may be loaded by several worker threads: state that they share is locked or atomic.
#include <node_api.h>

#include "napi_values.h"
#include "thread_pool.h"

#ifdef VOXQUANT_HAS_QUANTIZE
void register_quantize(napi_env env, napi_value exports);
#endif

NAPI_MODULE_INIT() {
  voxquant::retainPool();
  napi_add_env_cleanup_hook(env, [](void*) { voxquant::releasePool(); }, nullptr);
  voxquant::registerErrors(env, exports);
  voxquant::registerProducts(env, exports);
  voxquant::registerLayers(env, exports);
  voxquant::registerCodec(env, exports);
  voxquant::registerDecoder(env, exports);
  voxquant::registerMachine(env, exports);
  voxquant::registerMapping(env, exports);
  voxquant::registerMemory(env, exports);
#ifdef VOXQUANT_HAS_QUANTIZE
  register_quantize(env, exports);
#endif
  return exports;
}
