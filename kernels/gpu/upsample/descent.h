// How a thread of backward_tiles.h goes down its columns of the gradient: each row is added to the
// rows of src that it belongs to by their weights; those that no row to come belongs to are
// finished.
#ifndef POLYOPS_GPU_UPSAMPLE_DESCENT_H_
#define POLYOPS_GPU_UPSAMPLE_DESCENT_H_

#include "backward_parts.h"

namespace polyops::gpu {
namespace {

// Rows that a thread reads at once; as many may be finished by them.
constexpr int kBatch = 4;

template <class Mode, class Columns>
class Descent {
  static constexpr int kTaps = Mode::kTaps, kWide = Columns::kWide;

 public:
  // Of src's rows from `first` on, of which the image's last is `last`.
  GPU_DEVICE Descent(const Columns& columns, const Steps<Mode>& steps, int first, int last)
      : columns_(columns), steps_(steps), first_(first), last_(last), row_(steps.first) {
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      raw_[k] = columns_.read();
      columns_.next(k + 1 < steps.rows);
    }
  }

  // The first row that the next steps finish.
  GPU_DEVICE int next_finished() const { return row_ > first_ ? row_ : first_; }

  // Takes the steps from that one on, of which the table is. Rows that are finished go to `to`, so
  // many as are returned, if this thread is one that writes.
  GPU_DEVICE int take(int step, const RowTable<Mode>& table, float* to, bool writes) {
    const bool inner = row_ >= first_ && row_ >= 0 && step + 2 * kBatch < steps_.rows;
    return inner ? take<true>(step, table, to, writes) : take<false>(step, table, to, writes);
  }

 private:
  // Inner steps have rows, as those after them, and are at no edge.
  template <bool kInner>
  GPU_DEVICE int take(int step, const RowTable<Mode>& table, float* to, bool writes) {
    int finished = 0;
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      const int at = step % RowTable<Mode>::kRows + k;
      if (row_ < table.first[at]) {
        if (!kInner && row_ == last_) join_last();
        if (kInner || row_ >= first_) {
          if (writes) columns_.write(to + finished * kSlot<kWide>, kept_[0]);
          ++finished;
        }
        if (kTaps > 2 && !kInner && row_ < 0) join_first();
        next_row();
      }
      if (kInner || step + k < steps_.rows) add(table.weight[at], raw_[k]);
      raw_[k] = columns_.read();
      columns_.next(kInner || step + k + kBatch + 1 < steps_.rows);
    }
    return finished;
  }

  GPU_DEVICE void add(const float (&w)[kTaps], const typename Columns::Raw& raw) {
    float x[kWide];
    Columns::values(raw, x);
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) kept_[k][j] = fmaf(w[k], x[j], kept_[k][j]);
    }
  }
  // What lies beyond an edge belongs to the row at the edge.
  GPU_DEVICE void join_first() {
#pragma unroll
    for (int j = 0; j < kWide; ++j) kept_[1][j] += kept_[0][j];
  }
  GPU_DEVICE void join_last() {
#pragma unroll
    for (int k = kTaps - 1; k > 0; --k) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) kept_[k - 1][j] += kept_[k][j];
    }
  }
  GPU_DEVICE void next_row() {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
#pragma unroll
      for (int k = 1; k < kTaps; ++k) kept_[k - 1][j] = kept_[k][j];
      kept_[kTaps - 1][j] = 0;
    }
    ++row_;
  }

  Columns columns_;
  const Steps<Mode> steps_;
  const int first_, last_;
  int row_;  // that kept_ begins with
  float kept_[kTaps][kWide] = {};
  typename Columns::Raw raw_[kBatch];
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_DESCENT_H_
