// Runs a plan on the threads, and which element types there are.
#ifndef POLYOPS_CPU_GEMM_LAUNCH_H_
#define POLYOPS_CPU_GEMM_LAUNCH_H_

#include <cstdint>

#include "gemm/driver.h"
#include "gemm/plan.h"
#include "gemm/problem.h"
#include "polyops/abi.h"

namespace polyops::cpu {
namespace {

template <class V, class E>
struct Job {
  const Problem<E, typename V::Scalar>* problem;
  const Plan* plan;
  char* scratch;
};

template <class V, class E>
void run_parts(void* user, int64_t begin, int64_t end, int32_t) {
  const auto& job = *static_cast<const Job<V, E>*>(user);
  for (int64_t i = begin; i < end; ++i) {
    auto* scratch = reinterpret_cast<E*>(job.scratch + i * job.plan->part_bytes);
    run_part<V>(*job.problem, *job.plan, i, scratch);
  }
}

template <class V, class E>
void run_plan(const Problem<E, typename V::Scalar>& problem, const Plan& plan,
              const polyops_context* ctx) {
  Job<V, E> job = {&problem, &plan, static_cast<char*>(ctx->scratch)};
  const int64_t parts = plan.row_parts * plan.column_parts;
  if (parts == 1) {
    run_parts<V, E>(&job, 0, 1, 0);
  } else {
    ctx->parallel_for(ctx, parts, 1, run_parts<V, E>, &job);
  }
}

// Calls run<vector, element>() for a dtype that this ISA and machine multiply; false for others.
template <class Run>
bool with_elements(int32_t dtype, const Run& run) {
  if (dtype == POLYOPS_FLOAT32) {
    run.template operator()<F32, float>();
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
