// layer_norm forward. Three passes over a row that stays in the first-level cache: the sum; the
// deviations from the mean and their squares; the result. The sum of the deviations corrects what
// rounding did to the mean, so that a mean 1e4 times the deviation costs the result no digits.
#ifndef POLYOPS_CPU_LAYER_NORM_FORWARD_H_
#define POLYOPS_CPU_LAYER_NORM_FORWARD_H_

#include "layer_norm/layout.h"
#include "polyops/ops/layer_norm.h"

namespace polyops::cpu {
namespace {

// The mean is center + shift, to twice the precision.
template <class A>
struct Moments {
  A center;
  A shift;
  A rstd;
};

// Of a row whose sum or squares leave the range of float, as values beyond 1e18 do.
template <class E>
__attribute__((noinline)) Moments<float> wide_row_moments(const E* src, int64_t n, double eps) {
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n; ++i) mean += get(src + i);
  mean /= static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) square += (get(src + i) - mean) * (get(src + i) - mean);
  const double rstd = 1 / square_root(square / static_cast<double>(n) + eps);
  const auto center = static_cast<float>(mean);
  return {center, static_cast<float>(mean - center), static_cast<float>(rstd)};
}

template <class V, class E>
inline Moments<typename V::Scalar> row_moments(const E* src, int64_t n, double eps) {
  using A = typename V::Scalar;
  A whole = 0;
  for_each_block<V>(n, [&](int64_t begin, int64_t count) {
    V sum[kUnroll];
    clear(sum);
    sweep<V, kUnroll>(
        count, [&](int64_t i, int u, auto lanes) { add(sum, u, load<V>(src + begin + i, lanes)); });
    whole += total(sum);
  });
  const A center = whole / static_cast<A>(n);
  A deviation = 0;
  A square = 0;
  for_each_block<V>(n, [&](int64_t begin, int64_t count) {
    V sum[kUnroll], squares[kUnroll];
    clear(sum);
    clear(squares);
    sweep<V, kUnroll>(count, [&](int64_t i, int u, auto lanes) {
      const auto d = fill(load<V>(src + begin + i, lanes) - V::set1(center), V::zero(), lanes);
      add(sum, u, d);
      add_product(squares, u, d, d);
    });
    deviation += total(sum);
    square += total(squares);
  });
  if constexpr (sizeof(A) == sizeof(float)) {
    if (!__builtin_isfinite(square)) return wide_row_moments(src, n, eps);
  }
  const A shift = deviation / static_cast<A>(n);
  A var = square / static_cast<A>(n) - shift * shift;
  if (var < 0) var = 0;
  return {center, shift, 1 / square_root(var + static_cast<A>(eps))};
}

template <class V, class E, class P>
inline Moments<typename V::Scalar> layer_norm_row(const E* src, const P* weight, const P* bias,
                                                  E* dst, int64_t n, double eps) {
  const auto m = row_moments<V>(src, n, eps);
  const V center = V::set1(m.center);
  const V scale = V::set1(m.rstd);
  const V offset = V::set1(-m.shift * m.rstd);
  if (weight != nullptr && bias != nullptr) {
    fill_with<V, kUnroll, kSame<E, P>>(dst, n, [&](int64_t i, int, auto lanes) {
      const auto x = fma(load<V>(src + i, lanes) - center, scale, offset);
      return fma(x, load<V>(weight + i, lanes), load<V>(bias + i, lanes));
    });
  } else {
    fill_with<V, kUnroll, kSame<E, P>>(dst, n, [&](int64_t i, int, auto lanes) {
      auto x = fma(load<V>(src + i, lanes) - center, scale, offset);
      if (weight != nullptr) x = x * load<V>(weight + i, lanes);
      if (bias != nullptr) x = x + load<V>(bias + i, lanes);
      return x;
    });
  }
  return m;
}

template <class P, class A>
inline void put_moments(const polyops_layer_norm_args& a, int64_t row, const Moments<A>& m) {
  put(static_cast<P*>(a.mean.data) + row, m.center + m.shift);
  put(static_cast<P*>(a.rstd.data) + row, m.rstd);
}

inline int contiguous(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto rows = make_space<2>({&a.src, &a.dst}, 0, shape.first_normalized);
  with_layer_norm_types(a.src.dtype, a.mean.dtype, [&]<class V, class E, class P>() {
    const auto* weight = data_of<const P>(a.weight);
    const auto* bias = data_of<const P>(a.bias);
    parallel_for(ctx, shape.rows, row_grain(shape), [&](int64_t begin, int64_t end, int32_t) {
      Cursor<2> at(rows, begin);
      for (int64_t r = begin; r < end; ++r, at.next()) {
        const E* src = static_cast<const E*>(a.src.data) + at.offset[0];
        E* dst = static_cast<E*>(a.dst.data) + at.offset[1];
        put_moments<P>(a, r, layer_norm_row<V>(src, weight, bias, dst, shape.n, a.eps));
      }
    });
  });
  return POLYOPS_OK;
}

inline size_t strided_scratch(const void* p, int32_t threads) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  return scalar_size(a.src.dtype) * padded(shape_of(a.src, a.normalized_rank).n) * threads;
}

inline int strided(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto rows = make_space<2>({&a.src, &a.dst}, 0, shape.first_normalized);
  const auto src_row = make_space<1>({&a.src}, shape.first_normalized, a.src.rank);
  const auto dst_row = make_space<1>({&a.dst}, shape.first_normalized, a.src.rank);
  with_layer_norm_types(a.src.dtype, a.mean.dtype, [&]<class V, class E, class P>() {
    const auto* weight = data_of<const P>(a.weight);
    const auto* bias = data_of<const P>(a.bias);
    parallel_for(ctx, shape.rows, row_grain(shape), [&](int64_t begin, int64_t end, int32_t t) {
      auto* row = static_cast<typename V::Scalar*>(ctx->scratch) + t * padded(shape.n);
      Cursor<2> at(rows, begin);
      for (int64_t r = begin; r < end; ++r, at.next()) {
        gather(src_row, static_cast<const E*>(a.src.data) + at.offset[0], row);
        put_moments<P>(a, r, layer_norm_row<V>(row, weight, bias, row, shape.n, a.eps));
        scatter(dst_row, row, static_cast<E*>(a.dst.data) + at.offset[1]);
      }
    });
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_LAYER_NORM_FORWARD_H_
