// attention on the tiles of AMX (simd/amx.h): bfloat16, sums and exponentials in float32.
// Bound: with a head size of 64, 64 cycles of tiles for 16 x 16 scores, and 105 of vectors, of
// which one port is the tiles' own. Emerald Rapids, a virtual machine, 1 thread, 512 keys: 370
// cycles, 190 of them the tiles', which wait for what comes from the L2 cache. 1.5 to 2 times as
// fast as stock.
#ifndef POLYOPS_CPU_ATTENTION_AMX_H_
#define POLYOPS_CPU_ATTENTION_AMX_H_

#include <cstddef>
#include <cstdint>

#include "attention/amx_band.h"
#include "attention/layout.h"
#include "parallel.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// A score takes its two products, at 400 multiply-adds per ns, and 0.4 ns as a weight.
inline int64_t amx_parts_of(const AmxAttention& p, int64_t threads) {
  return parts_of(p, threads, static_cast<double>(2 * p.dim) / 400 + 0.4);
}

const char* supports_amx(const void* data) {
  const auto& a = *static_cast<const polyops_attention_args*>(data);
  if (a.query.dtype != POLYOPS_BFLOAT16) return "dtype";
  if (const char* reason = unsupported(a)) return reason;
  // Tiles want 16, and keys packed once for many.
  if (a.query.sizes[2] <= kFewQueries) return "few queries";
  return has_amx_bf16() && multiplies_bf16() ? nullptr : "no AMX";
}

size_t scratch_bytes_amx(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_attention_args*>(data);
  const auto problem = problem_of<bf16, float>(args);
  return amx_plan_of(problem).part_bytes * amx_parts_of(problem, threads);
}

int launch_amx(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_attention_args*>(data);
  if (!unit_stride(args.dst) || !has_amx_bf16()) return POLYOPS_DECLINED;  // dst: known only now
  const auto problem = problem_of<bf16, float>(args);
  const AmxAttentionPlan plan = amx_plan_of(problem);
  const int64_t parts = amx_parts_of(problem, ctx->num_threads);
  auto* scratch = static_cast<char*>(ctx->scratch);
  parallel_for(ctx, parts, 1, [&](int64_t begin, int64_t end, int32_t) {
    configure_tiles(kTileRows);
    for (int64_t i = begin; i < end; ++i) {
      char* own = scratch + i * plan.part_bytes;
      for_each_band(problem, plan.band, i, parts,
                    [&](int64_t batch, int64_t head, int64_t first, int64_t count) {
                      AmxBand{problem, plan, own, batch, head, first, count}.run();
                    });
    }
    release_tiles();
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_ATTENTION_AMX_H_
