// Backward, as a sum: a thread collects what belongs to its elements of src from all results that
// they are part of, in the order of places, so nothing is added by two threads at once, and sums
// repeat bit for bit. It goes down the gradient: a row of that is summed along the row, then added
// to the rows of src that it belongs to by their weights; those that no row to come belongs to are
// written. Bound: memory, mostly what is read, each line of it from the cache by the neighbours
// that share it.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_H_

#include "sums.h"

namespace polyops::gpu {
namespace {

template <class Mode, class Sums, class T>
GPU_KERNEL(kUpsampleThreads)
upsample_backward(Image<T> image, Work work) {
  await_earlier();
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  constexpr int kTaps = Mode::kTaps, kValues = Sums::kValues;
  const Share share = share_of(work, index);
  const Sums sums(image, share.lane, share.group);
  const Axis& rows = image.rows;
  const int stop = share.row + work.rows < rows.from ? share.row + work.rows : rows.from;
  // Rows from `row` on; what lies beyond an edge belongs to that at the edge.
  float kept[kTaps][kValues] = {};
  int row = share.row - (kTaps - 1);
  const auto finish_row = [&] {
    if (row >= share.row) sums.store(row, kept[0]);
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      if (row < 0) kept[1][i] += kept[0][i];
#pragma unroll
      for (int k = 1; k < kTaps; ++k) kept[k - 1][i] = kept[k][i];
      kept[kTaps - 1][i] = 0;
    }
    ++row;
  };
  const int end = Mode::end_of(rows, stop - 1);
  for (int y = Mode::begin_of(rows, share.row); y < end; ++y) {
    float t, w[kTaps], line[kValues] = {};
    sums.add(y, line);
    const int first = Mode::first(rows, y, &t);
    Mode::weights(t, w);
    while (row < first) finish_row();
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
#pragma unroll
      for (int i = 0; i < kValues; ++i) kept[k][i] = fmaf(w[k], line[i], kept[k][i]);
    }
  }
#pragma unroll
  for (int k = kTaps - 1; k > 0; --k) {
    if (row + k < rows.from) continue;
#pragma unroll
    for (int i = 0; i < kValues; ++i) kept[k - 1][i] += kept[k][i];
  }
  while (row < stop) finish_row();
}

// Of Nearest, in which a result belongs to one row alone: added one by one, as stock does.
template <class Sums, class T>
GPU_KERNEL(kUpsampleThreads)
upsample_nearest_backward(Image<T> image, Work work) {
  await_earlier();
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  const Share share = share_of(work, index);
  const Sums sums(image, share.lane, share.group);
  const Axis& rows = image.rows;
  const int last = share.row + work.rows < rows.from ? share.row + work.rows : rows.from;
  for (int row = share.row; row < last; ++row) {
    float sum[Sums::kValues] = {};
    const int end = Nearest::end_of(rows, row);
    for (int y = Nearest::begin_of(rows, row); y < end; ++y) sums.add(y, sum);
    sums.store(row, sum);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_H_
