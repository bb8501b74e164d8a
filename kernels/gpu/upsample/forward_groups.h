// Forward of planes that get exactly kTimes as many rows and columns (groups.h), of four taps. A
// thread goes down the columns of src that a pack of results is made of, reads those of its
// neighbours from the cache, and keeps four rows, interpolated along the row, between which it
// writes a group of rows. No shared memory, no barrier; weights are constants. Bound: memory,
// mostly what is written.
#ifndef POLYOPS_GPU_UPSAMPLE_FORWARD_GROUPS_H_
#define POLYOPS_GPU_UPSAMPLE_FORWARD_GROUPS_H_

#include "groups.h"

namespace polyops::gpu {
namespace {

// A thread's part of src's rows: its columns, and two on either side.
template <class Mode, class T, int kTimes>
class GroupColumns {
  static constexpr int kWide = kPack<T>, kOwn = kWide / kTimes, kSide = Mode::kTaps / 2;
  static constexpr int kRead = kSide + kOwn + kSide;
  static constexpr int kLong = kOwn > 1 ? 2 : 1;  // read at once
  static_assert(kSide == 2);
  using Part = Unit<kLong* static_cast<int>(sizeof(T))>;

 public:
  struct Raw {
    Part part[kRead / kLong];
  };

  GPU_DEVICE GroupColumns(const Image<T>& image, uint32_t lane, uint32_t plane)
      : row_(image.columns.from * static_cast<int>(sizeof(T))),
        in_(reinterpret_cast<const char*>(image.in +
                                          int64_t{plane} * image.rows.from * image.columns.from)),
        first_(lane == 0),
        last_((lane + 1) * kOwn == static_cast<uint32_t>(image.columns.from)) {
#pragma unroll
    for (int i = 0; i < kRead / kLong; ++i) {
      const int place = static_cast<int>(lane) * kOwn - kSide + i * kLong;
      const int end = image.columns.from - kLong;
      at_[i] = sizeof(T) * static_cast<uint32_t>(place < 0 ? 0 : place < end ? place : end);
    }
  }

  GPU_DEVICE Raw read(int row) const {
    const char* line = in_ + int64_t{row} * row_;
    Raw raw;
#pragma unroll
    for (int i = 0; i < kRead / kLong; ++i) raw.part[i].load(line + at_[i]);
    return raw;
  }

  GPU_DEVICE void along(const Raw& raw, const GroupWeights<Mode, kTimes>& weights,
                        float (&y)[kWide]) const {
    float x[kRead];
#pragma unroll
    for (int i = 0; i < kRead / kLong; ++i) raw.part[i].template get<T>(x + i * kLong);
    if constexpr (kLong > 1) {  // pairs beyond an edge are the one at the edge
      if (first_) x[0] = x[1] = x[kSide];
      if (last_) x[kRead - 1] = x[kRead - 2] = x[kRead - 1 - kSide];
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const int begin = (j + kTimes / 2) / kTimes, f = (j + kTimes / 2) % kTimes;
      y[j] = weights.of[f][0] * x[begin];
#pragma unroll
      for (int k = 1; k < Mode::kTaps; ++k) y[j] = fmaf(weights.of[f][k], x[begin + k], y[j]);
    }
  }

 private:
  int row_;  // in bytes
  const char* in_;
  bool first_, last_;
  uint32_t at_[kRead / kLong];  // in bytes
};

template <class Mode, class T, int kTimes>
GPU_KERNEL(kUpsampleThreads)
upsample_groups(Image<T> image, Work work) {
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  using Columns = GroupColumns<Mode, T, kTimes>;
  constexpr int kTaps = Mode::kTaps, kWide = kPack<T>;
  const Share share = share_of(work, index);
  const Columns columns(image, share.lane, share.group);
  const GroupWeights<Mode, kTimes> weights;
  const Axis& rows = image.rows;
  const int left = rows.from + 1 - share.row;  // groups
  const int count = (work.rows < left ? work.rows : left) + kTaps - 1;
  const int begin = share.row - kTaps / 2;  // row of src; groups are numbered from -1 on
  char* const out = reinterpret_cast<char*>(
      image.out + int64_t{share.group} * rows.to * image.columns.to + share.lane * kWide);
  const int bytes = image.columns.to * static_cast<int>(sizeof(T));
  typename Columns::Raw raw[kTaps];
#pragma unroll
  for (int k = 0; k < kTaps; ++k) raw[k] = columns.read(within(rows, begin + k));
  float kept[kTaps][kWide];
  for (int i = 0; i < count; i += kTaps) {
#pragma unroll
    for (int slot = 0; slot < kTaps; ++slot) {
      if (i + slot >= count) break;
      columns.along(raw[slot], weights, kept[slot]);
      if (i + slot + kTaps < count) {
        raw[slot] = columns.read(within(rows, begin + i + slot + kTaps));
      }
      if (slot + 1 < kTaps && i == 0) continue;
      const int group = begin + i + slot - kTaps / 2;
#pragma unroll
      for (int f = 0; f < kTimes; ++f) {
        const int row = group * kTimes + kTimes / 2 + f;
        if (static_cast<unsigned>(row) >= static_cast<unsigned>(rows.to)) continue;
        float sum[kWide];
#pragma unroll
        for (int j = 0; j < kWide; ++j) {
          sum[j] = weights.of[f][0] * kept[(slot + 1) % kTaps][j];
#pragma unroll
          for (int k = 1; k < kTaps; ++k) {
            sum[j] = fmaf(weights.of[f][k], kept[(slot + 1 + k) % kTaps][j], sum[j]);
          }
        }
        store_elements(reinterpret_cast<T*>(out + int64_t{row} * bytes), sum);
      }
    }
  }
}

// False where another kernel is to do it.
template <class Mode, int kTimes, class T>
bool forward_groups(const Image<T>& image, const polyops_context* ctx, int* status) {
  if (!has_groups(image, kTimes)) return false;
  const int64_t lanes = image.columns.to / kPack<T>;
  const int groups = image.rows.from + 1;
  const int rows = rows_of_thread(lanes * image.planes, groups, 16, ctx);
  const Work work = make_work(lanes, image.planes, groups, rows);
  *status = gpu::launch(upsample_groups<Mode, T, kTimes>, shape_of(work), ctx, image, work);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_FORWARD_GROUPS_H_
