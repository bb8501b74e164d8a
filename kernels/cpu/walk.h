// The order in which elementwise kernels visit memory: dimensions sorted as the output has them,
// those of size 1 dropped, neighbours merged where no operand has a gap between them.
#ifndef POLYOPS_CPU_WALK_H_
#define POLYOPS_CPU_WALK_H_

#include <cstdint>

#include "polyops/tensor_view.h"

namespace polyops::cpu {
namespace {

// Dimensions common to all operands, outermost first, merged as far as all allow; at least one.
template <int kOperands>
struct Walk {
  int rank = 0;
  int64_t sizes[POLYOPS_MAX_RANK];
  int64_t strides[kOperands][POLYOPS_MAX_RANK];

  bool all_dense() const {
    for (int k = 0; k < kOperands; ++k) {
      if (strides[k][0] != 1) return false;
    }
    return rank == 1;
  }
};

template <int kOperands>
bool merges_into_last(const Walk<kOperands>& w, const polyops_tensor* const* t, int d) {
  for (int k = 0; k < kOperands; ++k) {
    if (w.strides[k][w.rank - 1] != t[k]->strides[d] * t[k]->sizes[d]) return false;
  }
  return true;
}

// Dimensions longer than 1, sorted by falling stride of the output, then of the inputs.
template <int kOperands>
int memory_order(const polyops_tensor* const* t, int* order) {
  int count = 0;
  for (int d = 0; d < t[0]->rank; ++d) {
    if (t[0]->sizes[d] == 1) continue;
    int at = count++;
    for (; at > 0; --at) {
      int k = kOperands - 1;
      while (k > 0 && t[k]->strides[order[at - 1]] == t[k]->strides[d]) --k;
      if (t[k]->strides[order[at - 1]] >= t[k]->strides[d]) break;
      order[at] = order[at - 1];
    }
    order[at] = d;
  }
  return count;
}

template <int kOperands>
Walk<kOperands> make_walk(const polyops_tensor* const* t) {
  Walk<kOperands> w;
  int order[POLYOPS_MAX_RANK];
  const int count = memory_order<kOperands>(t, order);
  for (int i = 0; i < count; ++i) {
    const int d = order[i];
    const bool merge = w.rank > 0 && merges_into_last(w, t, d);
    const int at = merge ? w.rank - 1 : w.rank++;
    w.sizes[at] = merge ? w.sizes[at] * t[0]->sizes[d] : t[0]->sizes[d];
    for (int k = 0; k < kOperands; ++k) w.strides[k][at] = t[k]->strides[d];
  }
  if (w.rank == 0) {
    w.rank = 1;
    w.sizes[0] = 1;
    for (int k = 0; k < kOperands; ++k) w.strides[k][0] = 1;
  }
  return w;
}

// Where operand k has the element of that number in the order of the walk.
template <int kOperands>
inline int64_t offset_of(const Walk<kOperands>& w, int k, int64_t element) {
  int64_t offset = 0;
  for (int d = w.rank - 1; d >= 0; --d) {
    offset += element % w.sizes[d] * w.strides[k][d];
    element /= w.sizes[d];
  }
  return offset;
}

// fn(offset, n) for each stretch of the innermost dimension within elements [begin, begin + count).
template <int kOperands, class Fn>
inline void for_each_row(const Walk<kOperands>& w, int k, int64_t begin, int64_t count, Fn fn) {
  const int last = w.rank - 1;
  int64_t index[POLYOPS_MAX_RANK];
  int64_t offset = 0;
  for (int d = last; d >= 0; --d) {
    index[d] = begin % w.sizes[d];
    begin /= w.sizes[d];
    offset += index[d] * w.strides[k][d];
  }
  for (;;) {
    const int64_t left = w.sizes[last] - index[last];
    const int64_t n = left < count ? left : count;
    fn(offset, n);
    count -= n;
    if (count == 0) return;
    offset -= index[last] * w.strides[k][last];
    index[last] = 0;
    for (int d = last - 1; d >= 0; --d) {
      offset += w.strides[k][d];
      if (++index[d] < w.sizes[d]) break;
      offset -= w.sizes[d] * w.strides[k][d];
      index[d] = 0;
    }
  }
}

template <int kOperands, class E>
void gather(const Walk<kOperands>& w, int k, int64_t begin, int64_t count, const E* src, E* dst) {
  const int64_t stride = w.strides[k][w.rank - 1];
  for_each_row(w, k, begin, count, [&](int64_t offset, int64_t n) {
    const E* row = src + offset;
    if (stride == 1) {
      for (int64_t i = 0; i < n; ++i) dst[i] = row[i];
    } else {
      for (int64_t i = 0; i < n; ++i) dst[i] = row[i * stride];
    }
    dst += n;
  });
}

template <int kOperands, class E>
void scatter(const Walk<kOperands>& w, int k, int64_t begin, int64_t count, const E* src, E* dst) {
  const int64_t stride = w.strides[k][w.rank - 1];
  for_each_row(w, k, begin, count, [&](int64_t offset, int64_t n) {
    E* row = dst + offset;
    for (int64_t i = 0; i < n; ++i) row[i * stride] = src[i];
    src += n;
  });
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_WALK_H_
