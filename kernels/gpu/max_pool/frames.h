// Windows of 3 at stride 1 that are as many as the elements, in contiguous volumes of float32
// (those of 16 bits: keys.h): a block has the frames of some, one after the other, in shared
// memory, where the next two arrive meanwhile. A thread has a column's rows: it looks for the
// largest element across, then down, and keeps what the last two frames came to, with which the
// third one is compared. A tap beside the image is taken for the next one that is in it, twice,
// which changes neither value nor index. Where rows of indices are no whole sectors, a frame's
// results wait in shared memory, too, and leave as runs of whole packs (8x480x8x14x14: 35 us for
// 42). Bound: memory, the image once and its results.
#ifndef POLYOPS_GPU_MAX_POOL_FRAMES_H_
#define POLYOPS_GPU_MAX_POOL_FRAMES_H_

#include <cstdint>
#include <type_traits>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "pool2d/stage.h"
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
  int values_at, places_at;     // packs of the block's memory before results
  int place_packs;              // of a frame's

  GPU_DEVICE int frame() const { return high * wide; }
};

// kStaged: whether results wait.
template <class T, bool kStaged>
class FramesBlock {
 public:
  GPU_DEVICE FramesBlock(const Largest<T>& op, const Frames& s, T* memory)
      : op_(op), s_(s), memory_(memory) {
    const int64_t first = block_id() * s.side_by_side, rest = s.volumes - first;
    const int count = rest < s.side_by_side ? static_cast<int>(rest) : s.side_by_side;
    auto volume = static_cast<uint32_t>(thread_id());
    auto row = take_remainder(s.of_volume, &volume);
    column_ = static_cast<int>(take_remainder(s.columns, &row));
    top_ = static_cast<int>(row) * kFramesRows;
    const bool one = static_cast<int>(volume) < count;
    volume_ = one ? static_cast<int>(volume) : 0;
    first_ = static_cast<uint32_t>((first + volume_) * op.dst_image);
    rows_ = one ? s.high - top_ : 0;
    values_ = memory + (s.values_at + volume_ * s.packs) * kPack<T>;
    places_ = reinterpret_cast<int*>(reinterpret_cast<Words*>(memory) + s.places_at +
                                     volume_ * s.place_packs);
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

  // Calls found(i, pool) for each of the thread's rows: the largest around it in the frame.
  template <class Found>
  GPU_DEVICE void look(int frame, Found found) const {
    // What follows from these would take registers from frame to frame.
    auto own = static_cast<uint32_t>(column_), top = static_cast<uint32_t>(top_);
    forget_bits(&own);
    forget_bits(&top);
    const int at = static_cast<int>(own), before = frame * s_.frame();
    const int at_left = nearest(at - 1, s_.wide), at_right = nearest(at + 1, s_.wide);
    const T* const column = buffer(frame) + misplaced(from(frame)) + at;
    int row = nearest(static_cast<int>(top) - 1, s_.high) * s_.wide;
    LargestPool<1> rows[3];
#pragma unroll
    for (int r = 0; r < kFramesRows + 2; ++r) {
      const float left = widen(column[row - 1]), x = widen(column[row]);
      const float right = widen(column[row + 1]);
      LargestPool<1>& across = rows[r % 3];
      across.begin({at_left == at ? x : left}, at_left);
      across.add({x}, at);
      across.add({at_right == at ? x : right}, at_right);
      across.at[0] += before + row;
      if (r == 0 ? top > 0 : r < rows_) row += s_.wide;
      if (r < 2) continue;
      LargestPool<1> all = rows[(r - 2) % 3];
      all.merge(rows[(r - 1) % 3]);
      all.merge(across);
      found(r - 2, all);
    }
  }

  // Where the frame's result in the thread's first row goes, or waits.
  struct Results {
    T* value;
    std::conditional_t<kStaged, int, int64_t>* place;
  };
  GPU_DEVICE Results results(int frame) const {
    const uint32_t run = volume_at(frame);
    const int own = top_ * s_.wide + column_;
    if constexpr (kStaged) {
      return {values_ + (misplaced(op_.dst + run) + own),
              places_ + (misplaced(op_.indices + run) + own)};
    } else {
      const uint32_t at = run + static_cast<uint32_t>(own);
      return {op_.dst + at, op_.indices + at};
    }
  }
  GPU_DEVICE void put(const Results& results, int row, const LargestPool<1>& pool) const {
    if (row >= rows_) return;
    results.value[row * s_.wide] = narrow<T>(pool.value[0]);
    results.place[row * s_.wide] = pool.at[0];
  }
  // By all threads, that have put theirs.
  GPU_DEVICE void store(int frame) const {
    if constexpr (!kStaged) return;
    barrier();
    if (rows_ <= 0) return;
    const auto threads = static_cast<int>(s_.of_volume.divisor);
    const int thread = thread_id() - volume_ * threads;
    const uint32_t run = volume_at(frame);
    store_run(op_.dst + run, s_.frame(), values_, threads, thread);
    store_places(op_.indices + run, s_.frame(), places_, threads, thread);
  }

 private:
  // The thread's volume's frame in src and dst, and where it arrives.
  GPU_DEVICE uint32_t volume_at(int frame) const {
    return first_ + static_cast<uint32_t>(frame * s_.frame());
  }
  GPU_DEVICE const T* from(int frame) const { return op_.src + volume_at(frame); }
  GPU_DEVICE T* buffer(int frame) const {
    const int which = frame % kFramesBuffers * s_.side_by_side + volume_;
    return memory_ + which * (s_.packs * kPack<T>);
  }

  const Largest<T>& op_;
  const Frames& s_;
  T *memory_, *values_;
  int* places_;
  uint32_t first_;                    // element of src and dst, below 2^32 as all offsets
  int volume_, column_, top_, rows_;  // rows_: from the top on, 0 of none
};

template <class T, bool kStaged>
GPU_KERNEL(kFramesThreads, 6)
volume_frames(Largest<T> op, Frames s) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  const FramesBlock<T, kStaged> block(op, s, reinterpret_cast<T*>(memory));
  LargestPool<1> before[kFramesRows], last[kFramesRows];
  const auto look = [&](int frame, auto found) {
    wait_copies<kFramesBuffers - 2>();
    barrier();
    block.fetch(frame + kFramesBuffers - 1);
    block.look(frame, found);
  };
#pragma unroll
  for (int frame = 0; frame < kFramesBuffers - 1; ++frame) block.fetch(frame);
  look(0, [&](int i, const LargestPool<1>& all) { before[i] = last[i] = all; });
#pragma unroll 1
  for (int frame = 1; frame < s.deep; ++frame) {
    const auto results = block.results(frame - 1);
    look(frame, [&](int i, const LargestPool<1>& all) {
      before[i].merge(last[i]);
      before[i].merge(all);
      block.put(results, i, before[i]);
      before[i] = last[i];
      last[i] = all;
    });
    block.store(frame - 1);
  }
  if constexpr (kStaged) barrier();
  const auto results = block.results(s.deep - 1);
#pragma unroll
  for (int i = 0; i < kFramesRows; ++i) {
    before[i].merge(last[i]);
    block.put(results, i, before[i]);
  }
  block.store(s.deep - 1);
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
  s.place_packs = axes.high.in * axes.wide.in / 4 + 2;
  s.values_at = kFramesBuffers * s.side_by_side * s.packs + 1;
  s.places_at = s.values_at + s.side_by_side * s.packs;
  const bool staged = axes.wide.in % 4 != 0;
  const int64_t packs = staged ? s.places_at + beside * s.place_packs : s.values_at;
  const LaunchShape shape = {divide_up(images.count, beside), kFramesThreads,
                             static_cast<size_t>(packs * 16)};
  *status = staged ? gpu::launch(volume_frames<T, true>, shape, ctx, op, s)
                   : gpu::launch(volume_frames<T, false>, shape, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_FRAMES_H_
