// Choice of the instruction set at run time.
#pragma once
#include "isa.h"

namespace voxquant {

const Isa& isa();                       // the level in use
int isaCount();                         // levels that this machine can run, lowest first
const Isa* isaAt(int index);
bool setIsa(const char* name);          // a level's name, or "avx512" for the best of them; false if it cannot run here
// Compares a level with the baseline on one row per type; null, or what differs.
const char* checkIsa(const Isa* level);

}  // namespace voxquant
