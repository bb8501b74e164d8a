// What backward_tiles.h is made of: the rows of the gradient that a block takes, how a thread reads
// its columns of them, and how it sums along a row of what is in shared memory.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_PARTS_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_PARTS_H_

#include "sums.h"
#include "tile_parts.h"

namespace polyops::gpu {
namespace {

// The rows of the gradient that the rows [first, stop) of src take. After them come steps without a
// row, until the last row of src is finished.
template <class Mode>
struct Steps {
  int begin, rows, count, stop;
  int first, last;  // row of src that the first one and the last one begin at

  GPU_DEVICE Steps(const Axis& axis, int first_row, int stop_row) : stop(stop_row) {
    float unused;
    begin = Mode::begin_of(axis, first_row);
    rows = Mode::end_of(axis, stop - 1) - begin;
    first = rows > 0 ? Mode::first(axis, begin, &unused) : first_row;
    last = rows > 0 ? Mode::first(axis, begin + rows - 1, &unused) : first_row;
    count = rows + stop - last;
  }

  // Of the steps from that one on.
  GPU_DEVICE void fill(const Axis& axis, int from, RowTable<Mode>* table) const {
    for (int i = thread_id(); i < RowTable<Mode>::kRows; i += block_threads()) {
      const int step = from + i, row = last + (step - rows + 1);
      if (step < rows) {
        table->set(i, axis, begin + step);
      } else {
        table->first[i] = row < stop ? row : stop;
      }
    }
  }
};

// A pack of each row; rows begin at aligned packs. Beyond the row's end there is its last pack
// again.
template <class T>
class PackColumns {
 public:
  static constexpr int kWide = kPack<T>, kAlign = kPack<T>;
  using Raw = Words;

  // Of that row on.
  GPU_DEVICE PackColumns(const T* row, int width, int begin, int lane, int)
      : width_(width), lane_(lane) {
    const int at = begin + lane * kWide;
    line_ = row + (at < width ? at : width - kWide);
  }
  GPU_DEVICE Raw read() const { return load_words(line_); }
  GPU_DEVICE void next(bool more) { line_ += more ? width_ : 0; }
  GPU_DEVICE static void values(const Raw& raw, float (&x)[kWide]) { unpack<T>(raw, x); }
  GPU_DEVICE void write(float* line, const float (&x)[kWide]) const {
    line += padded(lane_ * kWide);
#pragma unroll
    for (int j = 0; j < kWide; ++j) line[j] = x[j];
  }

 private:
  const T* line_;
  int width_, lane_;
};

// Elements as far from each other as there are lanes.
template <class T>
class SingleColumns {
 public:
  static constexpr int kWide = 3, kAlign = 1;
  struct Raw {
    T x[kWide];
  };

  GPU_DEVICE SingleColumns(const T* row, int width, int begin, int lane, int lanes)
      : line_(row), width_(width), lane_(lane), lanes_(lanes) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const int at = begin + lane + j * lanes;
      at_[j] = at < width ? at : width - 1;
    }
  }
  GPU_DEVICE Raw read() const {
    Raw raw;
#pragma unroll
    for (int j = 0; j < kWide; ++j) raw.x[j] = line_[at_[j]];
    return raw;
  }
  GPU_DEVICE void next(bool more) { line_ += more ? width_ : 0; }
  GPU_DEVICE static void values(const Raw& raw, float (&x)[kWide]) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = widen(raw.x[j]);
  }
  GPU_DEVICE void write(float* line, const float (&x)[kWide]) const {
#pragma unroll
    for (int j = 0; j < kWide; ++j) line[padded(lane_ + j * lanes_)] = x[j];
  }

 private:
  const T* line_;
  int width_, lane_, lanes_;
  int at_[kWide];
};

// The sums that make one column of src, of rows in shared memory that begin with the gradient's
// column `from`. The first kHeld places and weights are worked out once; those there are not have
// the place `zero`, where a 0 is.
template <class Mode, int kHeld>
class ColumnSum {
 public:
  GPU_DEVICE ColumnSum(const Axis& axis, int place, int from, int zero)
      : axis_(axis), place_(place), from_(from) {
    begin_ = Mode::begin_of(axis, place);
    end_ = Mode::end_of(axis, place);
    simple_ = end_ - begin_ <= kHeld && !at_edge(axis, place);
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      const bool has = begin_ + j < end_;
      at_[j] = sizeof(float) * static_cast<uint32_t>(has ? padded(begin_ + j - from) : zero);
      forget_bits(&at_[j]);  // or it is worked out for each row
      weight_[j] = has ? Mode::weight(axis, begin_ + j, place) : 0.0f;
    }
  }

  // Calls store(slot, sum) for the first `count` of kSlots rows, kApart from each other.
  template <int kSlots, int kApart, class Store>
  GPU_DEVICE void of(const float* lines, int count, Store store) const {
    const float* tap[kHeld];
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
      tap[j] = reinterpret_cast<const float*>(reinterpret_cast<const char*>(lines) + at_[j]);
    }
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      if (slot >= count) break;
      float sum = 0;
#pragma unroll
      for (int j = 0; j < kHeld; ++j) sum = fmaf(weight_[j], tap[j][slot * kApart], sum);
      if (!simple_) sum = add_others(lines + slot * kApart, sum);
      store(slot, sum);
    }
  }

 private:
  GPU_DEVICE float add_others(const float* line, float sum) const {
#pragma unroll 1
    for (int i = begin_ + kHeld; i < end_; ++i) {
      sum = fmaf(Mode::weight(axis_, i, place_), line[padded(i - from_)], sum);
    }
    // Taps that join add 0 x: nothing, but to what is not finite.
    if (sum - sum == 0 || !at_edge(axis_, place_)) return sum;
    float all[1] = {sum};
#pragma unroll 1
    for (int i = begin_; i < end_; ++i) {
      const float x[1] = {line[padded(i - from_)]};
      add_joined<Mode>(axis_, i, place_, x, all);
    }
    return all[0];
  }

  const Axis& axis_;
  int place_, from_, begin_, end_;
  bool simple_;
  uint32_t at_[kHeld];  // in bytes
  float weight_[kHeld];
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_PARTS_H_
