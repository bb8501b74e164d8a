// Forward. A thread goes down some rows of dst, the same few results side by side in each, and
// keeps the rows of src that they are made of, already interpolated along the row: a row of src is
// read once for all the rows of dst next to it, and what columns and weights there are is worked
// out once. Rows side by side in several planes share what depends on the row, and their loads are
// in flight together; so are a pack's channels in channels_last. Bound: memory, mostly what is
// written.
#ifndef POLYOPS_GPU_UPSAMPLE_FORWARD_H_
#define POLYOPS_GPU_UPSAMPLE_FORWARD_H_

#include "image.h"

namespace polyops::gpu {
namespace {

// Blocks of a multiprocessor: as many as registers leave.
constexpr int kAnyBlocks = 0;

// Contiguous tensors: kColumns results next to each other, in each of kPlanes planes.
template <class Mode, class T, int kColumns, int kPlanes>
struct PlaneLanes {
  using Value = Kept<T>;
  static constexpr int kTaps = Mode::kTaps, kValues = kColumns * kPlanes;
  static constexpr int kBlocks = kTaps > 2 ? 6 : kTaps == 1 && kValues <= 8 ? 5 : kAnyBlocks;
  // Of a thread, at most. Few where results are copies: what all threads write at a time is then
  // some planes, not a little of each.
  static constexpr int kRows = kTaps == 1 ? 4 : 16;

  static int64_t lanes(const Image<T>& image) { return image.columns.to / kColumns; }
  static int64_t groups(const Image<T>& image) { return (image.planes + kPlanes - 1) / kPlanes; }

  GPU_DEVICE PlaneLanes(const Image<T>& image, uint32_t lane, uint32_t group)
      : image_(image),
        plane_(image.rows.from * image.columns.from),
        plane_dst_(image.rows.to * image.columns.to) {
    const int first_plane = static_cast<int>(group) * kPlanes;
    planes_ = image.planes - first_plane;
    src_ = static_cast<uint32_t>(first_plane) * static_cast<uint32_t>(plane_);
    dst_ = static_cast<uint32_t>(first_plane) * static_cast<uint32_t>(plane_dst_) + lane * kColumns;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      float t = 0, w[kTaps] = {};
      const int first = Mode::first(image.columns, static_cast<int>(lane) * kColumns + c, &t);
      if constexpr (kTaps > 1) Mode::weights(t, w);
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
        column_[k][c] = within(image.columns, first + k);
        weight_[k][c] = w[k];
      }
    }
  }

  // Planes that there are not are read as the first one.
  GPU_DEVICE void load(int row, Value (&x)[kValues]) const {
    const uint32_t line = src_ + static_cast<uint32_t>(row * image_.columns.from);
    T read[kPlanes][kTaps][kColumns];
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
      const uint32_t at = line + static_cast<uint32_t>(p < planes_ ? p * plane_ : 0);
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          read[p][k][c] = image_.in[at + static_cast<uint32_t>(column_[k][c])];
        }
      }
    }
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        Value sum = keep(read[p][0][c]);
        if constexpr (kTaps > 1) sum *= weight_[0][c];
#pragma unroll
        for (int k = 1; k < kTaps; ++k) sum = fmaf(weight_[k][c], widen(read[p][k][c]), sum);
        x[p * kColumns + c] = sum;
      }
    }
  }

  GPU_DEVICE void store(int row, const Value (&x)[kValues]) const {
    const uint32_t line = dst_ + static_cast<uint32_t>(row * image_.columns.to);
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
      if (p >= planes_) break;
      Value side[kColumns];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) side[c] = x[p * kColumns + c];
      store_side_by_side(image_.out + (line + static_cast<uint32_t>(p * plane_dst_)), side);
    }
  }

 private:
  // Offsets of 32 bits reach everything, and become addresses in one instruction.
  const Image<T>& image_;
  uint32_t src_, dst_;
  int plane_, plane_dst_;
  int planes_;
  int column_[kTaps][kColumns];
  float weight_[kTaps][kColumns];
};

// channels_last: kChannels of one result, a pack or one. Packs of bits are one value.
template <class Mode, class T, int kChannels>
struct ChannelLanes {
  static constexpr bool kWords = std::is_integral_v<T> && kChannels > 1;
  using Value = std::conditional_t<kWords, Words, Kept<T>>;
  static constexpr int kTaps = Mode::kTaps, kValues = kWords ? 1 : kChannels;
  static constexpr int kBlocks = kAnyBlocks, kRows = 16;

  static int64_t lanes(const Image<T>& image) {
    return int64_t{image.columns.to} * (image.channels / kChannels);
  }
  static int64_t groups(const Image<T>& image) { return image.planes / image.channels; }

