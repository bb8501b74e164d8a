// What a thread of a backward kernel collects: elements of src side by side, as a row of the
// gradient adds to them.
#ifndef POLYOPS_GPU_UPSAMPLE_SUMS_H_
#define POLYOPS_GPU_UPSAMPLE_SUMS_H_

#include "image.h"

namespace polyops::gpu {
namespace {

// Adds 0 x where taps join: nothing, or NaN.
template <class Mode, int n>
GPU_DEVICE void add_joined(const Axis& axis, int i, int place, const float (&x)[n],
                           float (&sum)[n]) {
  if constexpr (Mode::kTaps > 1) {
    if (!Mode::joins(axis, i, place)) return;
#pragma unroll
    for (int k = 0; k < n; ++k) sum[k] = fmaf(0.0f, x[k], sum[k]);
  }
}
GPU_DEVICE bool at_edge(const Axis& axis, int place) {
  return place == 0 || place == axis.from - 1;
}

// One place of a row in kPlanes planes of contiguous tensors, which read kChunk elements of a row
// at once, one or four.
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
    count_ = static_cast<unsigned>(Mode::end_of(columns_, place_) - begin_);
    edge_ = Mode::kTaps > 1 && at_edge(columns_, place_);
  }

  // Adds what the elements have of that row.
  GPU_DEVICE void add(int row, float (&sum)[kValues]) const {
    const T* line = in_ + row * columns_.to;
    const int begin = begin_ & -kChunk, end = begin_ + static_cast<int>(count_);
    for (int at = begin; at < end; at += kChunk) {
      Chunk read[kPlanes];
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
  // As it lies in memory.
  using Chunk =
      std::conditional_t<kChunk == 1, T, std::conditional_t<kChunk == kPack<T>, Words, HalfPack>>;

  // Planes that there are not are read as the first one.
  GPU_DEVICE void read_chunks(const T* p, Chunk (&x)[kPlanes]) const {
#pragma unroll
    for (int i = 0; i < kPlanes; ++i) {
      const T* at = p + (i < planes_ ? i * plane_ : 0);
      if constexpr (kChunk == kPack<T>) {
        x[i] = load_words(at);
      } else {
        x[i] = *reinterpret_cast<const Chunk*>(at);
      }
    }
  }
  GPU_DEVICE static void unpack_chunk(const Chunk& chunk, float (&x)[kChunk]) {
    if constexpr (kChunk == 1) {
      x[0] = widen(chunk);
    } else if constexpr (kChunk == kPack<T>) {
      unpack<T>(chunk, x);
    } else {
      widen2<T>(chunk.w[0], &x[0], &x[1]);
      widen2<T>(chunk.w[1], &x[2], &x[3]);
    }
  }
  // Those of the chunk that belong to the place.
  template <class Weight>
  GPU_DEVICE void add_chunk(int at, const Chunk (&read)[kPlanes], Weight weight,
                            float (&sum)[kValues]) const {
    float x[kChunk][kPlanes];
#pragma unroll
    for (int p = 0; p < kPlanes; ++p) {
      float side[kChunk];
      unpack_chunk(read[p], side);
#pragma unroll
      for (int j = 0; j < kChunk; ++j) x[j][p] = side[j];
    }
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      if (!has(at + j)) continue;
      const float w = weight(j);
#pragma unroll
      for (int p = 0; p < kPlanes; ++p) sum[p] = fmaf(w, x[j][p], sum[p]);
    }
    if (!edge_) return;
#pragma unroll
    for (int j = 0; j < kChunk; ++j) {
      if (has(at + j)) add_joined<Mode>(columns_, at + j, place_, x[j], sum);
    }
  }
  GPU_DEVICE bool has(int i) const { return static_cast<unsigned>(i - begin_) < count_; }

  const Axis columns_;
  const T* in_;
  T* out_;
  int64_t plane_, plane_out_;
  int planes_, place_;
  int begin_;
  unsigned count_;
  bool edge_;
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
      : columns_(image.columns), in_(image.in), out_(image.out), channels_(image.channels) {
    const uint32_t packs = static_cast<uint32_t>(channels_) / kChannels;
    const uint32_t column = lane / packs, channel = (lane - column * packs) * kChannels;
    place_ = static_cast<int>(column);
    row_ = columns_.to * channels_;
    at_out_ =
        static_cast<int>((group * image.rows.from * columns_.from + column) * channels_ + channel);
    begin_ = Mode::begin_of(columns_, place_);
    end_ = Mode::end_of(columns_, place_);
    at_in_ = static_cast<int>(group * image.rows.to * row_ + begin_ * channels_ + channel);
  }

  GPU_DEVICE void add(int row, float (&sum)[kValues]) const {
    const T* at = in_ + (at_in_ + row * row_);
    const bool edge = Mode::kTaps > 1 && at_edge(columns_, place_);
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
      if (edge) add_joined<Mode>(columns_, i, place_, read, sum);
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kValues]) const {
    store_side_by_side(out_ + (at_out_ + row * columns_.from * channels_), x);
  }

 private:
  const Axis columns_;
  const T* in_;
  T* out_;
  int channels_, row_, at_in_, at_out_;
  int place_, begin_, end_;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_SUMS_H_
