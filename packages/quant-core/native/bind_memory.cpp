// allocateMemory, freeMemory.
#include <map>
#include <mutex>

#include "memory.h"
#include "napi_values.h"

namespace voxquant {
namespace {

// The memory of an array buffer. What JavaScript no longer uses is given back here, without the garbage collector: it is
// told nothing of these blocks, or it would run for every few activations of a model.
struct Block {
  MappedBlock mapped;  // without memory when it was given back
  int64_t bytes;       // the buffer's
};

std::mutex mutex;
std::map<void*, Block*> blocks;  // those not given back

void tellCollector(napi_env env, int64_t bytes) {
  int64_t now = 0;
  napi_adjust_external_memory(env, bytes, &now);
}

// Gives a block's memory back; false if it was already.
bool giveBack(Block* block) {
  std::lock_guard<std::mutex> lock(mutex);
  if (!block->mapped.memory) return false;
  blocks.erase(block->mapped.memory);
  unmapMemory(block->mapped);
  block->mapped.memory = nullptr;
  return true;
}

Block* blockAt(void* memory) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = blocks.find(memory);
  return found == blocks.end() ? nullptr : found->second;
}

// The engine takes a buffer's bytes off its account when the buffer ends; they were taken off when it was made.
void finalizeBlock(napi_env env, void*, void* hint) {
  Block* const block = static_cast<Block*>(hint);
  if (giveBack(block)) tellCollector(env, block->bytes);
  delete block;
}

// allocateMemory(bytes, huge): an array buffer of zeros, or null where the runtime has no such buffers or there is no memory
napi_value allocateMemoryCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "allocateMemory");
  const int64_t bytes = call.integer(0, "bytes", 1, INT64_C(1) << 40);
  const bool huge = call.boolean(1, "huge");
  if (call.failed) return nullptr;
  napi_value buffer = nullptr;
  const MappedBlock mapped = mapMemory(bytes, huge);
  if (mapped.memory) {
    Block* const block = new Block{mapped, bytes};
    {
      std::lock_guard<std::mutex> lock(mutex);
      blocks[mapped.memory] = block;
    }
    if (napi_create_external_arraybuffer(env, mapped.memory, (size_t)bytes, finalizeBlock, block, &buffer) == napi_ok) {
      tellCollector(env, -bytes);
      return buffer;
    }
    giveBack(block);
    delete block;
  }
  napi_get_null(env, &buffer);
  return buffer;
}

// freeMemory(array): the memory of any array
napi_value freeMemoryCall(napi_env env, napi_callback_info info) {
  Call call(env, info, "freeMemory");
  napi_value buffer = nullptr;
  void* memory = nullptr;
  size_t bytes = 0;
  if (napi_get_typedarray_info(env, call.args[0], nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok ||
      napi_get_arraybuffer_info(env, buffer, &memory, &bytes) != napi_ok) {
    call.fail("this is not a typed array whose memory can be freed");
    return nullptr;
  }
  Block* const block = bytes > 0 ? blockAt(memory) : nullptr;
  if (block) tellCollector(env, block->bytes);
  if (napi_detach_arraybuffer(env, buffer) != napi_ok) {
    call.fail("this is not a typed array whose memory can be freed");
    return nullptr;
  }
  if (block) giveBack(block);
  return nullptr;
}

}  // namespace

void registerMemory(napi_env env, napi_value exports) {
  exportFunction<allocateMemoryCall>(env, exports, "allocateMemory");
  exportFunction<freeMemoryCall>(env, exports, "freeMemory");
}

}  // namespace voxquant
