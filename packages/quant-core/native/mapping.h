// Files mapped read-only. A file that is cut while mapped raises SIGBUS where the missing pages are touched: the handler
// puts zero pages there and marks the mapping, and whoever used it reports an error instead of crashing.
#pragma once
#include <stdint.h>

#include <string>

namespace voxquant {

struct Mapping;

// Null with a message in *error. The caller owns one reference.
Mapping* mapFile(const std::string& path, std::string* error);
void retainMapping(Mapping* mapping);
void releaseMapping(Mapping* mapping);  // unmaps with the last reference
void* mappingData(const Mapping* mapping);
int64_t mappingSize(const Mapping* mapping);
bool mappingFaulted(const Mapping* mapping);
// Whether any mapping was ever found cut: one load, before the search below.
bool anyFault();
// Path of the cut mapping that this address lies in, or null.
const char* faultedPath(const void* address);

}  // namespace voxquant
