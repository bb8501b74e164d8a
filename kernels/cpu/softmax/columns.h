// softmax down the columns of a matrix whose rows are dense: `dim` is strided and another dimension
// is not. C vectors of columns side by side, so that a step down the column reads whole cache
// lines; the reductions need no horizontal step.
#ifndef POLYOPS_CPU_SOFTMAX_COLUMNS_H_
#define POLYOPS_CPU_SOFTMAX_COLUMNS_H_

#include "softmax/row.h"

namespace polyops::cpu {
namespace {

// Rows of that many elements, `step` apart.
template <class E>
struct Matrix {
  E* data;
  int64_t step;
};

// Sums down a column go into two partial sums, folded every so many steps, for the reason of
// for_each_block.
constexpr int64_t kFold = 128;

// Writes what(c) beside each other for all c, computed before the first is stored (see fill_with).
template <class V, int C, class E, class Lanes, class What>
inline void write_vectors(E* dst, Lanes lanes, const What& what) {
  V v[C];
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) v[c] = what(c);
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) store(dst + c * V::kLanes, v[c], lanes);
}

// sum[c] = the sum over the rows j of the matrix, in rising order, of what terms(j, v) puts into
// v[c].
template <class V, int C, class Terms>
inline void column_sum(int64_t n, V (&sum)[C], const Terms& terms) {
  clear(sum);
  for (int64_t begin = 0; begin < n; begin += kFold) {
    const int64_t end = begin + kFold < n ? begin + kFold : n;
    V even[C], odd[C];
    clear(even);
    clear(odd);
    const auto add = [&](int64_t j, V(&to)[C]) {
      V v[C];
      terms(j, v);
#pragma GCC unroll 4
      for (int c = 0; c < C; ++c) to[c] = to[c] + v[c];
    };
    int64_t j = begin;
    for (; j + 2 <= end; j += 2) {
      add(j, even);
      add(j + 1, odd);
    }
    if (j < end) add(j, even);
    for (int c = 0; c < C; ++c) sum[c] = sum[c] + (even[c] + odd[c]);
  }
}

template <class V, int C, class E, class Lanes>
inline void column_max(Matrix<const E> src, int64_t n, Lanes lanes, V (&top)[C]) {
  clear(top, minus_infinity<V>());
  for (int64_t j = 0; j < n; ++j) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      top[c] = max(top[c], load<V>(src.data + j * src.step + c * V::kLanes, lanes));
    }
  }
}

// kept may be dst, which may be src.
template <class V, int C, class E, class Lanes>
inline void softmax_columns_kept(Matrix<const E> src, Matrix<typename V::Scalar> kept,
                                 Matrix<E> dst, int64_t n, Lanes lanes) {
  V top[C], sum[C];
  column_max<V, C>(src, n, lanes, top);
  column_sum<V, C>(n, sum, [&](int64_t j, V(&e)[C]) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      e[c] = exp_nonpositive(load<V>(src.data + j * src.step + c * V::kLanes, lanes) - top[c]);
    }
    write_vectors<V, C>(kept.data + j * kept.step, lanes, [&](int c) { return e[c]; });
  });
  for (V& s : sum) s = V::set1(1) / s;
  for (int64_t j = 0; j < n; ++j) {
    write_vectors<V, C>(dst.data + j * dst.step, lanes, [&](int c) {
      return load<V>(kept.data + j * kept.step + c * V::kLanes, lanes) * sum[c];
    });
  }
}

template <class V, int C, class E, class Lanes>
inline void softmax_columns_twice(Matrix<const E> src, Matrix<E> dst, int64_t n, Lanes lanes) {
  V top[C], sum[C];
  column_max<V, C>(src, n, lanes, top);
  column_sum<V, C>(n, sum, [&](int64_t j, V(&e)[C]) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      e[c] = exp_nonpositive(load<V>(src.data + j * src.step + c * V::kLanes, lanes) - top[c]);
    }
  });
  for (V& s : sum) s = V::set1(1) / s;
  for (int64_t j = 0; j < n; ++j) {
    write_vectors<V, C>(dst.data + j * dst.step, lanes, [&](int c) {
      const V x = load<V>(src.data + j * src.step + c * V::kLanes, lanes);
      return exp_nonpositive(x - top[c]) * sum[c];
    });
  }
}

template <class V, int C, class E, class Lanes>
inline void softmax_backward_columns(Matrix<const E> grad, Matrix<const E> y, Matrix<E> out,
                                     int64_t n, Lanes lanes) {
  V dot[C];
  column_sum<V, C>(n, dot, [&](int64_t j, V(&products)[C]) {
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
      products[c] = load<V>(grad.data + j * grad.step + c * V::kLanes, lanes) *
                    load<V>(y.data + j * y.step + c * V::kLanes, lanes);
    }
  });
  for (int64_t j = 0; j < n; ++j) {
    write_vectors<V, C>(out.data + j * out.step, lanes, [&](int c) {
      const V g = load<V>(grad.data + j * grad.step + c * V::kLanes, lanes);
      return load<V>(y.data + j * y.step + c * V::kLanes, lanes) * (g - dot[c]);
    });
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SOFTMAX_COLUMNS_H_
