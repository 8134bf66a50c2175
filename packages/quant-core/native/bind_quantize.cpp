// JavaScript side of the quantizers:
//   quantizeRows(dtype, src, srcDtype, rowLength, importance | null, out, threads): Promise<number>
//   dequantizeRows(dtype, bytes, out): void
// Types are ggml ids. The promise gives the first row whose scale overflowed its half, or -1.
#include <node_api.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "napi_values.h"
#include "quantize.h"

namespace voxquant {
namespace {

constexpr uint32_t kMaxThreads = 64;

struct Array {
  uint8_t* data;
  size_t length;  // elements
};

bool read_array(napi_env env, napi_value value, napi_typedarray_type wanted, Array* out) {
  bool is_array = false;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  napi_typedarray_type type;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &out->length, &data, nullptr, nullptr) != napi_ok) return false;
  out->data = static_cast<uint8_t*>(data);
  return type == wanted;
}

napi_value fail(napi_env env, const std::string& message) {
  napi_throw_type_error(env, nullptr, message.c_str());
  return nullptr;
}

struct Job {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  napi_ref kept[3] = {nullptr, nullptr, nullptr};
  const BlockFormat* target = nullptr;
  const BlockFormat* source = nullptr;
  const uint8_t* src = nullptr;
  const float* importance = nullptr;
  uint8_t* out = nullptr;
  size_t rows = 0;
  size_t row_length = 0;
  uint32_t threads = 1;
  int64_t invalid_row = -1;
  std::string problem;
};

// Rows [first, end) of a job; what goes wrong is kept with its row, so that the message does not depend on the threads.
struct Part {
  size_t first = 0;
  size_t end = 0;
  int64_t invalid_row = -1;
  std::string problem;
};

void encode_part(const Job& job, Part* part) {
  std::vector<float> row;
  try {
    row.resize(job.row_length);
  } catch (const std::bad_alloc&) {
    part->problem = "out of memory for a row of " + std::to_string(job.row_length) + " values";
    return;
  }
  const size_t source_bytes = job.row_length / job.source->block * job.source->bytes;
  const size_t target_bytes = job.row_length / job.target->block * job.target->bytes;
  for (size_t r = part->first; r < part->end; r++) {
    decode_row(job.source->type_id, job.src + r * source_bytes, job.row_length, row.data());
    uint8_t* out = job.out + r * target_bytes;
    if (job.target->block > 1) {
      const size_t at = first_not_finite(row.data(), job.row_length);
      if (at < job.row_length) {
        const char* value = std::isnan(row[at]) ? "NaN" : row[at] > 0 ? "Infinity" : "-Infinity";
        part->problem = "value " + std::string(value) + " in row " + std::to_string(r) + ", column " + std::to_string(at) +
                        " cannot be quantized";
        return;
      }
    }
    encode_row(job.target->type_id, row.data(), job.row_length, job.importance, out);
    if (part->invalid_row < 0 && has_invalid_scale(job.target->type_id, out, job.row_length)) {
      part->invalid_row = static_cast<int64_t>(r);
    }
  }
}

void run(napi_env, void* data) {
  Job& job = *static_cast<Job*>(data);
  const size_t count = std::max<size_t>(1, std::min<size_t>(job.threads, job.rows));
  std::vector<Part> parts(count);
  for (size_t i = 0; i < count; i++) {
    parts[i].first = job.rows * i / count;
    parts[i].end = job.rows * (i + 1) / count;
  }
  std::vector<std::thread> threads;
  size_t started = 1;  // part 0 is done here
  try {
    for (; started < count; started++) threads.emplace_back(encode_part, std::cref(job), &parts[started]);
  } catch (const std::system_error&) {
    // No more threads to be had: the rest is done here too.
  }
  encode_part(job, &parts[0]);
  for (size_t i = started; i < count; i++) encode_part(job, &parts[i]);
  for (std::thread& thread : threads) thread.join();
  for (Part& part : parts) {
    if (job.problem.empty()) job.problem = part.problem;
    if (job.invalid_row < 0) job.invalid_row = part.invalid_row;
  }
}

void finish(napi_env env, napi_status status, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  for (napi_ref ref : job->kept) {
    if (ref != nullptr) napi_delete_reference(env, ref);
  }
  napi_delete_async_work(env, job->work);
  if (status != napi_ok && job->problem.empty()) job->problem = "quantization was cancelled";
  napi_value result;
  if (job->problem.empty()) {
    napi_create_int64(env, job->invalid_row, &result);
    napi_resolve_deferred(env, job->deferred, result);
  } else {
    napi_value message;
    napi_create_string_utf8(env, job->problem.c_str(), job->problem.size(), &message);
    napi_create_error(env, nullptr, message, &result);
    napi_reject_deferred(env, job->deferred, result);
  }
}

