// Backward of planes that got exactly kTimes as many rows and columns (groups.h). A thread goes down a
// pack of the gradient's columns: it sums along each row what its elements of src have of that, with the
// neighbours' columns from the cache, and adds this to the rows of src by their weights. No shared
// memory, no barrier; weights are constants. Bound: memory, mostly what is read.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_GROUPS_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_GROUPS_H_

#include "groups.h"

namespace polyops::gpu {
namespace {

// A thread's part of the gradient's rows.
template <class Mode, class T, int kTimes>
class GroupSums {
  static constexpr int kTaps = Mode::kTaps, kWide = kPack<T>;
  // Columns that are read on either side, of which so many are used.
  static constexpr int kSide = kTaps > 2 ? 4 : 4 / static_cast<int>(sizeof(T));
  static constexpr int kUsed = kTimes * (kTaps - 1) / 2;
  using Side = Unit<kSide* static_cast<int>(sizeof(T))>;

 public:
  static constexpr int kResults = kWide / kTimes;
  static_assert(kResults > 1 && kUsed <= kSide);
  struct Raw {
    Unit<16> own;
    Side left, right;
  };

  GPU_DEVICE GroupSums(const Image<T>& image, uint32_t lane, uint32_t plane)
      : row_(image.columns.to * static_cast<int>(sizeof(T))),
        row_out_(image.columns.from * static_cast<int>(sizeof(T))),
        in_(reinterpret_cast<const char*>(
            image.in + int64_t{plane} * image.rows.to * image.columns.to + lane * kWide)),
        out_(reinterpret_cast<char*>(
            image.out + int64_t{plane} * image.rows.from * image.columns.from + lane * kResults)),
        first_(lane == 0),
        last_((lane + 1) * kWide == static_cast<uint32_t>(image.columns.to)) {}

  GPU_DEVICE void read(int row, Raw* raw) const {
    const auto* at = reinterpret_cast<const T*>(in_ + int64_t{row} * row_);
    raw->own.load(at);
    raw->left = raw->right = {};
    if (!first_) raw->left.load(at - kSide);
    if (!last_) raw->right.load(at + kWide);
  }

  GPU_DEVICE void along(const Raw& raw, const GroupWeights<Mode, kTimes>& weights,
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
    } else if (first_) {  // the second tap of results at the edge has 0 x: nothing, or NaN
#pragma unroll
      for (int j = 0; j < kTimes / 2; ++j) sum[1] = fmaf(0.0f, x[kSide + j], sum[1]);
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kResults]) const {
    Unit<16 / kTimes>::store(reinterpret_cast<T*>(out_ + int64_t{row} * row_out_), x);
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
};

// The row that stands for that one, which may be beyond an edge.
GPU_DEVICE int mirrored(int row, int rows) {
  const int after = row < 0 ? ~row : row, before = 2 * rows - 1 - after;
  return after < before ? after : before;
}

// Sums of the rows of src that a group of the gradient's belongs to.
template <class Mode, class T, int kTimes>
class GroupRows {
  using Sums = GroupSums<Mode, T, kTimes>;
  static constexpr int kTaps = Mode::kTaps, kResults = Sums::kResults;

 public:
  // Adds group q. kEdge: of which rows may be beyond an edge.
  template <bool kEdge>
  GPU_DEVICE void add(const Sums& sums, const typename Sums::Raw (&raw)[kTimes], int q, int rows) {
#pragma unroll
    for (int f = 0; f < kTimes; ++f) {
      const auto row = static_cast<unsigned>(q * kTimes + kTimes / 2 + f);
      if (kEdge && kTaps > 2 && row >= static_cast<unsigned>(rows)) continue;
      float line[kResults];
      sums.along(raw[f], weights_, line);
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
  const GroupWeights<Mode, kTimes> weights_;
  float kept_[kTaps][kResults] = {};
  float second_[kResults] = {};
};

// Blocks whose registers a multiprocessor has: at 64 it is half full, and four taps then leave none for
// more than a group of rows.
template <class Mode, int kTimes>
constexpr int kGroupBlocks = Mode::kTaps == 2 && kTimes == 4 ? 5 : 4;

template <class Mode, class T, int kTimes>
GPU_KERNEL(kUpsampleThreads, kGroupBlocks<Mode, kTimes>)
upsample_backward_groups(Image<T> image, Work work) {
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  using Sums = GroupSums<Mode, T, kTimes>;
  constexpr int kTaps = Mode::kTaps;
  constexpr int kAhead = kTaps > 2 ? 1 : 4 / kTimes;  // groups of rows that are read at once
  const Share share = share_of(work, index);
  const Sums sums(image, share.lane, share.group);
  GroupRows<Mode, T, kTimes> kept;
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

// False where another kernel is to do it.
template <class Mode, int kTimes, class T>
bool backward_groups(const Image<T>& image, const polyops_context* ctx, int* status) {
  if (!has_groups(image, kTimes)) return false;
  const int64_t lanes = image.columns.to / kPack<T>;
  const int rows = rows_of_thread(lanes * image.planes, image.rows.from, 32, ctx);
  const Work work = make_work(lanes, image.planes, image.rows.from, rows);
  *status =
      gpu::launch(upsample_backward_groups<Mode, T, kTimes>, shape_of(work), ctx, image, work);
  return true;
}
template <class Mode, class T>
bool backward_groups(const Image<T>& image, const polyops_context* ctx, int* status) {
  if (backward_groups<Mode, 2>(image, ctx, status)) return true;
  if constexpr (Mode::kTaps == 2 && sizeof(T) == 2) {
    return backward_groups<Mode, 4>(image, ctx, status);
  }
  return false;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_GROUPS_H_
