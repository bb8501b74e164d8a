// Forward of images that get exactly kTimes as many rows and columns (groups.h), of four taps. A
// thread goes down the columns of src that a pack of results is made of, reads those of its
// neighbours from the cache, and keeps four rows, interpolated along the row, between which it
// writes a group of rows. No shared memory, no barrier; a group's weights are constants. Bound:
// memory, mostly what is written.
//
// Columns are a type with
//   read(row)                 what a pack of results is made of, of that row of src
//   along(raw, weights, y)    interpolated along the row
//   kAhead                    rows that are read before they are due
#ifndef POLYOPS_GPU_UPSAMPLE_FORWARD_GROUPS_H_
#define POLYOPS_GPU_UPSAMPLE_FORWARD_GROUPS_H_

#include "groups.h"

namespace polyops::gpu {
namespace {

// Of planes: the columns of src that are a thread's, and two on either side.
template <class ItsMode, class T, int kItsTimes>
class PlaneColumns {
 public:
  using Mode = ItsMode;
  static constexpr int kTimes = kItsTimes, kAhead = Mode::kTaps;

 private:
  static constexpr int kWide = kPack<T>, kOwn = kWide / kTimes, kSide = Mode::kTaps / 2;
  static constexpr int kRead = kSide + kOwn + kSide;
  static constexpr int kLong = kOwn > 1 ? 2 : 1;  // read at once
  static_assert(kSide == 2);
  using Part = Unit<kLong* static_cast<int>(sizeof(T))>;

 public:
  struct Raw {
    Part part[kRead / kLong];
  };

  static int64_t lanes(const Image<T>& image) { return image.columns.to / kWide; }
  static int64_t groups(const Image<T>& image) { return image.planes; }
  GPU_DEVICE static int row_of(const Image<T>& image) { return image.columns.to; }

  GPU_DEVICE PlaneColumns(const Image<T>& image, uint32_t lane, uint32_t plane)
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

// Of channels_last: a pack of channels of one column of dst.
template <class ItsMode, class T, int kItsTimes>
class ChannelColumns {
 public:
  using Mode = ItsMode;
  static constexpr int kTimes = kItsTimes, kAhead = 1;

 private:
  static constexpr int kTaps = Mode::kTaps, kWide = kPack<T>;

 public:
  struct Raw {
    Unit<16> tap[kTaps];
  };

  static int64_t lanes(const Image<T>& image) {
    return int64_t{image.columns.to} * (image.channels / kWide);
  }
  static int64_t groups(const Image<T>& image) { return image.planes / image.channels; }
  GPU_DEVICE static int row_of(const Image<T>& image) { return image.columns.to * image.channels; }

  GPU_DEVICE ChannelColumns(const Image<T>& image, uint32_t lane, uint32_t group) {
    const uint32_t packs = static_cast<uint32_t>(image.channels) / kWide;
    const uint32_t column = lane / packs, channel = (lane - column * packs) * kWide;
    const uint32_t pixel = static_cast<uint32_t>(image.channels) * sizeof(T);
    row_ = image.columns.from * static_cast<int>(pixel);
    in_ =
        reinterpret_cast<const char*>(image.in + channel) + int64_t{group} * image.rows.from * row_;
    const uint32_t behind = column + kTimes / 2, first = behind / kTimes;
    Mode::weights(static_cast<float>(2 * (behind - first * kTimes) + 1) / (2 * kTimes), weight_);
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const int place = static_cast<int>(first) + k - kTaps / 2;
      at_[k] = static_cast<uint32_t>(within(image.columns, place)) * pixel;
    }
  }

  GPU_DEVICE Raw read(int row) const {
    const char* line = in_ + int64_t{row} * row_;
    Raw raw;
#pragma unroll
    for (int k = 0; k < kTaps; ++k) raw.tap[k].load(line + at_[k]);
    return raw;
  }

  GPU_DEVICE void along(const Raw& raw, const GroupWeights<Mode, kTimes>&,
                        float (&y)[kWide]) const {
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      float x[kWide];
      raw.tap[k].template get<T>(x);
#pragma unroll
      for (int c = 0; c < kWide; ++c) {
        y[c] = k == 0 ? weight_[0] * x[c] : fmaf(weight_[k], x[c], y[c]);
      }
    }
  }

 private:
  int row_;  // in bytes
  const char* in_;
  uint32_t at_[kTaps];  // in bytes
  float weight_[kTaps];
};

template <class Columns, class T>
GPU_KERNEL(kUpsampleThreads, 3)
upsample_groups(Image<T> image, Work work) {
  await_earlier();
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  using Mode = typename Columns::Mode;
  constexpr int kTimes = Columns::kTimes, kAhead = Columns::kAhead;
  constexpr int kTaps = Mode::kTaps, kWide = kPack<T>;
  const Share share = share_of(work, index);
  const Columns columns(image, share.lane, share.group);
  const GroupWeights<Mode, kTimes> weights;
  const Axis& rows = image.rows;
  const int left = rows.from + 1 - share.row;  // groups
  const int count = (work.rows < left ? work.rows : left) + kTaps - 1;
  const int begin = share.row - kTaps / 2;  // row of src; groups are numbered from -1 on
  const int wide = Columns::row_of(image);
  char* const out = reinterpret_cast<char*>(image.out + int64_t{share.group} * rows.to * wide +
                                            share.lane * kWide);
  const int bytes = wide * static_cast<int>(sizeof(T));
  typename Columns::Raw raw[kAhead];
#pragma unroll
  for (int k = 0; k < kAhead; ++k) raw[k] = columns.read(within(rows, begin + k));
  float kept[kTaps][kWide];
  for (int i = 0; i < count; i += kTaps) {
#pragma unroll
    for (int slot = 0; slot < kTaps; ++slot) {
      if (i + slot >= count) break;
      columns.along(raw[slot % kAhead], weights, kept[slot]);
      if (i + slot + kAhead < count) {
        raw[slot % kAhead] = columns.read(within(rows, begin + i + slot + kAhead));
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

template <class Columns, class T>
int launch_forward_groups(const Image<T>& image, const polyops_context* ctx) {
  const int64_t lanes = Columns::lanes(image), groups = Columns::groups(image);
  const int row_groups = image.rows.from + 1;
  const int rows = rows_of_thread(lanes * groups, row_groups, 16, ctx);
  const Work work = make_work(lanes, groups, row_groups, rows);
  return gpu::launch(upsample_groups<Columns, T>, shape_of(work), ctx, image, work);
}

// False where another kernel is to do it.
template <class Mode, class T>
bool forward_groups(const Image<T>& image, const polyops_context* ctx, int* status) {
  if (has_groups(image, 2)) {
    *status = launch_forward_groups<PlaneColumns<Mode, T, 2>>(image, ctx);
    return true;
  }
  if (has_groups(image, 4)) {
    *status = launch_forward_groups<PlaneColumns<Mode, T, 4>>(image, ctx);
    return true;
  }
  return false;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_FORWARD_GROUPS_H_
