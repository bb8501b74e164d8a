// gemm: register tiles of 6 x 64 (AVX-512) or 6 x 16 (AVX2) over panels of rhs packed per call; few
// rows read rhs where it lies (tile.h along columns, dot.h along k). No barrier: a thread packs
// what it multiplies, so a call is one fork and join.
// bfloat16, where the machine multiplies it (simd/bf16_pairs.h): the same tiles over pairs along k,
// sums in float32, rounded once; rhs is always packed, or read by dot.h, and all of k is one block.
// Bound: 2 m n k flops; with few rows the bytes of rhs. Zen 4, 2 threads, of 234 GF/s: 204 to 220
// on nn.Linear's shapes from 128 rows up (MKL, beside the version before: 113 to 185); bfloat16, of
// 466: 333 to 438 (oneDNN: 225 to 412), and one row of 4096 x 4096 at 39 GB/s (18).
// On AMX amx.h is asked first.
// Lost: blocks of 384 along k (2 to 7 %), dst not prefetched (2 to 7 %), rhs prefetched (1 %), a
// transposed lhs always packed (up to 8 %).
#include "polyops/ops/gemm.h"

#include <cstddef>
#include <cstdint>

#include "gemm/amx.h"
#include "gemm/driver.h"
#include "gemm/plan.h"
#include "gemm/problem.h"
#include "table.h"

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
int launch_as(const polyops_gemm_args& args, const polyops_context* ctx) {
  const auto problem = problem_of<V, E>(args);
  const Plan plan = plan_of<V>(problem, ctx->num_threads);
  Job<V, E> job = {&problem, &plan, static_cast<char*>(ctx->scratch)};
  const int64_t parts = plan.row_parts * plan.column_parts;
  if (parts == 1) {
    run_parts<V, E>(&job, 0, 1, 0);
  } else {
    ctx->parallel_for(ctx, parts, 1, run_parts<V, E>, &job);
  }
  return POLYOPS_OK;
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

const char* supports(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  const int32_t dtype = args.dst.dtype;
  if (!with_elements(dtype, []<class V, class E>() {})) return "dtype";
  return unsupported(args);
}

size_t scratch_bytes(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  size_t bytes = 0;
  with_elements(args.dst.dtype, [&]<class V, class E>() {
    const Plan plan = plan_of<V>(problem_of<V, E>(args), threads);
    bytes = plan.part_bytes * plan.row_parts * plan.column_parts;
  });
  return bytes;
}

int launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  int status = POLYOPS_DECLINED;
  with_elements(args.dst.dtype, [&]<class V, class E>() { status = launch_as<V, E>(args, ctx); });
  return status;
}

}  // namespace
}  // namespace polyops::cpu

#if defined(POLYOPS_ISA_AVX512)
POLYOPS_CPU_KERNELS(gemm,
                    POLYOPS_KERNEL("gemm", "gemm_amx", supports_amx, scratch_bytes_amx, launch_amx),
                    POLYOPS_KERNEL("gemm", "gemm_packed", supports, scratch_bytes, launch))
#else
POLYOPS_CPU_KERNELS(gemm, POLYOPS_KERNEL("gemm", "gemm_packed", supports, scratch_bytes, launch))
#endif
