// gemm_pack and gemm_prepacked: rhs copied once into the panels that gemm_packed and gemm_amx would
// copy it into at every call.
//   "panels"  [panel of kTileColumns columns][k][columns], of pairs [k / 2][columns][2]; all of k
//   is
//             filled up to whole steps, the last panel's columns to whole vectors.
//   "tiles"   amx_pack.h's, bfloat16.
// Bound: 2 m n k flops; with few rows the bytes of rhs.
#ifndef POLYOPS_CPU_GEMM_PREPACKED_H_
#define POLYOPS_CPU_GEMM_PREPACKED_H_

#include <cstddef>
#include <cstdint>

#include "gemm/amx.h"
#include "gemm/launch.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// Compared by address: each instruction set has panels of its own.
constexpr char kPanelsFormat[] = "panels";

const char* supports_pack(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_pack_args*>(data);
  return with_elements(args.rhs.dtype, []<class V, class E>() {}) ? nullptr : "dtype";
}

template <class V, class E>
void pack_all(const polyops_gemm_pack_args& args, const polyops_context* ctx) {
  constexpr int64_t kStep = kDepth<V, E>;
  const int64_t k = args.rhs.sizes[1], n = args.rhs.sizes[2];
  const int64_t stride_k = stride_or(args.rhs, 1, 1), stride_n = stride_or(args.rhs, 2, 1);
  const int64_t padded_k = ceil_div(k, kStep) * kStep;
  const auto* rhs = static_cast<const E*>(args.rhs.data);
  auto* packed = static_cast<E*>(args.pack->data);
  if (packed == nullptr) {
    args.pack->bytes =
        ceil_div(n, V::kLanes) * V::kLanes * padded_k * static_cast<int64_t>(sizeof(E));
    return;
  }
  parallel_for(ctx, ceil_div(n, kTileColumns<V>), 1, [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t j = begin * kTileColumns<V>; j < min_of(n, end * kTileColumns<V>);
         j += kTileColumns<V>) {
      const int64_t columns = min_of(kTileColumns<V>, n - j);
      pack<V>(rhs + j * stride_n, stride_k, stride_n, k, columns, packed + j * padded_k,
              ceil_div(columns, V::kLanes) * V::kLanes);
    }
  });
}

int launch_pack(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_gemm_pack_args*>(data);
  with_elements(args.rhs.dtype, [&]<class V, class E>() { pack_all<V, E>(args, ctx); });
  args.pack->format = kPanelsFormat;
  return POLYOPS_OK;
}

const polyops_gemm_prepacked_args& prepacked_args(const void* data) {
  return *static_cast<const polyops_gemm_prepacked_args*>(data);
}

// What the kernels of this op have in common.
const char* unsupported(const polyops_gemm_prepacked_args& args, const char* format) {
  if (args.pack->format != format) return "packed for another kernel";
  if (args.gemm->dst.sizes[0] != 1) return "batch";
  // gemm_packed reads the weights at memory's speed where they lie (4096 x 4096: 10 % faster).
  if (args.gemm->dst.sizes[1] == 1) return "one row";
  return unsupported(*args.gemm);
}

const char* supports_prepacked(const void* data) {
  return unsupported(prepacked_args(data), kPanelsFormat);
}

template <class V, class E>
Problem<E, typename V::Scalar> prepacked_problem_of(const polyops_gemm_prepacked_args& args) {
  auto problem = read_problem<E, typename V::Scalar>(*args.gemm);
  problem.rhs = static_cast<const E*>(args.pack->data);
  return problem;
}

size_t scratch_bytes_prepacked(const void* data, int32_t threads) {
  const auto& args = prepacked_args(data);
  size_t bytes = 0;
  with_elements(args.gemm->dst.dtype, [&]<class V, class E>() {
    const Plan plan = plan_of<V>(prepacked_problem_of<V, E>(args), threads, true);
    bytes = plan.part_bytes * plan.row_parts * plan.column_parts;
  });
  return bytes;
}

int launch_prepacked(const void* data, const polyops_context* ctx) {
  const auto& args = prepacked_args(data);
  with_elements(args.gemm->dst.dtype, [&]<class V, class E>() {
    const auto problem = prepacked_problem_of<V, E>(args);
    run_plan<V>(problem, plan_of<V>(problem, ctx->num_threads, true), ctx);
  });
  return POLYOPS_OK;
}

#if defined(POLYOPS_ISA_AVX512)

constexpr char kTilesFormat[] = "tiles";

const char* supports_pack_amx(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_pack_args*>(data);
  if (args.rhs.dtype != POLYOPS_BFLOAT16) return "dtype";
  return has_amx_bf16() && multiplies_bf16() ? nullptr : "no AMX";
}

int launch_pack_amx(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_gemm_pack_args*>(data);
  const int64_t k = args.rhs.sizes[1], n = args.rhs.sizes[2];
  const int64_t stride_k = stride_or(args.rhs, 1, 1), stride_n = stride_or(args.rhs, 2, 1);
  const int64_t padded_k = ceil_div(k, kTileDepth) * kTileDepth;
  const auto* rhs = static_cast<const bf16*>(args.rhs.data);
  auto* packed = static_cast<bf16*>(args.pack->data);
  args.pack->format = kTilesFormat;
  if (packed == nullptr) {
    args.pack->bytes = ceil_div(n, 16) * 16 * padded_k * static_cast<int64_t>(sizeof(bf16));
    return POLYOPS_OK;
  }
  parallel_for(ctx, ceil_div(n, kPanel), 4, [&](int64_t begin, int64_t end, int32_t) {
    const int64_t j0 = begin * kPanel, j1 = min_of(n, end * kPanel);
    pack_panels(rhs + j0 * stride_n, stride_k, stride_n, k, j1 - j0, packed + j0 * padded_k,
                padded_k);
  });
  return POLYOPS_OK;
}

const char* supports_prepacked_amx(const void* data) {
  const auto& args = prepacked_args(data);
  if (const char* reason = unsupported(args, kTilesFormat)) return reason;
  return has_amx_bf16() ? nullptr : "no AMX";
}

AmxProblem prepacked_amx_problem_of(const polyops_gemm_prepacked_args& args) {
  auto problem = read_problem<bf16, float>(*args.gemm);
  problem.rhs = static_cast<const bf16*>(args.pack->data);
  return problem;
}

size_t scratch_bytes_prepacked_amx(const void* data, int32_t threads) {
  const AmxPlan plan = amx_plan_of(prepacked_amx_problem_of(prepacked_args(data)), threads, true);
  return plan.part_bytes * plan.row_parts * plan.column_parts;
}

int launch_prepacked_amx(const void* data, const polyops_context* ctx) {
  if (!has_amx_bf16()) return POLYOPS_DECLINED;
  const auto problem = prepacked_amx_problem_of(prepacked_args(data));
  run_amx_plan(problem, amx_plan_of(problem, ctx->num_threads, true), ctx);
  return POLYOPS_OK;
}

#endif  // POLYOPS_ISA_AVX512

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_PREPACKED_H_
