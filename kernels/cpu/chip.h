// What the processor at hand is and has.
#ifndef POLYOPS_CPU_CHIP_H_
#define POLYOPS_CPU_CHIP_H_

#include <string>

namespace polyops::cpu {

// Microarchitecture in [a-z0-9_], e.g. "amd_zen4"; of one that has no name here its vendor, family
// and model, e.g. "amd_fam1ah_model44h".
std::string chip_name();

// Comma-separated, e.g. "avx2,fma,avx512f,...": the features any kernel here asks about.
std::string feature_list();

// Non-zero if processor and operating system run kernels built for that ISA ("avx512").
int runs_isa(const char* isa);

// Whether this process may use AMX's tiles and their products of bfloat16. simd/amx.h declares it
// for the kernels.
bool has_amx_bf16();

}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CHIP_H_
