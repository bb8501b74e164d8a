// layer_norm_backward: rows are cut into as many pieces as there are threads; each piece sums its
// grad_weight and grad_bias in its own scratch, and the pieces are added in their order, whichever
// thread did them, so results repeat bit for bit.
#ifndef POLYOPS_CPU_LAYER_NORM_BACKWARD_H_
#define POLYOPS_CPU_LAYER_NORM_BACKWARD_H_

#include "layer_norm/backward_rows.h"
#include "polyops/ops/layer_norm.h"

namespace polyops::cpu {
namespace {

// Rows taken together: sums of each live in registers.
constexpr int kRowsTogether = F32::kLanes == 1 ? 1 : F32::kRegisters / 8;
// Longer rows are taken one at a time: together they would fall out of the cache between passes. So
// are those of larger tensors, which come from memory: prefetchers follow one row, not several
// (Zen 4, 4096 x 768: 1.8 ms for 2.7; in the third-level cache, 512 x 4096, it would be 2.1
// for 1.3).
constexpr int64_t kLongRow = 8192;
constexpr int64_t kLargeBytes = 32 << 20;  // of the three tensors

inline bool one_at_a_time(const polyops_layer_norm_backward_args& a, const Shape& shape) {
  const int64_t width = polyops_dtype_size(a.src.dtype);
  return shape.n > kLongRow || 3 * width * shape.rows * shape.n > kLargeBytes;
}

inline bool wants_sums(const polyops_layer_norm_backward_args& a) {
  return polyops_is_present(&a.grad_weight) || polyops_is_present(&a.grad_bias);
}

inline int64_t pieces_of(const Shape& shape, int32_t threads) {
  const int64_t grain = row_grain(shape);
  const int64_t most = (shape.rows + grain - 1) / grain;
  return most < threads ? most : threads;
}

// Where the sums of a piece lie in scratch.
template <class A>
struct Sums {
  A* first;
  int64_t stride;
  A* weight(int64_t piece) const { return first + 2 * piece * stride; }
  A* bias(int64_t piece) const { return weight(piece) + stride; }
};

template <class V, class P, class A>
inline void write_sums(const polyops_context* ctx, const Sums<A>& sums, int64_t pieces, int64_t n,
                       P* grad_weight, P* grad_bias) {
  const int64_t grain = kGrain / pieces + 1;
  parallel_for(ctx, n, (grain + 63) / 64 * 64, [&](int64_t begin, int64_t end, int32_t) {
    const auto add_up = [&](P* out, const A* first) {
      if (out == nullptr) return;
      sweep<V, 1>(end - begin, [&](int64_t i, int, auto lanes) {
        V total = load<V>(first + begin + i, lanes);
        for (int64_t piece = 1; piece < pieces; ++piece) {
          total = total + load<V>(first + 2 * piece * sums.stride + begin + i, lanes);
        }
        store(out + begin + i, total, lanes);
      });
    };
    add_up(grad_weight, sums.weight(0));
    add_up(grad_bias, sums.bias(0));
  });
}

// Cuts the rows into pieces; run(begin, end, sums or null, sums or null, piece) does one.
template <class V, class P, class Run>
inline void for_each_piece(const polyops_layer_norm_backward_args& a, const Shape& shape,
                           const polyops_context* ctx, const Run& run) {
  using A = typename V::Scalar;
  const int64_t pieces = pieces_of(shape, ctx->num_threads);
  const bool wants = wants_sums(a);
  const Sums<A> sums = {static_cast<A*>(ctx->scratch), padded(shape.n)};
  parallel_for(ctx, pieces, 1, [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t piece = begin; piece < end; ++piece) {
      A* weight = wants ? sums.weight(piece) : nullptr;
      A* bias = wants ? sums.bias(piece) : nullptr;
      if (wants) __builtin_memset(weight, 0, 2 * sums.stride * sizeof(A));
      run(shape.rows * piece / pieces, shape.rows * (piece + 1) / pieces, weight, bias, piece);
    }
  });
  if (wants) {
    write_sums<V>(ctx, sums, pieces, shape.n, data_of<P>(a.grad_weight), data_of<P>(a.grad_bias));
  }
}

template <class V, class E, class P>
struct BackwardJob {
  using A = typename V::Scalar;
  const polyops_layer_norm_backward_args& a;
  Shape shape;

