// The three kernels of softmax: which rows, in which order, with which scratch.
#ifndef POLYOPS_CPU_SOFTMAX_FORWARD_H_
#define POLYOPS_CPU_SOFTMAX_FORWARD_H_

#include "parallel.h"
#include "polyops/ops/softmax.h"
#include "rows.h"
#include "softmax/columns.h"
#include "softmax/layout.h"

namespace polyops::cpu {
namespace {

template <class V, class E>
struct RowJob {
  using Scalar = typename V::Scalar;
  Space<2> rows;
  const E* src;
  E* dst;
  int64_t n;
  Scalar* scratch;  // padded(n) per thread

  template <int K>
  static void in_registers(const RowJob& job, int64_t begin, int64_t end, int32_t) {
    Cursor<2> at(job.rows, begin);
    for (int64_t r = begin; r < end; ++r, at.next()) {
      softmax_row_in_registers<V, K>(job.src + at.offset[0], job.dst + at.offset[1], job.n);
    }
  }

  static void in_cache(const RowJob& job, int64_t begin, int64_t end, int32_t thread) {
    Cursor<2> at(job.rows, begin);
    for (int64_t r = begin; r < end; ++r, at.next()) {
      const E* src = job.src + at.offset[0];
      E* dst = job.dst + at.offset[1];
      if (job.n > kMaxKeptRow) {
        softmax_row_streamed<V>(src, dst, job.n);
      } else if constexpr (sizeof(E) == sizeof(Scalar)) {
        softmax_row_kept<V>(src, dst, dst, job.n);
      } else {
        softmax_row_kept<V>(src, job.scratch + thread * padded(job.n), dst, job.n);
      }
    }
  }

  using Run = void (*)(const RowJob&, int64_t, int64_t, int32_t);
  template <int K = 1>
  static Run choose(int64_t n) {
    if constexpr (K > kMaxRowRegisters) {
      return &in_cache;
    } else {
      return n <= K * V::kLanes ? &in_registers<K> : choose<K + 1>(n);
    }
  }
};

inline size_t lastdim_scratch(const void* p, int32_t threads) {
  const auto* a = static_cast<const polyops_softmax_args*>(p);
  const int64_t n = a->src.sizes[a->dim];
  const bool kept = n > kMaxRowRegisters * F32::kLanes && n <= kMaxKeptRow;
  if (!is_half(a->src.dtype) || !kept) return 0;
  return sizeof(float) * padded(n) * threads;
}

inline int lastdim(const void* p, const polyops_context* ctx) {
  const auto* a = static_cast<const polyops_softmax_args*>(p);
  with_types(a->src.dtype, [&]<class V, class E>() {
    const RowJob<V, E> job = {make_space_without<2>({&a->src, &a->dst}, a->dim),
                              static_cast<const E*>(a->src.data), static_cast<E*>(a->dst.data),
                              a->src.sizes[a->dim], static_cast<typename V::Scalar*>(ctx->scratch)};
    const auto run = RowJob<V, E>::choose(job.n);
    parallel_for(ctx, job.rows.count, row_grain(job.n),
                 [&](int64_t begin, int64_t end, int32_t t) { run(job, begin, end, t); });
  });
  return POLYOPS_OK;
}

inline bool keeps_columns(const Columns& c) { return c.n * c.vectors * F32::kLanes <= kMaxKeptRow; }

inline size_t inner_scratch(const void* p, int32_t threads) {
  const auto* a = static_cast<const polyops_softmax_args*>(p);
  const Columns c = columns_of<2>({&a->src, &a->dst}, a->dim).shape;
  if (!is_half(a->src.dtype) || !keeps_columns(c)) return 0;
  return sizeof(float) * padded(c.n * c.vectors * F32::kLanes) * threads;
}

template <class V, int C, class E, class Lanes>
inline void one_block(Matrix<const E> src, Matrix<E> dst, typename V::Scalar* scratch, int64_t n,
                      bool keep, Lanes lanes) {
  if constexpr (sizeof(E) == sizeof(typename V::Scalar)) {
    softmax_columns_kept<V, C, E>(src, dst, dst, n, lanes);
  } else if (keep) {
    softmax_columns_kept<V, C, E>(src, {scratch, C * V::kLanes}, dst, n, lanes);
  } else {
    softmax_columns_twice<V, C, E>(src, dst, n, lanes);
  }
}

inline int inner(const void* p, const polyops_context* ctx) {
  const auto* a = static_cast<const polyops_softmax_args*>(p);
  const auto plan = columns_of<2>({&a->src, &a->dst}, a->dim);
  const bool keep = keeps_columns(plan.shape);
  with_types(a->src.dtype, [&]<class V, class E>() {
    using Scalar = typename V::Scalar;
    const int64_t n = plan.shape.n;
    const int64_t kept = padded(n * plan.shape.vectors * V::kLanes);
    for_each_column_block<V>(ctx, plan, [&]<int C>(auto lanes, const auto& at, int32_t t) {
      const Matrix<const E> src = {static_cast<const E*>(a->src.data) + at[0],
                                   a->src.strides[a->dim]};
      const Matrix<E> dst = {static_cast<E*>(a->dst.data) + at[1], a->dst.strides[a->dim]};
      one_block<V, C, E>(src, dst, static_cast<Scalar*>(ctx->scratch) + t * kept, n, keep, lanes);
    });
  });
  return POLYOPS_OK;
}

inline size_t strided_scratch(const void* p, int32_t threads) {
  const auto* a = static_cast<const polyops_softmax_args*>(p);
  const size_t width = a->src.dtype == POLYOPS_FLOAT64 ? sizeof(double) : sizeof(float);
  return width * padded(a->src.sizes[a->dim]) * threads;
}

inline int strided(const void* p, const polyops_context* ctx) {
  const auto* a = static_cast<const polyops_softmax_args*>(p);
  const auto rows = make_space_without<2>({&a->src, &a->dst}, a->dim);
  const int64_t n = a->src.sizes[a->dim];
  const auto src_row = make_space<1>({&a->src}, a->dim, a->dim + 1);
  const auto dst_row = make_space<1>({&a->dst}, a->dim, a->dim + 1);
  with_types(a->src.dtype, [&]<class V, class E>() {
    using Scalar = typename V::Scalar;
    const auto body = [&](int64_t begin, int64_t end, int32_t thread) {
      Scalar* row = static_cast<Scalar*>(ctx->scratch) + thread * padded(n);
      Cursor<2> at(rows, begin);
      for (int64_t r = begin; r < end; ++r, at.next()) {
        gather(src_row, static_cast<const E*>(a->src.data) + at.offset[0], row);
        softmax_row_kept<V>(row, row, row, n);
        scatter(dst_row, row, static_cast<E*>(a->dst.data) + at.offset[1]);
      }
    };
    parallel_for(ctx, rows.count, row_grain(n), body);
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SOFTMAX_FORWARD_H_
