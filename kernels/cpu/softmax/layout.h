// How a call's tensors lie in memory, for forward (src, dst) and backward (grad_dst, dst, grad_src)
// alike, and how its work is cut for threads.
#ifndef POLYOPS_CPU_SOFTMAX_LAYOUT_H_
#define POLYOPS_CPU_SOFTMAX_LAYOUT_H_

#include "parallel.h"
#include "rows.h"
#include "simd/sweep.h"

namespace polyops::cpu {
namespace {

// Rows of n that are worth a second thread: 10 us forward, 4 us backward.
inline int64_t row_grain(int64_t n) { return n >= kTorchGrain ? 1 : kTorchGrain / n; }

// Elements of a thread's part of scratch: whole cache lines in every type.
inline int64_t padded(int64_t n) { return (n + 63) / 64 * 64; }

template <int N>
inline bool unit_stride(const polyops_tensor* const (&tensors)[N], int dim) {
  for (const polyops_tensor* t : tensors) {
    if (t->sizes[dim] != 1 && t->strides[dim] != 1) return false;
  }
  return true;
}

// Columns of n elements, `width` of them side by side, taken `vectors` vectors at a time.
struct Columns {
  int64_t n;
  int64_t width;
  int vectors;
};

template <int N>
struct ColumnPlan {
  Columns shape;
  Space<N> outer;  // everything but the column and what lies side by side
};

// What a thread's block and its result may take of the second-level cache.
constexpr int64_t kMaxBlock = 1 << 16;

// width 0: no dimension but `dim` has unit stride in every tensor.
template <int N>
inline ColumnPlan<N> columns_of(const polyops_tensor* const (&tensors)[N], int dim) {
  Space<N> space = make_space_without<N>(tensors, dim);
  Columns shape = {tensors[0]->sizes[dim], 0, 1};
  if (space.rank > 0) {
    bool unit = true;
    for (int64_t stride : space.strides[space.rank - 1]) unit = unit && stride == 1;
    --space.rank;
    const int64_t size = space.sizes[space.rank];
    space.count /= size;
    if (unit) shape.width = size;
  }
  constexpr int kWide = 4 * F32::kLanes;
  if (shape.width >= kWide && shape.n * kWide <= kMaxBlock) shape.vectors = 4;
  return {shape, space};
}

// Calls body.operator()<C>(lanes, offsets, thread) for every block of C vectors of columns.
template <class V, int N, class Body>
inline void for_each_column_block(const polyops_context* ctx, const ColumnPlan<N>& plan,
                                  const Body& body) {
  const int64_t width = plan.shape.width;
  const int64_t step = plan.shape.vectors * V::kLanes;
  const int64_t blocks = (width + step - 1) / step;
  const auto run = [&](int64_t begin, int64_t end, int32_t thread) {
    Cursor<N> at(plan.outer, begin / blocks);
    int64_t block = begin % blocks;
    for (int64_t i = begin; i < end; ++i) {
      int64_t column = block * step;
      int64_t offset[N];
      for (int t = 0; t < N; ++t) offset[t] = at.offset[t] + column;
      if (plan.shape.vectors == 4 && width - column >= step) {
        body.template operator()<4>(Whole{}, offset, thread);
      } else {
        const int64_t stop = column + step < width ? column + step : width;
        for (; column + V::kLanes <= stop; column += V::kLanes) {
          body.template operator()<1>(Whole{}, offset, thread);
          for (int64_t& o : offset) o += V::kLanes;
        }
        if (column < stop) body.template operator()<1>(Part{stop - column}, offset, thread);
      }
      if (++block == blocks) {
        block = 0;
        at.next();
      }
    }
  };
  parallel_for(ctx, plan.outer.count * blocks, row_grain(plan.shape.n * step), run);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SOFTMAX_LAYOUT_H_
