// Backward, as a sum: a thread collects what belongs to its elements of src from all results that they
// are part of, in the order of places, so nothing is added by two threads at once, and sums repeat bit
// for bit. A row of the gradient is summed along the row first, then added to each of the thread's
// kRows rows of src by the row's weights; a row of it is read by the thread again only for the rows of
// src that another thread has. Bound: memory, mostly what is read, each line of it from the cache by
// the neighbours that share it.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_H_

#include "image.h"

namespace polyops::gpu {
namespace {

// Elements of src side by side: in kPlanes planes of contiguous tensors, which read kChunk elements of
// a row at once, one or four.
template <class Mode, class T, int kChunk, int kPlanes>
struct PlaneSums {
  static constexpr int kValues = kPlanes;

  static int64_t lanes(const Image<T>& image) { return image.columns.from; }
  static int64_t groups(const Image<T>& image) { return (image.planes + kPlanes - 1) / kPlanes; }

  GPU_DEVICE PlaneSums(const Image<T>& image, uint32_t lane, uint32_t group)
      : columns_(image.columns), place_(static_cast<int>(lane)) {
    const int first_plane = static_cast<int>(group) * kPlanes;
    planes_ = image.planes - first_plane;
    plane_ = int64_t{image.rows.to} * columns_.to;
    plane_out_ = int64_t{image.rows.from} * columns_.from;
    in_ = image.in + first_plane * plane_;
    out_ = image.out + first_plane * plane_out_ + place_;
    begin_ = Mode::begin_of(columns_, place_);
    end_ = Mode::end_of(columns_, place_);
  }

  // Adds what the elements have of that row. Planes that there are not are read as the first one.
  GPU_DEVICE void add(int row, float (&sum)[kValues]) const {
    const T* line = in_ + row * columns_.to;
    for (int begin = begin_ & -kChunk; begin < end_; begin += kChunk) {
      float read[kPlanes][kChunk];
#pragma unroll
      for (int p = 0; p < kPlanes; ++p) {
        read_chunk(line + begin + (p < planes_ ? p * plane_ : 0), read[p]);
      }
#pragma unroll
      for (int j = 0; j < kChunk; ++j) {
        const int i = begin + j;
        if (kChunk > 1 && (i < begin_ || i >= end_)) continue;
        const float w = Mode::weight(columns_, i, place_);
#pragma unroll
        for (int p = 0; p < kPlanes; ++p) sum[p] = fmaf(w, read[p][j], sum[p]);
      }
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kValues]) const {
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
      if (p < planes_) out_[p * plane_out_ + row * columns_.from] = narrow<T>(x[p]);
    }
  }

 private:
  GPU_DEVICE static void read_chunk(const T* p, float (&x)[kChunk]) {
    if constexpr (kChunk == 1) {
      x[0] = widen(*p);
    } else if constexpr (kChunk == kPack<T>) {
      unpack<T>(load_words(p), x);
    } else {
      const HalfPack pack = *reinterpret_cast<const HalfPack*>(p);
      widen2<T>(pack.w[0], &x[0], &x[1]);
      widen2<T>(pack.w[1], &x[2], &x[3]);
    }
  }

  const Axis columns_;
  const T* in_;
  T* out_;
  int64_t plane_, plane_out_;
  int planes_, place_;
  int begin_, end_;
};

// The same of channels_last: kChannels of one place, a pack or one.
template <class Mode, class T, int kChannels>
struct ChannelSums {
  static constexpr int kValues = kChannels;

  static int64_t lanes(const Image<T>& image) {
    return int64_t{image.columns.from} * (image.channels / kChannels);
  }
  static int64_t groups(const Image<T>& image) { return image.planes / image.channels; }

  GPU_DEVICE ChannelSums(const Image<T>& image, uint32_t lane, uint32_t group)
      : columns_(image.columns), channels_(image.channels) {
    const uint32_t packs = static_cast<uint32_t>(channels_) / kChannels;
    const uint32_t column = lane / packs, channel = (lane - column * packs) * kChannels;
    place_ = static_cast<int>(column);
    row_ = columns_.to * channels_;
    row_out_ = columns_.from * channels_;
    in_ = image.in + int64_t{group} * image.rows.to * row_ + channel;
    out_ = image.out + int64_t{group} * image.rows.from * row_out_ + column * channels_ + channel;
    begin_ = Mode::begin_of(columns_, place_);
    end_ = Mode::end_of(columns_, place_);
  }

  GPU_DEVICE void add(int row, float (&sum)[kValues]) const {
    const T* line = in_ + row * row_;
    for (int i = begin_; i < end_; ++i) {
      float read[kChannels];
      if constexpr (kChannels == 1) {
        read[0] = widen(line[i * channels_]);
      } else {
        unpack<T>(load_words(line + i * channels_), read);
      }
      const float w = Mode::weight(columns_, i, place_);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) sum[c] = fmaf(w, read[c], sum[c]);
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kValues]) const {
    store_side_by_side(out_ + row * row_out_, x);
  }

 private:
  const Axis columns_;
  const T* in_;
  T* out_;
  int channels_, row_, row_out_;
  int place_, begin_, end_;
};

template <class Mode, class Sums, int kRows, class T>
GPU_KERNEL(kUpsampleThreads)
upsample_backward(Image<T> image, Work work) {
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  const Share share = share_of(work, index);
  const Sums sums(image, share.lane, share.group);
  const Axis& rows = image.rows;
  int begin[kRows], end[kRows], stop = 0;
  float sum[kRows][Sums::kValues] = {};
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    begin[r] = end[r] = 0;
    if (share.row + r >= rows.from) continue;
    begin[r] = Mode::begin_of(rows, share.row + r);
    end[r] = stop = Mode::end_of(rows, share.row + r);
  }
  for (int y = begin[0]; y < stop; ++y) {
    float line[Sums::kValues] = {};
    sums.add(y, line);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (y < begin[r] || y >= end[r]) continue;
      const float w = Mode::weight(rows, y, share.row + r);
#pragma unroll
      for (int i = 0; i < Sums::kValues; ++i) sum[r][i] = fmaf(w, line[i], sum[r][i]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (share.row + r < rows.from) sums.store(share.row + r, sum[r]);
  }
}

// Of Nearest, in which a result belongs to one row alone: added one by one, as stock does.
template <class Sums, class T>
GPU_KERNEL(kUpsampleThreads)
upsample_nearest_backward(Image<T> image, Work work) {
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
