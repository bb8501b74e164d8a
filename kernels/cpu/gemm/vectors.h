// gemm of a row and a column, both of unit stride: aten::dot, and mm of one result. Blocks of k,
// each in four chains of sums to the lane, on as many threads as pay; the sums of the blocks are
// added up in pairs, the same ones whatever the threads. Bound: the bytes of both vectors.
#ifndef POLYOPS_CPU_GEMM_VECTORS_H_
#define POLYOPS_CPU_GEMM_VECTORS_H_

#include <cstddef>
#include <cstdint>

#include "gemm/launch.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

constexpr int kChains = 4;

// Elements of a block: no chain is longer than 128 steps.
template <class V, class E>
inline constexpr int64_t kVectorsBlock =
    min_of(128, kSumSteps<typename V::Scalar>) * kChains * V::kLanes * kDepth<V, E>;

// Bytes that a thread gets at least: 5 us of them.
constexpr int64_t kVectorsGrain = 200'000;

template <class V, class E>
typename V::Scalar multiply_vectors(const E* x, const E* y, int64_t n) {
  using Operand = Operand<V, E>;
  constexpr int64_t kStep = V::kLanes * kDepth<V, E>;
  V acc[kChains];
#pragma GCC unroll 4
  for (int c = 0; c < kChains; ++c) acc[c] = V::zero();
  int64_t i = 0;
  for (; i + kChains * kStep <= n; i += kChains * kStep) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const int64_t at = i + c * kStep;
      acc[c] = fma(Operand::load(x + at), Operand::load(y + at), acc[c]);
    }
  }
  for (int c = 0; i + kStep <= n; i += kStep, ++c) {
    acc[c] = fma(Operand::load(x + i), Operand::load(y + i), acc[c]);
  }
  if (i < n) {
    acc[kChains - 1] = fma(Operand::load_partial(x + i, n - i), Operand::load_partial(y + i, n - i),
                           acc[kChains - 1]);
  }
  return reduce_add((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

// Overwrites them.
template <class S>
inline S add_in_pairs(S* sums, int64_t count) {
  for (; count > 1; count = ceil_div(count, 2)) {
    for (int64_t i = 0; i + 1 < count; i += 2) sums[i / 2] = sums[i] + sums[i + 1];
    if (count % 2 != 0) sums[count / 2] = sums[count - 1];
  }
  return sums[0];
}

inline bool has_unit_stride(const polyops_tensor& t, int dim) {
  return t.sizes[dim] == 1 || t.strides[dim] == 1;
}

inline const char* supports_vectors(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  if (const char* reason = unsupported(args)) return reason;
  const int64_t* sizes = args.dst.sizes;
  if (sizes[0] != 1 || sizes[1] != 1 || sizes[2] != 1) return "more than one result";
  if (!has_unit_stride(args.lhs, 2) || !has_unit_stride(args.rhs, 1)) return "layout";
  return with_elements(args.dst.dtype, []<class V, class E>() {}) ? nullptr : "dtype";
}

inline size_t scratch_bytes_vectors(const void* data, int32_t) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  size_t bytes = 0;
  with_elements(args.dst.dtype, [&]<class V, class E>() {
    bytes = ceil_div(args.lhs.sizes[2], kVectorsBlock<V, E>) * sizeof(typename V::Scalar);
  });
  return bytes;
}

template <class V, class E>
void run_vectors(const polyops_gemm_args& args, const polyops_context* ctx) {
  using S = typename V::Scalar;
  constexpr int64_t kBlock = kVectorsBlock<V, E>;
  const auto* x = static_cast<const E*>(args.lhs.data);
  const auto* y = static_cast<const E*>(args.rhs.data);
  const int64_t k = args.lhs.sizes[2], blocks = ceil_div(k, kBlock);
  auto* sums = static_cast<S*>(ctx->scratch);
  constexpr int64_t kGrain = ceil_div(kVectorsGrain, 2 * kBlock * int64_t{sizeof(E)});
  parallel_for(ctx, blocks, kGrain, [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t at = b * kBlock;
      sums[b] = multiply_vectors<V, E>(x + at, y + at, min_of(kBlock, k - at));
    }
  });
  S result = static_cast<S>(args.alpha) * add_in_pairs(sums, blocks);
  if (polyops_is_present(&args.addend) != 0) {
    result += static_cast<S>(args.beta) * get(static_cast<const E*>(args.addend.data));
  }
  put(static_cast<E*>(args.dst.data), result);
}

inline int launch_vectors(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_gemm_args*>(data);
  int status = POLYOPS_DECLINED;
  with_elements(args.dst.dtype, [&]<class V, class E>() {
    run_vectors<V, E>(args, ctx);
    status = POLYOPS_OK;
  });
  return status;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_VECTORS_H_