  // R rows from `at` on, which is left behind them.
  template <int R>
  void together(Cursor<3>& at, int64_t row, A* grad_weight, A* grad_bias) const {
    BackwardRows<E, P, A, R> b;
    E* grad_src = data_of<E>(a.grad_src);
    for (int r = 0; r < R; ++r, at.next()) {
      b.grad_dst[r] = static_cast<const E*>(a.grad_dst.data) + at.offset[0];
      b.src[r] = static_cast<const E*>(a.src.data) + at.offset[1];
      b.grad_src[r] = grad_src == nullptr ? nullptr : grad_src + at.offset[2];
      b.mean[r] = get(static_cast<const P*>(a.mean.data) + row + r);
      b.rstd[r] = get(static_cast<const P*>(a.rstd.data) + row + r);
    }
    b.weight = data_of<const P>(a.weight);
    b.grad_weight = grad_weight;
    b.grad_bias = grad_bias;
    b.n = shape.n;
    backward_rows<V>(b);
  }
};

// grad_dst, src and grad_src, or src again where that is not wanted.
inline Space<3> backward_space(const polyops_layer_norm_backward_args& a, int begin, int end) {
  const polyops_tensor* out = polyops_is_present(&a.grad_src) ? &a.grad_src : &a.src;
  return make_space<3>({&a.grad_dst, &a.src, out}, begin, end);
}

inline size_t backward_scratch(const void* p, int32_t threads) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  if (!wants_sums(a)) return 0;
  return 2 * scalar_size(a.src.dtype) * padded(shape.n) * pieces_of(shape, threads);
}

inline int backward_contiguous(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto rows = backward_space(a, 0, shape.first_normalized);
  with_layer_norm_types(a.src.dtype, a.mean.dtype, [&]<class V, class E, class P>() {
    const BackwardJob<V, E, P> job = {a, shape};
    const int64_t step = one_at_a_time(a, shape) ? 1 : kRowsTogether;
    for_each_piece<V, P>(a, shape, ctx, [&](int64_t row, int64_t end, auto* w, auto* b, int64_t) {
      Cursor<3> at(rows, row);
      if (step > 1) {
        for (; row + step <= end; row += step) job.template together<kRowsTogether>(at, row, w, b);
      }
      for (; row < end; ++row) job.template together<1>(at, row, w, b);
    });
  });
  return POLYOPS_OK;
}

// Beside the sums: two dense rows per piece.
inline size_t backward_strided_scratch(const void* p, int32_t threads) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const int64_t rows = 2 + (wants_sums(a) ? 2 : 0);
  return rows * scalar_size(a.src.dtype) * padded(shape.n) * pieces_of(shape, threads);
}

inline int backward_strided(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto rows = backward_space(a, 0, shape.first_normalized);
  const int first = shape.first_normalized;
  const auto grad_row = make_space<1>({&a.grad_dst}, first, a.src.rank);
  const auto src_row = make_space<1>({&a.src}, first, a.src.rank);
  const bool wants_rows = polyops_is_present(&a.grad_src);
  const int64_t sums = wants_sums(a) ? 2 * pieces_of(shape, ctx->num_threads) : 0;
  with_layer_norm_types(a.src.dtype, a.mean.dtype, [&]<class V, class E, class P>() {
    using A = typename V::Scalar;
    A* dense = static_cast<A*>(ctx->scratch) + sums * padded(shape.n);
    for_each_piece<V, P>(a, shape, ctx, [&](int64_t row, int64_t end, A* w, A* b, int64_t piece) {
      A* grad = dense + 2 * piece * padded(shape.n);
      A* src = grad + padded(shape.n);
      Cursor<3> at(rows, row);
      for (; row < end; ++row, at.next()) {
        gather(grad_row, static_cast<const E*>(a.grad_dst.data) + at.offset[0], grad);
        gather(src_row, static_cast<const E*>(a.src.data) + at.offset[1], src);
        const A mean = get(static_cast<const P*>(a.mean.data) + row);
        const A rstd = get(static_cast<const P*>(a.rstd.data) + row);
        A* out = wants_rows ? grad : nullptr;
        backward_rows<V>(BackwardRows<A, P, A, 1>{
            {grad}, {src}, {out}, {mean}, {rstd}, data_of<const P>(a.weight), w, b, shape.n});
        if (!wants_rows) continue;
        scatter(make_space<1>({&a.grad_src}, first, a.src.rank), out,
                static_cast<E*>(a.grad_src.data) + at.offset[2]);
      }
    });
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_LAYER_NORM_BACKWARD_H_