napi_value quantize_rows(napi_env env, napi_callback_info info) {
  size_t count = 7;
  napi_value args[7];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  if (count != 7) return fail(env, "quantizeRows: 7 arguments expected");
  uint32_t target_id = 0;
  uint32_t source_id = 0;
  uint32_t threads = 0;
  int64_t row_length = 0;
  Array src;
  Array out;
  if (napi_get_value_uint32(env, args[0], &target_id) != napi_ok || napi_get_value_uint32(env, args[2], &source_id) != napi_ok ||
      napi_get_value_int64(env, args[3], &row_length) != napi_ok || !read_array(env, args[1], napi_uint8_array, &src) ||
      !read_array(env, args[5], napi_uint8_array, &out) || napi_get_value_uint32(env, args[6], &threads) != napi_ok) {
    return fail(env, "quantizeRows: (dtype, Uint8Array, srcDtype, rowLength, Float32Array | null, Uint8Array, threads) expected");
  }
  auto job = std::make_unique<Job>();
  job->target = block_format(target_id);
  job->source = block_format(source_id);
  if (job->target == nullptr || job->source == nullptr) {
    return fail(env, "quantizeRows: no codec for ggml type " + std::to_string(job->target == nullptr ? target_id : source_id));
  }
  if (row_length <= 0 || row_length % job->target->block != 0 || row_length % job->source->block != 0) {
    return fail(env, "quantizeRows: row length " + std::to_string(row_length) + " does not fit the types' blocks");
  }
  job->row_length = static_cast<size_t>(row_length);
  job->threads = std::min<uint32_t>(threads, kMaxThreads);
  const size_t source_bytes = job->row_length / job->source->block * job->source->bytes;
  const size_t target_bytes = job->row_length / job->target->block * job->target->bytes;
  job->rows = src.length / source_bytes;
  if (src.length % source_bytes != 0 || out.length != job->rows * target_bytes) {
    return fail(env, "quantizeRows: " + std::to_string(src.length) + " source bytes are not whole rows, or do not make " +
                         std::to_string(out.length) + " bytes");
  }
  napi_valuetype importance_type;
  napi_typeof(env, args[4], &importance_type);
  Array importance = {nullptr, 0};
  if (importance_type != napi_null && importance_type != napi_undefined) {
    if (!read_array(env, args[4], napi_float32_array, &importance) || importance.length != job->row_length) {
      return fail(env, "quantizeRows: importance must be a Float32Array of " + std::to_string(row_length));
    }
    job->importance = reinterpret_cast<const float*>(importance.data);
    napi_create_reference(env, args[4], 1, &job->kept[2]);
  }
  job->src = src.data;
  job->out = out.data;
  napi_create_reference(env, args[1], 1, &job->kept[0]);
  napi_create_reference(env, args[5], 1, &job->kept[1]);
  napi_value promise;
  napi_value name;
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_string_utf8(env, "voxquant.quantizeRows", NAPI_AUTO_LENGTH, &name);
  Job* raw = job.get();
  if (napi_create_async_work(env, nullptr, name, run, finish, raw, &raw->work) != napi_ok ||
      napi_queue_async_work(env, raw->work) != napi_ok) {
    return fail(env, "quantizeRows: the work could not be queued");
  }
  job.release();  // finish() owns it now
  return promise;
}

napi_value dequantize_rows(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value args[3];
  napi_get_cb_info(env, info, &count, args, nullptr, nullptr);
  uint32_t type_id = 0;
  Array bytes;
  Array out;
  if (count != 3 || napi_get_value_uint32(env, args[0], &type_id) != napi_ok ||
      !read_array(env, args[1], napi_uint8_array, &bytes) || !read_array(env, args[2], napi_float32_array, &out)) {
    return fail(env, "dequantizeRows: (dtype, Uint8Array, Float32Array) expected");
  }
  const BlockFormat* format = block_format(type_id);
  if (format == nullptr) return fail(env, "dequantizeRows: no codec for ggml type " + std::to_string(type_id));
  if (out.length % format->block != 0 || bytes.length != out.length / format->block * format->bytes) {
    return fail(env, "dequantizeRows: " + std::to_string(bytes.length) + " bytes do not hold " +
                         std::to_string(out.length) + " values");
  }
  decode_row(type_id, bytes.data, out.length, reinterpret_cast<float*>(out.data));
  return nullptr;
}

}  // namespace
}  // namespace voxquant

void register_quantize(napi_env env, napi_value exports) {
  voxquant::exportFunction<voxquant::quantize_rows>(env, exports, "quantizeRows");
  voxquant::exportFunction<voxquant::dequantize_rows>(env, exports, "dequantizeRows");
}
