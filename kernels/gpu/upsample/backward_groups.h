// Backward of images that got exactly kTimes as many rows and columns (groups.h). A thread goes
// down some of the gradient's columns: it sums along each row what its elements of src have of
// that, with the neighbours' columns from the cache, and adds this to the rows of src by their
// weights. No shared memory, no barrier; weights are constants. Bound: memory, mostly what is read.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_GROUPS_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_GROUPS_H_

#include "division.h"
#include "group_sums.h"

namespace polyops::gpu {
namespace {

// Sums of the rows of src that a group of the gradient's belongs to.
template <class Sums>
class GroupRows {
  using Mode = typename Sums::Mode;
  static constexpr int kTimes = Sums::kTimes, kTaps = Mode::kTaps, kResults = Sums::kResults;

 public:
  // Adds group q. kEdge: of which rows may be beyond an edge.
  template <bool kEdge>
  GPU_DEVICE void add(const Sums& sums, const typename Sums::Raw (&raw)[kTimes], int q, int rows) {
#pragma unroll
    for (int f = 0; f < kTimes; ++f) {
      const auto row = static_cast<unsigned>(q * kTimes + kTimes / 2 + f);
      if (kEdge && kTaps > 2 && row >= static_cast<unsigned>(rows)) continue;
      float line[kResults];
      sums.along(raw[f], mirrored(static_cast<int>(row), rows), weights_, line);
#pragma unroll
      for (int c = 0; c < kResults; ++c) {
#pragma unroll
        for (int k = 0; k < kTaps; ++k) {
          kept_[k][c] = fmaf(weights_.of[f][k], line[c], kept_[k][c]);
        }
        // As in along(), what the second tap of a row at the edge has.
        if (kEdge && kTaps == 2 && q < 0 && f >= kTimes / 2) {
          second_[c] = fmaf(0.0f, line[c], second_[c]);
        }
      }
    }
  }
  // What lies beyond an edge belongs to the row at the edge.
  GPU_DEVICE void join(int row, int last) {
    if constexpr (kTaps > 2) {
#pragma unroll
      for (int c = 0; c < kResults; ++c) {
        if (row == -2) kept_[2][c] += kept_[0][c];
        if (row == -1) kept_[1][c] += kept_[0][c];
        if (row == last) kept_[0][c] += kept_[1][c] + kept_[2][c];
      }
    }
  }
  GPU_DEVICE const float (&first() const)[kResults] { return kept_[0]; }
  template <bool kEdge>
  GPU_DEVICE void next() {
#pragma unroll
    for (int c = 0; c < kResults; ++c) {
#pragma unroll
      for (int k = 1; k < kTaps; ++k) kept_[k - 1][c] = kept_[k][c];
      kept_[kTaps - 1][c] = kEdge && kTaps == 2 ? second_[c] : 0.0f;
      if (kEdge) second_[c] = 0;
    }
  }

 private:
  GroupWeights<Mode, kTimes> weights_;
  float kept_[kTaps][kResults] = {};
  float second_[kResults] = {};
};

// Groups of rows that are read at once.
template <class Sums>
constexpr int kGroupsAhead =
    Sums::Mode::kTaps > 2 || Sums::kWhole || Sums::kTimes > 4 ? 1 : 4 / Sums::kTimes;

// Blocks whose registers a multiprocessor has: at 64 it is half full, and four taps then leave none
// for more than a group of rows.
template <class Sums>
constexpr int kPartGroupBlocks = Sums::Mode::kTaps == 2 && Sums::kTimes == 4 ? 5 : 4;
template <class Sums>
constexpr int kGroupBlocks = Sums::kWhole || Sums::kTimes > 4 ? 2 : kPartGroupBlocks<Sums>;

template <class Sums, class T>
GPU_KERNEL(kUpsampleThreads, kGroupBlocks<Sums>)
upsample_backward_groups(Image<T> image, Work work) {
  await_earlier();
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  constexpr int kTimes = Sums::kTimes, kTaps = Sums::Mode::kTaps, kAhead = kGroupsAhead<Sums>;
  const Share share = share_of(work, index);
  const Sums sums(image, share.lane, share.group);
  GroupRows<Sums> kept;
  const int from = image.rows.from, to = image.rows.to;
  const int stop = share.row + work.rows < from ? share.row + work.rows : from;
  const int end = stop + kTaps / 2 - 1;
  int group = share.row - kTaps / 2;
  typename Sums::Raw raw[kAhead][kTimes];
  // Beyond the last group, which has no other rows, that again.
  const auto read = [&](int q, typename Sums::Raw* to_raw) {
    const int first = (q < end ? q : end - 1) * kTimes + kTimes / 2;
#pragma unroll
    for (int f = 0; f < kTimes; ++f) sums.read(mirrored(first + f, to), to_raw + f);
  };
#pragma unroll
  for (int a = 0; a < kAhead; ++a) read(group + a, raw[a]);
  for (; group < end; group += kAhead) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int q = group + a, row = q + 1 - kTaps / 2;  // it finishes that one
      if (q >= end) break;
      const auto step = [&]<bool kEdge>() {
        kept.template add<kEdge>(sums, raw[a], q, to);
        read(q + kAhead, raw[a]);
        if (kEdge) kept.join(row, from - 1);
        if (row >= share.row) sums.store(row, kept.first());
        kept.template next<kEdge>();
      };
      if (q > 0 && q < from - 1) {
        step.template operator()<false>();
      } else {
        step.template operator()<true>();
      }
    }
  }
}

template <class Sums, class T>
int launch_groups(const Image<T>& image, const polyops_context* ctx) {
  const int64_t lanes = Sums::lanes(image), groups = Sums::groups(image);
  int rows = rows_of_thread(lanes * groups, image.rows.from, 32, ctx);
  if constexpr (Sums::kTimes > 4) {  // a device is full once, and what threads share is little
    const int64_t full = int64_t{kGroupBlocks<Sums>} * kUpsampleThreads * multiprocessors(ctx);
    const int64_t chunks = full / (lanes * groups);
    rows = static_cast<int>(chunks < 2 ? image.rows.from : divide_up(image.rows.from, chunks));
    if (rows < 2) rows = 2;  // the second row has 0 x of the first ones, too
  }
  const Work work = make_work(lanes, groups, image.rows.from, rows);
  return gpu::launch(upsample_backward_groups<Sums, T>, shape_of(work), ctx, image, work);
}

// False where another kernel is to do it.
template <class Mode, class T>
bool backward_groups(const Image<T>& image, const polyops_context* ctx, int* status) {
  if (has_groups(image, 2)) {
    *status = launch_groups<PlaneGroups<Mode, T, 2>>(image, ctx);
    return true;
  }
  if constexpr (Mode::kTaps == 2 && sizeof(T) == 2) {
    if (has_groups(image, 4)) {
      *status = launch_groups<PlaneGroups<Mode, T, 4>>(image, ctx);
      return true;
    }
    if (has_groups(image, 8)) {
      *status = launch_groups<PlaneGroups<Mode, T, 8>>(image, ctx);
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_GROUPS_H_
