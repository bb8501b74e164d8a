// Walking the rows of strided tensors in step: dimensions of N tensors of the same sizes, merged
// where memory allows, so that a contiguous tensor of any rank costs one loop; and copies between
// a strided row and a dense one in the accumulation type.
#ifndef POLYOPS_CPU_ROWS_H_
#define POLYOPS_CPU_ROWS_H_

#include <cstdint>

#include "polyops/tensor_view.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// Some dimensions of N tensors, outermost first, none of size 1. rank 0: a single point.
template <int N>
struct Space {
  int rank = 0;
  int64_t count = 1;  // product of the sizes
  int64_t sizes[POLYOPS_MAX_RANK];
  int64_t strides[POLYOPS_MAX_RANK][N];

  // Adds a dimension inside the others, as a part of the innermost one where every tensor allows.
  void append(int64_t size, const int64_t (&step)[N]) {
    if (size == 1) return;
    count *= size;
    bool merges = rank > 0;
    for (int t = 0; t < N && merges; ++t) merges = strides[rank - 1][t] == size * step[t];
    if (merges) {
      sizes[rank - 1] *= size;
    } else {
      sizes[rank++] = size;
    }
    for (int t = 0; t < N; ++t) strides[rank - 1][t] = step[t];
  }

  // True if every tensor's elements follow each other.
  bool dense() const {
    if (rank == 0) return true;
    if (rank > 1) return false;
    for (int t = 0; t < N; ++t) {
      if (strides[0][t] != 1) return false;
    }
    return true;
  }
};

// Dimensions [begin, end), in the order in which they are indexed.
template <int N>
inline Space<N> make_space(const polyops_tensor* const (&tensors)[N], int begin, int end) {
  Space<N> space;
  for (int d = begin; d < end; ++d) {
    int64_t step[N];
    for (int t = 0; t < N; ++t) step[t] = tensors[t]->strides[d];
    space.append(tensors[0]->sizes[d], step);
  }
  return space;
}

// Every dimension but one, by falling stride of the last tensor (an output: no stride is 0 there
// without reason), so that points near in memory come one after the other.
template <int N>
inline Space<N> make_space_without(const polyops_tensor* const (&tensors)[N], int dim) {
  const polyops_tensor& key = *tensors[N - 1];
  int order[POLYOPS_MAX_RANK];
  int rank = 0;
  for (int d = 0; d < key.rank; ++d) {
    if (d == dim || key.sizes[d] == 1) continue;
    int at = rank++;
    for (; at > 0 && key.strides[order[at - 1]] < key.strides[d]; --at) order[at] = order[at - 1];
    order[at] = d;
  }
  Space<N> space;
  for (int i = 0; i < rank; ++i) {
    int64_t step[N];
    for (int t = 0; t < N; ++t) step[t] = tensors[t]->strides[order[i]];
    space.append(key.sizes[order[i]], step);
  }
  return space;
}

// A point of a space, and each tensor's offset there.
template <int N>
struct Cursor {
  const Space<N>& space;
  int64_t index[POLYOPS_MAX_RANK];
  int64_t offset[N] = {};

  Cursor(const Space<N>& of, int64_t linear) : space(of) {
    for (int d = space.rank - 1; d >= 0; --d) {
      index[d] = d == 0 ? linear : linear % space.sizes[d];
      linear /= space.sizes[d];
      for (int t = 0; t < N; ++t) offset[t] += index[d] * space.strides[d][t];
    }
  }

  void next() {
    for (int d = space.rank - 1; d >= 0; --d) {
      for (int t = 0; t < N; ++t) offset[t] += space.strides[d][t];
      if (++index[d] < space.sizes[d] || d == 0) return;
      index[d] = 0;
      for (int t = 0; t < N; ++t) offset[t] -= space.sizes[d] * space.strides[d][t];
    }
  }
};

// One element in the accumulation type.
inline float get(const float* p) { return *p; }
inline double get(const double* p) { return *p; }
inline float get(const bf16* p) { return to_float(*p); }
inline float get(const f16* p) { return to_float(*p); }
inline void put(float* p, float x) { *p = x; }
inline void put(double* p, double x) { *p = x; }
inline void put(bf16* p, float x) { *p = to_bf16(x); }
inline void put(f16* p, float x) { *p = to_f16(x); }

// Calls body(offset, i) for the points of a space of one tensor, i counting them.
template <class Body>
inline void for_each_point(const Space<1>& space, const Body& body) {
  const bool single = space.rank == 0;
  const int64_t n = single ? 1 : space.sizes[space.rank - 1];
  const int64_t step = single ? 0 : space.strides[space.rank - 1][0];
  Space<1> outer = space;
  if (!single) --outer.rank;
  Cursor<1> at(outer, 0);
  for (int64_t done = 0; done < space.count; done += n, at.next()) {
    for (int64_t i = 0; i < n; ++i) body(at.offset[0] + i * step, done + i);
  }
}

// Between the points of a space and their dense copy, A being the accumulation type.
template <class E, class A>
inline void gather(const Space<1>& space, const E* src, A* dense) {
  for_each_point(space, [=](int64_t offset, int64_t i) { dense[i] = get(src + offset); });
}
template <class E, class A>
inline void scatter(const Space<1>& space, const A* dense, E* dst) {
  for_each_point(space, [=](int64_t offset, int64_t i) { put(dst + offset, dense[i]); });
}

// Calls body.operator()<V, E>() for the vector and storage types of a dtype of this ISA; false if
// it has none.
template <class Body>
inline bool with_types(int32_t dtype, const Body& body) {
  switch (dtype) {
    case POLYOPS_FLOAT32:
      body.template operator()<F32, float>();
      return true;
    case POLYOPS_BFLOAT16:
      body.template operator()<F32, bf16>();
      return true;
    case POLYOPS_FLOAT16:
      body.template operator()<F32, f16>();
      return true;
#if defined(POLYOPS_ISA_SCALAR)
    case POLYOPS_FLOAT64:
      body.template operator()<F64, double>();
      return true;
#endif
    default:
      return false;
  }
}

// Stored in 16 bits, summed up in 32.
inline bool is_half(int32_t dtype) { return dtype == POLYOPS_BFLOAT16 || dtype == POLYOPS_FLOAT16; }

inline bool has_dtype(int32_t dtype) {
  return with_types(dtype, []<class V, class E>() {});
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ROWS_H_
