// Numbers that plans are made of.
#ifndef POLYOPS_CPU_NUMBERS_H_
#define POLYOPS_CPU_NUMBERS_H_

#include <cstdint>

namespace polyops::cpu {
namespace {

constexpr int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// The next multiple of a cache line's worth of floats.
constexpr int64_t rounded_up(int64_t n) { return ceil_div(n, 16) * 16; }

// Sums of more steps are added up in blocks, or their last bits would be lost. In float64 one lane
// has to do what vectors do elsewhere, and stock's errors are those of short sums.
template <class S>
constexpr int64_t kSumSteps = sizeof(S) == sizeof(double) ? 32 : 192;

// Where stock's float32 sums are short ones too, and 168 steps were found to miss twice its error.
template <class S>
constexpr int64_t kFewSumSteps = sizeof(S) == sizeof(double) ? 32 : 64;

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_NUMBERS_H_
