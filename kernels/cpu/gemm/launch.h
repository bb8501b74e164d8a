// Runs a plan on the threads, and which element types there are.
#ifndef POLYOPS_CPU_GEMM_LAUNCH_H_
#define POLYOPS_CPU_GEMM_LAUNCH_H_

#include <cstdint>

#include "gemm/driver.h"
#include "gemm/plan.h"
#include "gemm/problem.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

template <class V, class E>
void run_plan(const Problem<E, typename V::Scalar>& problem, const Plan& plan,
              const polyops_context* ctx) {
  auto* scratch = static_cast<char*>(ctx->scratch);
  parallel_for(
      ctx, plan.row_parts * plan.column_parts, 1, [&](int64_t begin, int64_t end, int32_t) {
        for (int64_t i = begin; i < end; ++i) {
          run_part<V>(problem, plan, i, reinterpret_cast<E*>(scratch + i * plan.part_bytes));
        }
      });
}

// Calls run<vector, element>() for a dtype that this ISA and machine multiply; false for others.
template <class Run>
bool with_elements(int32_t dtype, const Run& run) {
  if (dtype == POLYOPS_FLOAT32) {
    run.template operator()<F32, float>();
    return true;
  }
  if (dtype == POLYOPS_FLOAT16) {
    run.template operator()<F32, f16>();
    return true;
  }
#if defined(POLYOPS_ISA_SCALAR)
  if (dtype == POLYOPS_FLOAT64) {
    run.template operator()<F64, double>();
    return true;
  }
#endif
  if constexpr (kHasBf16Pairs) {
    if (dtype == POLYOPS_BFLOAT16 && multiplies_bf16()) {
      run.template operator()<F32, bf16>();
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_LAUNCH_H_
