// Windows 3 by 3 at stride 2 that no row or column is missing of, so without padding, of 16-bit
// elements in contiguous planes: through a block's memory as in stage.h, where a thread goes
// down two columns of results at once, one to each half of a word. It knows where the largest one
// was by how far that is from the window's first, in 16 bits, and reads the result from there, so
// that it is the element to the bit. A NaN has its window looked through again. Bound: memory, the
// image and its results once; 33 instructions per result, 85 with all that a block does besides,
// where columns one by one take 158.
#ifndef POLYOPS_GPU_MAX_POOL_TWO_COLUMNS_H_
#define POLYOPS_GPU_MAX_POOL_TWO_COLUMNS_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/ops/pool2d.h"
#include "pool2d/axis.h"
#include "pool2d/forward.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/stage.h"
#include "two_largest.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kTwoColumnsBytes = 24 * 1024;  // of a block: more goes by what each begins with
constexpr int kMostColumns = 1 << 14;            // of elements: a window's places fit into 16 bits

template <class T>
struct TwoColumns {
  using Element = T;
  static constexpr bool kPlaces = true;
  const T* src;
  T* dst;
  int64_t* indices;
  int wide, results_wide;

  GPU_DEVICE int64_t* places() const { return indices; }

  // Of a row, from the first window's first element on.
  GPU_DEVICE static TwoLargest<T> row(const T* from) {
    TwoLargest<T> row = {two_at(from, from + 2), 0};
    row.take(two_at(from + 1, from + 3), kEach);
    row.take(two_at(from + 2, from + 4), 2 * kEach);
    return row;
  }

  GPU_DEVICE int last_nan(const T* window) const {
    int found = 0;
#pragma unroll 1
    for (int i = 0; i < 9; ++i) {
      const int at = i / 3 * wide + i % 3;
      const float x = widen(window[at]);
      if (x != x) found = at;
    }
    return found;
  }

  GPU_DEVICE void column(const T* line, const StagedResults<T>& results, int column, int begin,
                         int end) const {
    const T* from = line + 4 * column;
    int place = 2 * begin * wide + 4 * column;
    T* values = results.values + 2 * column;
    int* at = results.places + 2 * column;
    const bool both = 2 * column + 1 < results_wide;
    TwoLargest<T> top = row(from);
    for (int n = end - begin; n > 0; --n) {
      TwoLargest<T> best = top;
      best.take(row(from + wide), wide);
      top = row(from + 2 * wide);
      best.take(top, 2 * wide);
      int first = static_cast<int>(best.beyond & 0xffff);
      int second = static_cast<int>(best.beyond >> 16) + 2;
      if (const uint32_t nans = best.nans(); nans != 0) {
        if (nans & 0x8000) first = last_nan(from);
        if (nans >> 16) second = last_nan(from + 2) + 2;
      }
      values[0] = from[first];
      at[0] = place + first;
      if (both) values[1] = from[second], at[1] = place + second;
      from += 2 * wide;
      place += 2 * wide;
      values += results_wide;
      at += results_wide;
    }
  }
};

// Whether it was launched, and what that returned.
template <class T>
bool launch_two_columns(const Largest<T>& op, const polyops_pool2d_window& window,
                        const Images& images, const Axis& high, const Axis& wide,
                        const polyops_context* ctx, int* status) {
  const auto whole = [](const Axis& a) { return a.padding == 0 && 2 * a.out + 1 <= a.in; };
  if (images.channels != 1 || op.lowest_is_0 || !is_square(window, 3, 2) || !whole(high) ||
      !whole(wide) || wide.in > kMostColumns) {
    return false;
  }
  const Stage stage = make_stage(ctx, images.count, {high.in, wide.in, sizeof(T)},
                                 {high.out, wide.out, sizeof(T) + sizeof(int)}, (wide.out + 1) / 2,
                                 high.out, {2, 0, 3, 1}, kTwoColumnsBytes);
  if (stage.slab_units == 0) return false;
  *status = launch_stage(TwoColumns<T>{op.src, op.dst, op.indices, wide.in, wide.out}, stage, ctx);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_TWO_COLUMNS_H_