  GPU_DEVICE ChannelLanes(const Image<T>& image, uint32_t lane, uint32_t group)
      : row_(image.columns.from * image.channels), row_dst_(image.columns.to * image.channels) {
    const uint32_t packs = static_cast<uint32_t>(image.channels) / kChannels;
    const uint32_t column = lane / packs, channel = (lane - column * packs) * kChannels;
    src_ = image.in + int64_t{group} * image.rows.from * row_ + channel;
    dst_ =
        image.out + int64_t{group} * image.rows.to * row_dst_ + column * image.channels + channel;
    float t = 0;
    const int first = Mode::first(image.columns, static_cast<int>(column), &t);
    if constexpr (kTaps > 1) Mode::weights(t, weight_);
#pragma unroll
    for (int k = 0; k < kTaps; ++k) column_[k] = within(image.columns, first + k) * image.channels;
  }

  GPU_DEVICE void load(int row, Value (&x)[kValues]) const {
    const T* line = src_ + row * row_;
    if constexpr (kWords) {
      x[0] = load_words(line + column_[0]);
    } else if constexpr (kChannels == 1) {
      x[0] = keep(line[column_[0]]);
      if constexpr (kTaps > 1) x[0] *= weight_[0];
#pragma unroll
      for (int k = 1; k < kTaps; ++k) x[0] = fmaf(weight_[k], widen(line[column_[k]]), x[0]);
    } else {
      Words words[kTaps];
#pragma unroll
      for (int k = 0; k < kTaps; ++k) words[k] = load_words(line + column_[k]);
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
        float read[kChannels];
        unpack<T>(words[k], read);
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          x[c] = k == 0 ? weight_[0] * read[c] : fmaf(weight_[k], read[c], x[c]);
        }
      }
    }
  }

  GPU_DEVICE void store(int row, const Value (&x)[kValues]) const {
    if constexpr (kWords) {
      store_words(dst_ + row * row_dst_, x[0]);
    } else {
      store_side_by_side(dst_ + row * row_dst_, x);
    }
  }

 private:
  const T* src_;
  T* dst_;
  int row_, row_dst_;
  int column_[kTaps];
  float weight_[kTaps];
};

// Of one tap: the next row is on its way while what is there goes to all rows of dst that it makes.
template <class Mode, class Lanes>
GPU_DEVICE void copy_rows(const Lanes& lanes, const Axis& rows, int begin, int end) {
  float unused;
  int row = Mode::first(rows, begin, &unused);
  constexpr bool kAhead = Lanes::kValues <= 8;  // by registers
  typename Lanes::Value kept[Lanes::kValues], ahead[Lanes::kValues] = {};
  lanes.load(row, kept);
  for (int y = begin; y < end;) {
    int stop = y + 1, next = row;
    while (stop < end && (next = Mode::first(rows, stop, &unused)) == row) ++stop;
    if (kAhead && stop < end) lanes.load(next, ahead);
    for (; y < stop; ++y) lanes.store(y, kept);
    row = next;
    if (!kAhead && stop < end) lanes.load(next, kept);
#pragma unroll
    for (int i = 0; kAhead && i < Lanes::kValues; ++i) kept[i] = ahead[i];
  }
}

template <class Mode, class Lanes, class T>
GPU_KERNEL(kUpsampleThreads, Lanes::kBlocks)
upsample(Image<T> image, Work work) {
  await_earlier();
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  constexpr int kTaps = Mode::kTaps, kValues = Lanes::kValues;
  const Share share = share_of(work, index);
  const Lanes lanes(image, share.lane, share.group);
  const Axis& rows = image.rows;
  const int end = share.row + work.rows < rows.to ? share.row + work.rows : rows.to;
  if constexpr (kTaps == 1) {
    copy_rows<Mode>(lanes, rows, share.row, end);
  } else {
    typename Lanes::Value kept[kTaps][kValues] = {};
    int next = -2 * kTaps;  // behind the last row that is kept
    for (int y = share.row; y < end; ++y) {
      float t = 0;
      const int first = Mode::first(rows, y, &t);
      if (first + kTaps > next) {
        for (int row = first < next ? next : first; row < first + kTaps; ++row) {
#pragma unroll
          for (int k = 1; k < kTaps; ++k) {
#pragma unroll
            for (int i = 0; i < kValues; ++i) kept[k - 1][i] = kept[k][i];
          }
          lanes.load(within(rows, row), kept[kTaps - 1]);
        }
        next = first + kTaps;
      }
      float w[kTaps], sum[kValues];
      Mode::weights(t, w);
#pragma unroll
      for (int i = 0; i < kValues; ++i) {
        sum[i] = w[0] * kept[0][i];
#pragma unroll
        for (int k = 1; k < kTaps; ++k) sum[i] = fmaf(w[k], kept[k][i], sum[i]);
      }
      lanes.store(y, sum);
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_FORWARD_H_
