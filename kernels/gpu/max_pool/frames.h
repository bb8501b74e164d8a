// Windows of 3 at stride 1 that are as many as the elements, in contiguous volumes: a block has the
// frames of some, one after the other, in shared memory, where the next two arrive meanwhile. A
// thread has a column's rows: it looks for the largest element across, then down, and keeps what
// the last two frames came to, with which the third one is compared. A tap beside the image is
// taken for the next one that is in it, twice, which changes neither value nor index. Bound:
// memory, the image once and its results.
#ifndef POLYOPS_GPU_MAX_POOL_FRAMES_H_
#define POLYOPS_GPU_MAX_POOL_FRAMES_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "span.h"
#include "volume.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

constexpr int kFramesThreads = 128;
constexpr int kFramesRows = 7;        // of a thread
constexpr int kFramesBuffers = 3;     // of frames
constexpr int64_t kLeastFrames = 2;   // volumes per multiprocessor
constexpr int64_t kFramesBlocks = 5;  // per multiprocessor, if there is as much to do

// A block has some volumes side by side.
struct Frames {
  int volumes, side_by_side;
  int deep, high, wide;
  Division of_volume, columns;  // threads
  int packs;                    // of a frame, wherever it begins, and one between them

  GPU_DEVICE int frame() const { return high * wide; }
};

template <class T>
class FramesBlock {
 public:
  GPU_DEVICE FramesBlock(const Largest<T>& op, const Frames& s, T* memory)
      : op_(op), s_(s), memory_(memory), first_(block_id() * s.side_by_side) {
    const int64_t rest = s.volumes - first_;
    count_ = rest < s.side_by_side ? static_cast<int>(rest) : s.side_by_side;
    auto volume = static_cast<uint32_t>(thread_id());
    auto row = take_remainder(s.of_volume, &volume);
    column_ = static_cast<int>(take_remainder(s.columns, &row));
    top_ = static_cast<int>(row) * kFramesRows;
    const bool one = static_cast<int>(volume) < count_;
    volume_ = one ? static_cast<int>(volume) : 0;
    rows_ = one ? s.high - top_ : 0;
    left_ = nearest(column_ - 1, s.wide);
    right_ = nearest(column_ + 1, s.wide);
    memory_ += kPack<T>;  // what lies before a column is looked at, for nothing
  }

  // Into the frame's buffer, if there is one.
  GPU_DEVICE void fetch(int frame) const {
    if (frame < s_.deep) {
      for (int i = 0; i < count_; ++i) {
        fetch_run(from(frame, i), s_.frame(), buffer(frame, i), kFramesThreads);
      }
    }
    close_copies();
  }

  GPU_DEVICE void look(int frame, LargestPool<1> (&found)[kFramesRows]) const {
    const T* const column = buffer(frame, volume_) + misplaced(from(frame, volume_)) + column_;
    const int before = frame * s_.frame();
    int row = nearest(top_ - 1, s_.high) * s_.wide;
    LargestPool<1> rows[3];
#pragma unroll
    for (int r = 0; r < kFramesRows + 2; ++r) {
      const float left = widen(column[row - 1]), x = widen(column[row]);
      const float right = widen(column[row + 1]);
      LargestPool<1>& across = rows[r % 3];
      across.begin({left_ == column_ ? x : left}, left_);
      across.add({x}, column_);
      across.add({right_ == column_ ? x : right}, right_);
      across.at[0] += before + row;
      if (r == 0 ? top_ > 0 : r < rows_) row += s_.wide;
      if (r < 2) continue;
      LargestPool<1>& all = found[r - 2];
      all = rows[(r - 2) % 3];
      all.merge(rows[(r - 1) % 3]);
      all.merge(across);
    }
  }

  GPU_DEVICE void put(int frame, int row, const LargestPool<1>& pool) const {
    if (row >= rows_) return;
    const int64_t volume = (first_ + volume_) * op_.dst_image;  // below 2^32, as all offsets
    const auto before = static_cast<uint32_t>(frame * s_.frame() + top_ * s_.wide + column_);
    op_.put_found(pool,
                  static_cast<uint32_t>(volume) + before + static_cast<uint32_t>(row * s_.wide));
  }

 private:
  GPU_DEVICE const T* from(int frame, int volume) const {
    return op_.src + (first_ + volume) * op_.src_image + frame * s_.frame();
  }
  GPU_DEVICE T* buffer(int frame, int volume) const {
    const int which = frame % kFramesBuffers * s_.side_by_side + volume;
    return memory_ + which * (s_.packs * kPack<T>);
  }

  const Largest<T>& op_;
  const Frames& s_;
  T* memory_;
  int64_t first_;  // of the block's volumes
  int count_;
  int volume_, column_, top_, rows_;  // rows_: from the top on, 0 of none
  int left_, right_;
};

template <class T>
GPU_KERNEL(kFramesThreads, 6)
volume_frames(Largest<T> op, Frames s) {
  GPU_DYNAMIC_SHARED(Words, memory);
  const FramesBlock<T> block(op, s, reinterpret_cast<T*>(memory));
  LargestPool<1> before[kFramesRows], last[kFramesRows];
  const auto look = [&](int frame, LargestPool<1>(&found)[kFramesRows]) {
    wait_copies<kFramesBuffers - 2>();
    barrier();
    block.fetch(frame + kFramesBuffers - 1);
    block.look(frame, found);
  };
#pragma unroll
  for (int frame = 0; frame < kFramesBuffers - 1; ++frame) block.fetch(frame);
  look(0, last);
#pragma unroll
  for (int i = 0; i < kFramesRows; ++i) before[i] = last[i];
#pragma unroll 1
  for (int frame = 1; frame < s.deep; ++frame) {
    LargestPool<1> next[kFramesRows];
    look(frame, next);
#pragma unroll
    for (int i = 0; i < kFramesRows; ++i) {
      before[i].merge(last[i]);
      before[i].merge(next[i]);
      block.put(frame - 1, i, before[i]);
      before[i] = last[i];
      last[i] = next[i];
    }
  }
#pragma unroll
  for (int i = 0; i < kFramesRows; ++i) {
    before[i].merge(last[i]);
    block.put(s.deep - 1, i, before[i]);
  }
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_frames(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                   const polyops_context* ctx, int* status) {
  const int64_t threads = int64_t{axes.wide.in} * divide_up(axes.high.in, kFramesRows);
  const int64_t processors = multiprocessors(ctx);
  if (images.channels != 1 || !keeps_size(axes.deep) || !keeps_size(axes.high) ||
      !keeps_size(axes.wide) || threads > kFramesThreads ||
      images.count < kLeastFrames * processors) {
    return false;
  }
  int64_t beside = kFramesThreads / threads;
  const int64_t spread = images.count / (kFramesBlocks * processors);
  if (beside > spread) beside = spread > 1 ? spread : 1;
  Frames s = {};
  s.volumes = static_cast<int>(images.count);
  s.side_by_side = static_cast<int>(beside);
  s.deep = axes.deep.in;
  s.high = axes.high.in;
  s.wide = axes.wide.in;
  s.of_volume = Division(static_cast<uint32_t>(threads));
  s.columns = Division(static_cast<uint32_t>(axes.wide.in));
  s.packs = axes.high.in * axes.wide.in / kPack<T> + 3;  // the last one: nothing arrives there
  const int64_t bytes = (kFramesBuffers * beside * s.packs + 1) * 16;
  *status = gpu::launch(
      volume_frames<T>,
      {divide_up(images.count, beside), kFramesThreads, static_cast<size_t>(bytes)}, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_FRAMES_H_
