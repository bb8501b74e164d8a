// Division by a number that the host knows: a multiplication and a shift, where a GPU takes some 20
// instructions for a quotient of 32 bits (Granlund and Montgomery, PLDI 1994).
#ifndef POLYOPS_GPU_DIVISION_H_
#define POLYOPS_GPU_DIVISION_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Of n < 2^31 by 1 <= divisor < 2^31.
struct Division {
  uint32_t divisor = 1;
  uint32_t factor = 1;
  int shift = 0;

  Division() = default;
  explicit Division(uint32_t by) : divisor(by) {
    while (shift < 31 && uint32_t{1} << shift < by) ++shift;
    factor = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - by)) / by + 1);
  }

  GPU_DEVICE uint32_t quotient(uint32_t n) const {
    return (static_cast<uint32_t>(uint64_t{n} * factor >> 32) + n) >> shift;
  }
};

// n becomes the quotient; the remainder is returned.
GPU_DEVICE uint32_t take_remainder(const Division& by, uint32_t* n) {
  const uint32_t quotient = by.quotient(*n);
  const uint32_t rest = *n - quotient * by.divisor;
  *n = quotient;
  return rest;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_DIVISION_H_
