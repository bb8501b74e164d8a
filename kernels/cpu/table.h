// How one op's translation unit hands its kernels to backend.cc. Compiled once per ISA, so each
// unit's function carries the ISA in its name.
#ifndef POLYOPS_CPU_TABLE_H_
#define POLYOPS_CPU_TABLE_H_

#include <cstddef>

#include "polyops/abi.h"

namespace polyops::cpu {

struct KernelList {
  const polyops_kernel* first;
  size_t count;
};

}  // namespace polyops::cpu

#define POLYOPS_CONCAT_(a, b) a##_##b
#define POLYOPS_CONCAT(a, b) POLYOPS_CONCAT_(a, b)
#define POLYOPS_STRING_(x) #x
#define POLYOPS_STRING(x) POLYOPS_STRING_(x)

#ifdef POLYOPS_ISA
// "softmax_lastdim" -> "softmax_lastdim__avx512"
#define POLYOPS_KERNEL(op, name, supports, scratch, launch)            \
  polyops_kernel {                                                     \
    sizeof(polyops_kernel), op, name "__" POLYOPS_STRING(POLYOPS_ISA), \
        POLYOPS_STRING(POLYOPS_ISA), supports, scratch, launch         \
  }

// Ends the unit of one op: its kernels in the order in which they are tried.
#define POLYOPS_CPU_KERNELS(op, ...)                           \
  namespace polyops::cpu {                                     \
  namespace {                                                  \
  constexpr polyops_kernel kKernels[] = {__VA_ARGS__};         \
  }                                                            \
  KernelList POLYOPS_CONCAT(op, POLYOPS_ISA)();                \
  KernelList POLYOPS_CONCAT(op, POLYOPS_ISA)() {               \
    return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; \
  }                                                            \
  }
#endif  // POLYOPS_ISA

#endif  // POLYOPS_CPU_TABLE_H_
