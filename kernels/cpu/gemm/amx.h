// gemm on the tiles of AMX (simd/amx.h): bfloat16, sums of all of k in float32, rounded once. One
// operand, whichever costs less, is packed per call into pairs along k; the other is read where it
// lies, if it has unit stride along k. So nothing is copied of nn.Linear's weights while there are
// few rows: the weights are lhs then, and dst^T, which comes out, is turned in registers. Each
// element of dst is one chain of sums over k, however many threads there are.
// Bound: 2 m n k flops, 1024 a cycle. Emerald Rapids, a virtual machine, random numbers: products
// alone 2400 to 2600 GF/s a thread (zeros: 3000), at times 1000. Alone in a loop, 2 threads: 2400
// at 2048 x 384 x 384, 2250 at 1024^3, 2000 at 128 x 3072 x 768, 500 with a k of 32 or 40. Lost, in
// a loop of tiles alone: blocks of 256 along k, sums kept between (0 to 12 %); the panel prefetched
// (0 to 20 %). Not settled: a lhs of unit stride along k copied to whole tiles.
#ifndef POLYOPS_CPU_GEMM_AMX_H_
#define POLYOPS_CPU_GEMM_AMX_H_

#include <cstddef>
#include <cstdint>

#include "gemm/amx_part.h"
#include "gemm/driver.h"
#include "parallel.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

const char* supports_amx(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  if (args.dst.dtype != POLYOPS_BFLOAT16) return "dtype";
  if (const char* reason = unsupported(args)) return reason;
  // Of a tile's 16 rows 15 would be idle, while dot.h streams the matrix at memory's speed.
  if (args.dst.sizes[1] == 1 || args.dst.sizes[2] == 1) return "one row";
  return has_amx_bf16() && multiplies_bf16() ? nullptr : "no AMX";
}

size_t scratch_bytes_amx(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  const AmxPlan plan = amx_plan_of(amx_problem_of(args), threads);
  return plan.part_bytes * plan.row_parts * plan.column_parts;
}

inline void run_amx_plan(const AmxProblem& problem, const AmxPlan& plan,
                         const polyops_context* ctx) {
  auto* scratch = static_cast<char*>(ctx->scratch);
  parallel_for(ctx, plan.row_parts * plan.column_parts, 1,
               [&](int64_t begin, int64_t end, int32_t) {
                 configure_tiles(min_of(kTileRows, problem.m));
                 Finisher finisher;
                 for (int64_t i = begin; i < end; ++i) {
                   run_amx_part(problem, plan, i, scratch + i * plan.part_bytes, finisher);
                 }
                 finisher.run_all();
                 release_tiles();
               });
}

int launch_amx(const void* data, const polyops_context* ctx) {
  if (!has_amx_bf16()) return POLYOPS_DECLINED;
  const auto problem = amx_problem_of(*static_cast<const polyops_gemm_args*>(data));
  run_amx_plan(problem, amx_plan_of(problem, ctx->num_threads), ctx);
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_H_
