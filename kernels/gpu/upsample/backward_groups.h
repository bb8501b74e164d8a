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
  using Side = Unit<kSide * static_cast<int>(sizeof(T))>;

 public:
  static constexpr int kResults = kWide / kTimes;
  static_assert(kResults > 1 && kUsed <= kSide);
  struct Raw {
    Unit<16> own;
    Side left, right;
  };

  GPU_DEVICE GroupSums(const Image<T>& image, uint32_t lane, uint32_t plane)
      : wide_(image.columns.to),
        wide_out_(image.columns.from),
        in_(image.in + int64_t{plane} * image.rows.to * wide_ + lane * kWide),
        out_(image.out + int64_t{plane} * image.rows.from * wide_out_ + lane * kResults),
        first_(lane == 0),
        last_((lane + 1) * kWide == static_cast<uint32_t>(wide_)) {}

  GPU_DEVICE Raw read(int row) const {
    const T* at = in_ + row * wide_;
    Raw raw;
    raw.own.load(at);
    raw.left.load(first_ ? at : at - kSide);
    raw.right.load(last_ ? at : at + kWide);
    return raw;
  }

  GPU_DEVICE void along(const Raw& raw, const GroupWeights<Mode, kTimes>& weights,
                        float (&sum)[kResults]) const {
    float x[kSide + kWide + kSide];
    raw.left.template get<T>(x);
    raw.own.template get<T>(x + kSide);
    raw.right.template get<T>(x + kSide + kWide);
    // The weights of a linear result beyond an edge are those that one within it lacks.
    constexpr int kEnd = kSide + kWide;
#pragma unroll
    for (int j = 0; j < kUsed; ++j) {
      if (first_) x[kSide - 1 - j] = kTaps > 2 ? 0.0f : x[kSide + j];
      if (last_) x[kEnd + j] = kTaps > 2 ? 0.0f : x[kEnd - 1 - j];
    }
#pragma unroll
    for (int c = 0; c < kResults; ++c) sum[c] = place(c, 0, kEnd + kSide, x, weights);
    if constexpr (kTaps > 2) {  // what lies beyond an edge belongs to that at the edge
      if (first_) {
#pragma unroll
        for (int c = 1; c <= kTaps / 2; ++c) sum[0] += place(-c, kSide, kEnd, x, weights);
      }
      if (last_) {
#pragma unroll
        for (int c = 0; c < kTaps / 2; ++c) {
          sum[kResults - 1] += place(kResults + c, kSide, kEnd, x, weights);
        }
      }
    } else if (first_) {  // the second tap of results at the edge has 0 x: nothing, or NaN
#pragma unroll
      for (int j = 0; j < kTimes / 2; ++j) sum[1] = fmaf(0.0f, x[kSide + j], sum[1]);
    }
  }

  GPU_DEVICE void store(int row, const float (&x)[kResults]) const {
    Unit<16 / kTimes>::store(out_ + row * wide_out_, x);
  }

 private:
  // What the element at place c has of x, from `begin` on, before `end`.
  GPU_DEVICE static float place(int c, int begin, int end, const float (&x)[kSide + kWide + kSide],
                                const GroupWeights<Mode, kTimes>& weights) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kTimes * kTaps; ++i) {
      const int at = kSide - kUsed + c * kTimes + i;
      if (at < begin || at >= end) continue;
      const float w = weights.of[i % kTimes][kTaps - 1 - i / kTimes];
      sum = i == 0 ? w * x[at] : fmaf(w, x[at], sum);
    }
    return sum;
  }

  int wide_, wide_out_;
  const T* in_;
  T* out_;
  bool first_, last_;
};

// The row that stands for that one, which may be beyond an edge.
GPU_DEVICE int mirrored(int row, int rows) {
  return row < 0 ? -1 - row : row < rows ? row : 2 * rows - 1 - row;
}

template <class Mode, class T, int kTimes>
GPU_KERNEL(kUpsampleThreads)
upsample_backward_groups(Image<T> image, Work work) {
  const auto index = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (index >= work.threads) return;
  using Sums = GroupSums<Mode, T, kTimes>;
  constexpr int kTaps = Mode::kTaps, kResults = Sums::kResults;
  constexpr int kAhead = 4 / kTimes;  // groups of rows that are read at once
  const Share share = share_of(work, index);
  const Sums sums(image, share.lane, share.group);
  const GroupWeights<Mode, kTimes> weights;
  const int from = image.rows.from, to = image.rows.to;
  const int stop = share.row + work.rows < from ? share.row + work.rows : from;
  const int end = stop + kTaps / 2 - 1;
  int group = share.row - kTaps / 2;
  typename Sums::Raw raw[kAhead][kTimes];
  const auto row_of = [&](int q, int f) { return q * kTimes + kTimes / 2 + f; };
#pragma unroll
  for (int i = 0; i < kAhead * kTimes; ++i) {
    raw[i / kTimes][i % kTimes] = sums.read(mirrored(row_of(group, i), to));
  }
  float kept[kTaps][kResults] = {};  // of the rows that a group belongs to
  float joined[kResults] = {};       // linear: what the second tap of results at the edge has
  for (; group < end; group += kAhead) {
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int q = group + a;
      if (q >= end) break;
#pragma unroll
      for (int f = 0; f < kTimes; ++f) {
        const auto place = static_cast<unsigned>(row_of(q, f));
        if (kTaps == 2 || place < static_cast<unsigned>(to)) {
          float line[kResults];
          sums.along(raw[a][f], weights, line);
#pragma unroll
          for (int c = 0; c < kResults; ++c) {
#pragma unroll
            for (int k = 0; k < kTaps; ++k) {
              kept[k][c] = fmaf(weights.of[f][k], line[c], kept[k][c]);
            }
            if (kTaps == 2 && q < 0 && f >= kTimes / 2) joined[c] = fmaf(0.0f, line[c], joined[c]);
          }
        }
        if (q + kAhead < end) raw[a][f] = sums.read(mirrored(row_of(q + kAhead, f), to));
      }
      const int row = q + 1 - kTaps / 2;  // is finished
#pragma unroll
      for (int c = 0; c < kResults; ++c) {
        if constexpr (kTaps > 2) {
          if (row == -2) kept[2][c] += kept[0][c];
          if (row == -1) kept[1][c] += kept[0][c];
          if (row == from - 1) kept[0][c] += kept[1][c] + kept[2][c];
        }
      }
      if (row >= share.row) sums.store(row, kept[0]);
#pragma unroll
      for (int c = 0; c < kResults; ++c) {
#pragma unroll
        for (int k = 1; k < kTaps; ++k) kept[k - 1][c] = kept[k][c];
        kept[kTaps - 1][c] = kTaps == 2 && q < 0 ? joined[c] : 0.0f;
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
  *status = gpu::launch(upsample_backward_groups<Mode, T, kTimes>, shape_of(work), ctx, image, work);
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
