// softmax_backward: grad_src = dst * (grad_dst - sum(grad_dst * dst)); the row is read twice, the
// second time from cache.
#ifndef POLYOPS_CPU_SOFTMAX_BACKWARD_H_
#define POLYOPS_CPU_SOFTMAX_BACKWARD_H_

#include "parallel.h"
#include "polyops/ops/softmax.h"
#include "rows.h"
#include "softmax/columns.h"
#include "softmax/layout.h"

namespace polyops::cpu {
namespace {

// out may be grad.
template <class V, class E>
inline void softmax_backward_row(const E* grad, const E* y, E* out, int64_t n) {
  typename V::Scalar whole = 0;
  for_each_block<V>(n, [&](int64_t begin, int64_t count) {
    V sum[kUnroll];
    clear(sum);
    sweep<V, kUnroll>(count, [&](int64_t i, int u, auto lanes) {
      add_product(sum, u, load<V>(grad + begin + i, lanes), load<V>(y + begin + i, lanes));
    });
    whole += total(sum);
  });
  const V dot = V::set1(whole);
  fill_with<V, kUnroll>(out, n, [&](int64_t i, int, auto lanes) {
    return load<V>(y + i, lanes) * (load<V>(grad + i, lanes) - dot);
  });
}

inline int backward_lastdim(const void* p, const polyops_context* ctx) {
  const auto* a = static_cast<const polyops_softmax_backward_args*>(p);
  const auto rows = make_space_without<3>({&a->grad_dst, &a->dst, &a->grad_src}, a->dim);
  const int64_t n = a->dst.sizes[a->dim];
  with_types(a->dst.dtype, [&]<class V, class E>() {
    const auto* grad = static_cast<const E*>(a->grad_dst.data);
    const auto* y = static_cast<const E*>(a->dst.data);
    auto* out = static_cast<E*>(a->grad_src.data);
    const auto body = [&](int64_t begin, int64_t end, int32_t) {
      Cursor<3> at(rows, begin);
      for (int64_t r = begin; r < end; ++r, at.next()) {
        softmax_backward_row<V>(grad + at.offset[0], y + at.offset[1], out + at.offset[2], n);
      }
    };
    parallel_for(ctx, rows.count, row_grain(n), body);
  });
  return POLYOPS_OK;
}

inline int backward_inner(const void* p, const polyops_context* ctx) {
  const auto* a = static_cast<const polyops_softmax_backward_args*>(p);
  const auto plan = columns_of<3>({&a->grad_dst, &a->dst, &a->grad_src}, a->dim);
  with_types(a->dst.dtype, [&]<class V, class E>() {
    const auto block = [&]<int C>(auto lanes, const auto& at, int32_t) {
      const Matrix<const E> grad = {static_cast<const E*>(a->grad_dst.data) + at[0],
                                    a->grad_dst.strides[a->dim]};
      const Matrix<const E> y = {static_cast<const E*>(a->dst.data) + at[1],
                                 a->dst.strides[a->dim]};
      const Matrix<E> out = {static_cast<E*>(a->grad_src.data) + at[2],
                             a->grad_src.strides[a->dim]};
      softmax_backward_columns<V, C, E>(grad, y, out, plan.shape.n, lanes);
    };
    for_each_column_block<V>(ctx, plan, block);
  });
  return POLYOPS_OK;
}

inline size_t backward_strided_scratch(const void* p, int32_t threads) {
  const auto* a = static_cast<const polyops_softmax_backward_args*>(p);
  const size_t width = a->dst.dtype == POLYOPS_FLOAT64 ? sizeof(double) : sizeof(float);
  return 2 * width * padded(a->dst.sizes[a->dim]) * threads;
}

inline int backward_strided(const void* p, const polyops_context* ctx) {
  const auto* a = static_cast<const polyops_softmax_backward_args*>(p);
  const auto rows = make_space_without<3>({&a->grad_dst, &a->dst, &a->grad_src}, a->dim);
  const int64_t n = a->dst.sizes[a->dim];
  const auto grad_row = make_space<1>({&a->grad_dst}, a->dim, a->dim + 1);
  const auto y_row = make_space<1>({&a->dst}, a->dim, a->dim + 1);
  const auto out_row = make_space<1>({&a->grad_src}, a->dim, a->dim + 1);
  with_types(a->dst.dtype, [&]<class V, class E>() {
    using Scalar = typename V::Scalar;
    const auto body = [&](int64_t begin, int64_t end, int32_t thread) {
      Scalar* grad = static_cast<Scalar*>(ctx->scratch) + 2 * thread * padded(n);
      Scalar* y = grad + padded(n);
      Cursor<3> at(rows, begin);
      for (int64_t r = begin; r < end; ++r, at.next()) {
        gather(grad_row, static_cast<const E*>(a->grad_dst.data) + at.offset[0], grad);
        gather(y_row, static_cast<const E*>(a->dst.data) + at.offset[1], y);
        softmax_backward_row<V>(grad, y, grad, n);
        scatter(out_row, grad, static_cast<E*>(a->grad_src.data) + at.offset[2]);
      }
    };
    parallel_for(ctx, rows.count, row_grain(n), body);
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SOFTMAX_BACKWARD_H_
