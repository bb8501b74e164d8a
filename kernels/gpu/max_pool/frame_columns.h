// What a block of frames.h has in shared memory, and what a thread of it does with a column's rows.
#ifndef POLYOPS_GPU_MAX_POOL_FRAME_COLUMNS_H_
#define POLYOPS_GPU_MAX_POOL_FRAME_COLUMNS_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/largest.h"
#include "span.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

constexpr int kFramesRows = 7;     // of a thread
constexpr int kFramesBuffers = 3;  // of frames

// A block has some volumes side by side.
struct Frames {
  int volumes, side_by_side;
  int deep, high, wide;
  Division of_volume, columns;  // threads
  int packs;                    // of a frame, wherever it begins, and one between them

  GPU_DEVICE int frame() const { return high * wide; }
};

// Threads of kColumns columns each.
template <class T, int kBlockThreads, int kColumns>
class FramesBlock {
 public:
  static constexpr int kThreads = kBlockThreads, kWide = kColumns;

  GPU_DEVICE FramesBlock(const Largest<T>& op, const Frames& s, T* memory)
      : op_(op), s_(s), memory_(memory) {
    const int64_t before = block_id() * s.side_by_side, rest = s.volumes - before;
    auto volume = static_cast<uint32_t>(thread_id());
    auto row = take_remainder(s.of_volume, &volume);
    column_ = static_cast<int>(take_remainder(s.columns, &row)) * kColumns;
    top_ = static_cast<int>(row) * kFramesRows;
    const bool one = volume < (rest < s.side_by_side ? rest : s.side_by_side);
    volume_ = one ? static_cast<int>(volume) : 0;
    rows_ = one ? s.high - top_ : 0;
    to_ = static_cast<uint32_t>((before + volume_) * op.dst_image + top_ * s.wide + column_);
    memory_ += kPack<T>;  // what lies before a column is looked at, for nothing
  }

  // Into the frame's buffer, if there is one, each volume by its own threads.
  GPU_DEVICE void fetch(int frame) const {
    if (frame < s_.deep && rows_ > 0) {
      const auto threads = static_cast<int>(s_.of_volume.divisor);
      fetch_run(from(frame), s_.frame(), buffer(frame), threads, thread_id() - volume_ * threads);
    }
    close_copies();
  }

 protected:
  // The image's first row of the thread's column.
  GPU_DEVICE const T* column(int frame) const {
    return buffer(frame) + misplaced(from(frame)) + column_;
  }
  // Calls f(r, row) for the rows around the thread's, `row` being where it begins in a frame.
  template <class F>
  GPU_DEVICE void for_rows(F f) const {
    int row = nearest(top_ - 1, s_.high) * s_.wide;
#pragma unroll
    for (int r = 0; r < kFramesRows + 2; ++r) {
      f(r, row);
      if (r == 0 ? top_ > 0 : r < rows_) row += s_.wide;
    }
  }
  // Of results, below 2^32, as all offsets are.
  GPU_DEVICE uint32_t result(int frame, int row) const {
    return to_ + static_cast<uint32_t>(frame * s_.frame() + row * s_.wide);
  }

  // The thread's volume's frame, which is as large as its results', and where it arrives.
  GPU_DEVICE const T* from(int frame) const {
    return op_.src + (result(frame, 0) - static_cast<uint32_t>(top_ * s_.wide + column_));
  }
  GPU_DEVICE T* buffer(int frame) const {
    const int which = frame % kFramesBuffers * s_.side_by_side + volume_;
    return memory_ + which * (s_.packs * kPack<T>);
  }

  const Largest<T>& op_;
  const Frames& s_;
  T* memory_;
  uint32_t to_;                       // of the first result
  int volume_, column_, top_, rows_;  // rows_: from the top on, 0 of none
};

template <class T>
class FrameColumns : public FramesBlock<T, 128, 1> {
  using Block = FramesBlock<T, 128, 1>;

 public:
  using Found = LargestPool<1>;
  static constexpr int kBlocks = 6;  // of a multiprocessor

  GPU_DEVICE FrameColumns(const Largest<T>& op, const Frames& s, T* memory)
      : Block(op, s, memory),
        left_(nearest(this->column_ - 1, s.wide)),
        right_(nearest(this->column_ + 1, s.wide)) {}

  // What the windows of the frame come to, of the thread's rows. Whether there are NaNs that were
  // passed over.
  GPU_DEVICE bool look(int frame, Found (&found)[kFramesRows]) const {
    const T* const column = this->column(frame);
    const int before = frame * this->s_.frame(), at = this->column_;
    Found rows[3];
    this->for_rows([&](int r, int row) {
      const float left = widen(column[row - 1]), x = widen(column[row]);
      const float right = widen(column[row + 1]);
      Found& across = rows[r % 3];
      across.begin({left_ == at ? x : left}, left_);
      across.add({x}, at);
      across.add({right_ == at ? x : right}, right_);
      across.at[0] += before + row;
      if (r < 2) return;
      Found& all = found[r - 2];
      all = rows[(r - 2) % 3];
      all.merge(rows[(r - 1) % 3]);
      all.merge(across);
    });
    return false;
  }

  // What a frame so many behind has.
  GPU_DEVICE const Found& behind(const Found& found, int) const { return found; }
  // The result of a row, of the window around that frame.
  GPU_DEVICE void put(int frame, int row, const Found& found) const {
    if (row < this->rows_) this->op_.put_found(found, this->result(frame, row));
  }
  GPU_DEVICE void find_nans(int) const {}

 private:
  int left_, right_;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_FRAME_COLUMNS_H_
