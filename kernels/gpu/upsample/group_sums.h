// What a thread of backward_groups.h reads of the gradient, and how it sums along a row what its
// elements of src have of that:
//   read(row, &raw)                  of that row
//   along(raw, row, weights, sum)    each element's sum, of kResults, of that row
//   store(row, x)                    them, to src's gradient
// kWhole: elements are packs, and so is each of the columns that they are part of.
#ifndef POLYOPS_GPU_UPSAMPLE_GROUP_SUMS_H_
#define POLYOPS_GPU_UPSAMPLE_GROUP_SUMS_H_

#include "groups.h"

namespace polyops::gpu {
namespace {

// The row that stands for that one, which may be beyond an edge.
GPU_DEVICE int mirrored(int row, int rows) {
  const int after = row < 0 ? ~row : row, before = 2 * rows - 1 - after;
  return after < before ? after : before;
}

// Contiguous tensors: a pack of the gradient's columns.
template <class ItsMode, class T, int kItsTimes>
class PlaneGroups {
 public:
  using Mode = ItsMode;
  static constexpr int kTimes = kItsTimes;
  static constexpr bool kWhole = false;

 private:
  static constexpr int kTaps = Mode::kTaps, kWide = kPack<T>;
  // Columns that are read on either side, of which so many are used.
  static constexpr int kUsed = kTimes * (kTaps - 1) / 2;
  static constexpr int kSide = kTaps > 2 || kUsed > 2 ? 4 : 4 / static_cast<int>(sizeof(T));
  using Side = Unit<kSide* static_cast<int>(sizeof(T))>;

 public:
  static constexpr int kResults = kWide / kTimes;
  static_assert(kResults > 0 && kUsed <= kSide);
  struct Raw {
    Unit<16> own;
    Side left, right;
  };

  static int64_t lanes(const Image<T>& image) { return image.columns.to / kWide; }
  static int64_t groups(const Image<T>& image) { return image.planes; }

  GPU_DEVICE PlaneGroups(const Image<T>& image, uint32_t lane, uint32_t plane)
      : row_(image.columns.to * static_cast<int>(sizeof(T))),
        row_out_(image.columns.from * static_cast<int>(sizeof(T))),
        in_(reinterpret_cast<const char*>(
            image.in + int64_t{plane} * image.rows.to * image.columns.to + lane * kWide)),
        out_(reinterpret_cast<char*>(
            image.out + int64_t{plane} * image.rows.from * image.columns.from + lane * kResults)),
        first_(lane == 0),
        last_((lane + 1) * kWide == static_cast<uint32_t>(image.columns.to)),
        second_(kResults > 1 ? first_ : lane == 1) {}

  GPU_DEVICE void read(int row, Raw* raw) const {
    const auto* at = reinterpret_cast<const T*>(in_ + int64_t{row} * row_);
    raw->own.load(at);
    raw->left = raw->right = {};
    if (!first_) raw->left.load(at - kSide);
    if (!last_) raw->right.load(at + kWide);
  }

  GPU_DEVICE void along(const Raw& raw, int row, const GroupWeights<Mode, kTimes>& weights,
                        float (&sum)[kResults]) const {
    float x[kSide + kWide + kSide];
    raw.left.template get<T>(x);
    raw.own.template get<T>(x + kSide);
    raw.right.template get<T>(x + kSide + kWide);
    constexpr int kEnd = kSide + kWide;
    if constexpr (kTaps == 2) {  // a result beyond an edge has the weights that one within it lacks
#pragma unroll
      for (int j = 0; j < kUsed; ++j) {
        if (first_) x[kSide - 1 - j] = x[kSide + j];
        if (last_) x[kEnd + j] = x[kEnd - 1 - j];
      }
    }
#pragma unroll
    for (int c = 0; c < kResults; ++c) {
#pragma unroll
      for (int i = 0; i < kTimes * kTaps; ++i) {
        const float w = weight(weights, i), value = x[kSide - kUsed + c * kTimes + i];
        sum[c] = i == 0 ? w * value : fmaf(w, value, sum[c]);
      }
    }
    if constexpr (kTaps > 2) {
      join_edges(x, weights, sum);
    } else if (second_) {  // the second tap of results at the edge has 0 x: nothing, or NaN
      constexpr int kSecond = kResults > 1 ? 1 : 0;
      if constexpr (kResults == 1) {
        Side edge;
        edge.load(in_ + int64_t{row} * row_ - kWide * sizeof(T));
        edge.template get<T>(x + kSide);
      }
#pragma unroll
      for (int j = 0; j < kTimes / 2; ++j) {
        sum[kSecond] = fmaf(0.0f, x[kSide + j], sum[kSecond]);
      }
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kResults]) const {
    T* const out = reinterpret_cast<T*>(out_ + int64_t{row} * row_out_);
    if constexpr (kResults == 1) {
      *out = narrow<T>(x[0]);
    } else {
      Unit<16 / kTimes>::store(out, x);
    }
  }

