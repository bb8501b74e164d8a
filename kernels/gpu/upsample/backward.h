// Backward, as a sum: a thread collects what belongs to its elements of src from all results that they
// are part of, in the order of places, so nothing is added by two threads at once, and sums repeat bit
// for bit. It goes down the gradient: a row of that is summed along the row, then added to the rows of
// src that it belongs to by their weights; those that no row to come belongs to are written. Bound:
// memory, mostly what is read, each line of it from the cache by the neighbours that share it.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_H_

#include "image.h"

namespace polyops::gpu {
namespace {

// Elements of src side by side: in kPlanes planes of contiguous tensors, which read kChunk elements of
// a row at once, one or four. The first kHeld weights of a row are worked out once.
template <class Mode, class T, int kChunk, int kHeld, int kPlanes>
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
    count_ = static_cast<unsigned>(Mode::end_of(columns_, place_) - begin_);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      held_[i] = Mode::weight(columns_, (begin_ & -kChunk) + i, place_);
    }
  }

  // Adds what the elements have of that row.
  GPU_DEVICE void add(int row, float (&sum)[kValues]) const {
    const T* line = in_ + row * columns_.to;
    const int begin = begin_ & -kChunk, end = begin_ + static_cast<int>(count_);
    if constexpr (kHeld > 0) {
      float read[kHeld / kChunk][kPlanes][kChunk];
#pragma unroll
      for (int c = 0; c < kHeld / kChunk; ++c) {
        if (begin + c * kChunk < end) read_chunks(line + begin + c * kChunk, read[c]);
      }
#pragma unroll
      for (int c = 0; c < kHeld / kChunk; ++c) {
        add_chunk(begin + c * kChunk, read[c], [&](int j) { return held_[c * kChunk + j]; }, sum);
      }
    }
    for (int at = begin + kHeld; at < end; at += kChunk) {
      float read[kPlanes][kChunk];
      read_chunks(line + at, read);
      add_chunk(at, read, [&](int j) { return Mode::weight(columns_, at + j, place_); }, sum);
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kValues]) const {
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
      if (p < planes_) out_[p * plane_out_ + row * columns_.from] = narrow<T>(x[p]);
    }
  }

 private:
  // Planes that there are not are read as the first one.
  GPU_DEVICE void read_chunks(const T* p, float (&x)[kPlanes][kChunk]) const {
#pragma unroll
    for (int i = 0; i < kPlanes; ++i) read_chunk(p + (i < planes_ ? i * plane_ : 0), x[i]);
  }
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
  // Those of the chunk that belong to the place.
  template <class Weight>
  GPU_DEVICE void add_chunk(int at, const float (&x)[kPlanes][kChunk], Weight weight,
                            float (&sum)[kValues]) const {
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      if (static_cast<unsigned>(at + j - begin_) >= count_) continue;
      const float w = weight(j);
#pragma unroll
      for (int p = 0; p < kPlanes; ++p) sum[p] = fmaf(w, x[p][j], sum[p]);
    }
  }

  const Axis columns_;
  const T* in_;
  T* out_;
  int64_t plane_, plane_out_;
  int planes_, place_;
  int begin_;
  unsigned count_;
  float held_[kHeld > 0 ? kHeld : 1];
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
    const T* at = in_ + row * row_ + begin_ * channels_;
    for (int i = begin_; i < end_; ++i, at += channels_) {
      float read[kChannels];
      if constexpr (kChannels == 1) {
        read[0] = widen(*at);
      } else {
        unpack<T>(load_words(at), read);
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

template <class Mode, class Sums, class T>
GPU_KERNEL(kUpsampleThreads)
upsample_backward(Image<T> image, Work work) {
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
