// What forward and backward of layer_norm share: the shape of a call, and its types.
#ifndef POLYOPS_CPU_LAYER_NORM_LAYOUT_H_
#define POLYOPS_CPU_LAYER_NORM_LAYOUT_H_

#include "parallel.h"
#include "rows.h"
#include "simd/sweep.h"

namespace polyops::cpu {
namespace {

inline float square_root(float x) { return __builtin_sqrtf(x); }
inline double square_root(double x) { return __builtin_sqrt(x); }

// Elements that are worth a second thread: about 4 us.
constexpr int64_t kGrain = kTorchGrain / 2;

// Elements of a thread's part of scratch: whole cache lines in every type.
inline int64_t padded(int64_t n) { return (n + 63) / 64 * 64; }

inline int64_t scalar_size(int32_t dtype) {
  return dtype == POLYOPS_FLOAT64 ? sizeof(double) : sizeof(float);
}

// `rows` rows (leading dimensions) of n elements each (trailing ones).
struct Shape {
  int first_normalized;
  int64_t rows;
  int64_t n;
};

inline Shape shape_of(const polyops_tensor& src, int normalized_rank) {
  Shape shape = {src.rank - normalized_rank, 1, 1};
  for (int d = 0; d < src.rank; ++d) {
    (d < shape.first_normalized ? shape.rows : shape.n) *= src.sizes[d];
  }
  return shape;
}

inline int64_t row_grain(const Shape& shape) { return shape.n >= kGrain ? 1 : kGrain / shape.n; }

template <int N>
inline bool dense_rows(const polyops_tensor* const (&tensors)[N], const Shape& shape) {
  return make_space<N>(tensors, shape.first_normalized, tensors[0]->rank).dense();
}

template <class T>
inline T* data_of(const polyops_tensor& t) {
  return polyops_is_present(&t) ? static_cast<T*>(t.data) : nullptr;
}

// An optional parameter or its gradient: contiguous, of the dtype of mean.
inline const char* parameter_reason(const polyops_tensor& t, int32_t dtype) {
  if (!polyops_is_present(&t)) return nullptr;
  if (t.dtype != dtype) return "dtype";
  return polyops_is_contiguous(&t) ? nullptr : "layout";
}

inline bool has_dtypes(int32_t src, int32_t statistics) {
  const bool mixed = is_half(src) && statistics == POLYOPS_FLOAT32;
  return has_dtype(src) && (statistics == src || mixed);
}

// Calls body.operator()<V, E, P>(): E the rows' storage type, P that of parameters and statistics.
template <class Body>
inline void with_layer_norm_types(int32_t src, int32_t statistics, const Body& body) {
  with_types(src, [&]<class V, class E>() {
    if constexpr (sizeof(E) < sizeof(typename V::Scalar)) {
      if (statistics == POLYOPS_FLOAT32) return body.template operator()<V, E, float>();
    }
    body.template operator()<V, E, E>();
  });
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_LAYER_NORM_LAYOUT_H_