 private:
  using Line = float[kSide + kWide + kSide];
  using Weights = GroupWeights<Mode, kTimes>;

  // Of the i-th result that has an element.
  GPU_DEVICE static float weight(const Weights& weights, int i) {
    return weights.of[i % kTimes][kTaps - 1 - i / kTimes];
  }
  // What lies beyond an edge belongs to the place at the edge.
  GPU_DEVICE void join_edges(const Line& x, const Weights& weights, float (&sum)[kResults]) const {
#pragma unroll
    for (int c = 0; c < kTaps / 2; ++c) {
#pragma unroll
      for (int i = 0; i < kTimes * kTaps; ++i) {
        const float w = weight(weights, i);
        const int before = i - kUsed - (c + 1) * kTimes,
                  after = i - kUsed + (kResults + c) * kTimes;
        if (before >= 0 && first_) sum[0] = fmaf(w, x[kSide + before], sum[0]);
        if (after < kWide && last_) {
          sum[kResults - 1] = fmaf(w, x[kSide + after], sum[kResults - 1]);
        }
      }
    }
  }

  int row_, row_out_;  // in bytes
  const char* in_;
  char* out_;
  bool first_, last_;
  bool second_;  // whether the second element of src is of this thread
};

// channels_last of two taps: a pack of channels of one place, and of the columns that it is part
// of.
template <class ItsMode, class T, int kItsTimes>
class ChannelGroups {
  static constexpr int kWide = kPack<T>, kTaken = kItsTimes * ItsMode::kTaps;
  static_assert(ItsMode::kTaps == 2);

 public:
  using Mode = ItsMode;
  static constexpr int kTimes = kItsTimes, kResults = kWide;
  static constexpr bool kWhole = true;
  struct Raw {
    Unit<16> taken[kTaken];
  };

  static int64_t lanes(const Image<T>& image) {
    return int64_t{image.columns.from} * (image.channels / kWide);
  }
  static int64_t groups(const Image<T>& image) { return image.planes / image.channels; }

  GPU_DEVICE ChannelGroups(const Image<T>& image, uint32_t lane, uint32_t group) {
    const uint32_t packs = static_cast<uint32_t>(image.channels) / kWide;
    const uint32_t place = lane / packs, channel = (lane - place * packs) * kWide;
    const int from = image.columns.from, to = image.columns.to;
    column_ = image.channels * static_cast<int>(sizeof(T));
    row_ = to * column_;
    row_out_ = from * column_;
    in_ = reinterpret_cast<const char*>(image.in + channel) + int64_t{group} * image.rows.to * row_;
    out_ = reinterpret_cast<char*>(image.out + channel) +
           int64_t{group} * image.rows.from * row_out_ + int64_t{place} * column_;
    second_ = place == 1;
#pragma unroll
    for (int i = 0; i < kTaken; ++i) {
      const int first = (static_cast<int>(place) - 1) * kTimes + kTimes / 2;
      at_[i] = static_cast<uint32_t>(mirrored(first + i, to) * column_);
    }
  }

  GPU_DEVICE void read(int row, Raw* raw) const {
    const char* line = in_ + int64_t{row} * row_;
#pragma unroll
    for (int i = 0; i < kTaken; ++i) raw->taken[i].load(line + at_[i]);
  }

  GPU_DEVICE void along(const Raw& raw, int row, const GroupWeights<Mode, kTimes>& weights,
                        float (&sum)[kResults]) const {
#pragma unroll
    for (int i = 0; i < kTaken; ++i) {
      const float w = weights.of[i % kTimes][1 - i / kTimes];
      float x[kWide];
      raw.taken[i].template get<T>(x);
#pragma unroll
      for (int c = 0; c < kWide; ++c) sum[c] = i == 0 ? w * x[c] : fmaf(w, x[c], sum[c]);
    }
    if (!second_) return;
    // The second tap of results at the edge has 0 x: nothing, or NaN.
#pragma unroll
    for (int j = 0; j < kTimes / 2; ++j) {
      Unit<16> edge;
      float x[kWide];
      edge.load(in_ + int64_t{row} * row_ + j * column_);
      edge.template get<T>(x);
#pragma unroll
      for (int c = 0; c < kWide; ++c) sum[c] = fmaf(0.0f, x[c], sum[c]);
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kResults]) const {
    Unit<16>::store(reinterpret_cast<T*>(out_ + int64_t{row} * row_out_), x);
  }

 private:
  int column_, row_, row_out_;  // in bytes
  const char* in_;
  char* out_;
  uint32_t at_[kTaken];  // in bytes
  bool second_;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_GROUP_SUMS_H_
