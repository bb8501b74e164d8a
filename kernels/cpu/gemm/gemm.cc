// gemm: register tiles of 6 x 64 (AVX-512) or 6 x 16 (AVX2) over panels of rhs packed per call; few
// rows read rhs where it lies (tile.h along columns, dot.h along k), and where the weights of a
// layer are the larger operand, lhs is what is packed (problem.h). No barrier: a thread packs what
// it multiplies, so a call is one fork and join. While it multiplies, what it packs or reads next
// is brought into the L2 cache (128 x 768 x 768 on Emerald Rapids: 384 -> 410 GF/s). bfloat16,
// where the machine multiplies it (simd/bf16_pairs.h): the same tiles over pairs along k, sums in
// float32, rounded once; rhs is always packed, or read by dot.h, and all of k is one block. Bound:
// 2 m n k flops; with few rows the bytes of rhs. Zen 4, 2 threads, of 234 GF/s: 204 to 220 on
// nn.Linear's shapes from 128 rows up (MKL, beside the version before: 113 to 185); bfloat16, of
// 466: 333 to 438 (oneDNN: 225 to 412), and one row of 4096 x 4096 at 39 GB/s (18).
// On AMX amx.h is asked first; two vectors are vectors.h's.
// Lost: blocks of 384 along k (2 to 7 %), dst not prefetched (2 to 7 %), rhs prefetched tile by
// tile (1 %), a transposed lhs always packed (up to 8 %), a transposition with half the shuffles
// (0: its limit is the way between the caches).
#include "polyops/ops/gemm.h"

#include <cstddef>
#include <cstdint>

#include "gemm/amx.h"
#include "gemm/launch.h"
#include "gemm/prepacked.h"
#include "gemm/vectors.h"
#include "table.h"

namespace polyops::cpu {
namespace {

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
  with_elements(args.dst.dtype, [&]<class V, class E>() {
    const auto problem = problem_of<V, E>(args);
    run_plan<V>(problem, plan_of<V>(problem, ctx->num_threads), ctx);
    status = POLYOPS_OK;
  });
  return status;
}

}  // namespace
}  // namespace polyops::cpu

// Each op's kernels in the order in which they are tried.
#define PANEL_KERNELS                                                                              \
  POLYOPS_KERNEL("gemm", "gemm_vectors", supports_vectors, scratch_bytes_vectors, launch_vectors), \
      POLYOPS_KERNEL("gemm", "gemm_packed", supports, scratch_bytes, launch),                      \
      POLYOPS_KERNEL("gemm_pack", "gemm_pack_panels", supports_pack, nullptr, launch_pack),        \
      POLYOPS_KERNEL("gemm_prepacked", "gemm_prepacked_panels", supports_prepacked,                \
                     scratch_bytes_prepacked, launch_prepacked)
#if defined(POLYOPS_ISA_AVX512)
POLYOPS_CPU_KERNELS(gemm,
                    POLYOPS_KERNEL("gemm", "gemm_amx", supports_amx, scratch_bytes_amx, launch_amx),
                    POLYOPS_KERNEL("gemm_pack", "gemm_pack_tiles", supports_pack_amx, nullptr,
                                   launch_pack_amx),
                    POLYOPS_KERNEL("gemm_prepacked", "gemm_prepacked_tiles", supports_prepacked_amx,
                                   scratch_bytes_prepacked_amx, launch_prepacked_amx),
                    PANEL_KERNELS)
#else
POLYOPS_CPU_KERNELS(gemm, PANEL_KERNELS)
#endif
