// Averages of windows of 3 at stride 1, and their gradients, which are the same sums, where all
// weights are equal: a block goes along the depth of some rows of a contiguous volume, whose planes
// arrive in shared memory two ahead. A thread has a pack of two rows of results: it sums a plane
// once, for the three results that have it, and keeps what the last two came to. Bound: memory, the
// image once and its results.
#ifndef POLYOPS_GPU_POOL3D_MARCH_H_
#define POLYOPS_GPU_POOL3D_MARCH_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "pool2d/axis.h"
#include "pool2d/packs.h"
#include "span.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

constexpr int kMarchThreads = 256;
constexpr int kMarchRows = 2;    // of a thread
constexpr int kMarchPlanes = 3;  // in shared memory
constexpr int64_t kLeastMarchThreads = 64;
constexpr int64_t kMarchBlocks = 6;  // per multiprocessor, if there is as much to do
constexpr int64_t kLeastMarch = 8;   // planes

// A block has so many rows of results in as many planes.
struct March {
  int deep, high, wide;
  int rows, planes;
  Division of_row;               // packs
  Division of_plane, of_volume;  // blocks

  GPU_DEVICE int buffer() const { return (rows + 2) * wide; }
};

template <class T>
class MarchBlock {
 public:
  static constexpr int kWide = kPack<T>;
  using Plane = float[kMarchRows][kWide];  // what this thread's windows have of some planes

  GPU_DEVICE MarchBlock(const Sums<T>& op, const March& s, T* memory)
      : s_(s), memory_(memory), share_(op.share) {
    auto rest = static_cast<uint32_t>(block_id());
    const int top = static_cast<int>(take_remainder(s.of_plane, &rest)) * s.rows;
    begin_ = static_cast<int>(take_remainder(s.of_volume, &rest)) * s.planes;
    end_ = begin_ + s.planes < s.deep ? begin_ + s.planes : s.deep;
    const int first = top > 0 ? top - 1 : 0,
              last = top + s.rows < s.high ? top + s.rows : s.high - 1;
    src_ = op.src + rest * op.src_image + (first * s.wide + thread_id() * kWide);
    into_ = (first - top + 1) * s.wide + thread_id() * kWide;
    run_ = (last - top + 2) * s.wide;

    auto row = static_cast<uint32_t>(thread_id());
    const int column = static_cast<int>(take_remainder(s.of_row, &row)) * kWide;
    const int begin = static_cast<int>(row) * kMarchRows;
    rows_ = begin < s.rows ? s.high - top - begin : 0;
    at_ = (rows_ > 0 ? begin : 0) * s.wide + column;
    dst_ = op.dst + (rest * op.dst_image + (top * s.wide + at_));
    has_left_ = column > 0;
    has_right_ = column + kWide < s.wide;
  }

  GPU_DEVICE int begin() const { return begin_; }
  GPU_DEVICE int end() const { return end_; }

  // Rows beside the image stay as they are then.
  GPU_DEVICE void clear() const {
    Words* const all = reinterpret_cast<Words*>(memory_);
    const int count = kMarchPlanes * s_.buffer() / kWide;
    for (int i = thread_id(); i < count; i += block_threads()) all[i] = {{0, 0, 0, 0}};
  }

  // Into the buffer that begins there; what is beside the image is 0.
  GPU_DEVICE void fetch(int plane, T* to) const {
    const bool there = plane >= 0 && plane < s_.deep;
    if (plane <= end_) {
      const T* from = src_ + int64_t{there ? plane : 0} * (s_.high * s_.wide);
      const int step = block_threads() * kWide;
#pragma unroll 1
      for (int at = into_; at < run_; at += step, from += step) {
        if (there) {
          copy_16_later(to + at, from);
        } else {
          *reinterpret_cast<Words*>(to + at) = {{0, 0, 0, 0}};  // not by store_words: shared
        }
      }
    }
    close_copies();
  }

  GPU_DEVICE void sum(const T* buffer, Plane& to) const {
    const T* line = buffer + at_;
    float across[kMarchRows + 2][kWide];
#pragma unroll
    for (int r = 0; r < kMarchRows + 2; ++r, line += s_.wide) {
      PackTaps<T, kWide> taps;
      float x[kWide + 2];
      taps.load(line, true, has_left_, has_right_);
      taps.get(x);
      sum_threes<kWide>(x, across[r]);
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const float both = across[1][j] + across[2][j];
      to[0][j] = across[0][j] + both;
      to[1][j] = both + across[3][j];
    }
  }

  GPU_DEVICE T* first() const { return memory_; }
  GPU_DEVICE T* behind(T* buffer) const {
    T* const next = buffer + s_.buffer();
    return next == memory_ + kMarchPlanes * s_.buffer() ? memory_ : next;
  }

  // Of plane `plane`, if it is this block's, the results: `before` has two planes of theirs, and
  // gets those of the next one's from `last` and `next`, one plane each.
  GPU_DEVICE void put(int plane, Plane& before, const Plane& last, const Plane& next) const {
    T* const out = dst_ + int64_t{plane} * (s_.high * s_.wide);
    const bool here = plane >= begin_ && plane < end_;
#pragma unroll
    for (int i = 0; i < kMarchRows; ++i) {
      float x[kWide];
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        x[j] = (before[i][j] + next[i][j]) * share_;
        before[i][j] = last[i][j] + next[i][j];
      }
      if (here && i < rows_) Tap<T, kWide>::store(out + i * s_.wide, x);
    }
  }

 private:
  const March& s_;
  T* memory_;
  float share_;
  const T* src_;  // this thread's first pack of a plane, and where it goes, up to run_
  int into_, run_;
  T* dst_;
  int begin_, end_;
  int rows_;  // from this thread's on, at_ in a plane; none: 0
  int at_;
  bool has_left_, has_right_;
};

template <class T>
GPU_KERNEL(kMarchThreads, 2)
pool3d_march(Sums<T> op, March s) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  const MarchBlock<T> block(op, s, reinterpret_cast<T*>(memory));
  using Plane = typename MarchBlock<T>::Plane;
  block.clear();
  barrier();
  int plane = block.begin() - 1;
  T *here = block.first(), *to = here;
#pragma unroll
  for (int k = 0; k < kMarchPlanes - 1; ++k, to = block.behind(to)) block.fetch(plane + k, to);
  Plane both = {}, last = {}, next = {};
  const auto turn = [&](const Plane& known, Plane& fresh) {
    wait_copies<kMarchPlanes - 2>();
    barrier();
    block.fetch(plane + kMarchPlanes - 1, to);
    to = block.behind(to);
    block.sum(here, fresh);
    here = block.behind(here);
    block.put(plane - 1, both, known, fresh);
    ++plane;
  };
#pragma unroll 1
  while (plane <= block.end()) {  // one more at times, whose results are none of the block's
    turn(last, next);
    turn(next, last);
  }
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_march(const Sums<T>& op, int64_t volumes, const Axis& deep, const Axis& high,
                  const Axis& wide, const polyops_context* ctx, int* status) {
  if (!keeps_size(deep) || !keeps_size(high) || !keeps_size(wide) || !deep.even || !high.even ||
      !wide.even || wide.in % kPack<T> != 0 || !all_aligned(op.src, op.dst)) {
    return false;
  }
  const int64_t packs = wide.in / kPack<T>, pairs = divide_up(high.in, kMarchRows);
  if (packs > kMarchThreads || packs * pairs < kLeastMarchThreads) return false;
  const int64_t slabs = divide_up(pairs, kMarchThreads / packs);
  const int64_t of_slab = divide_up(pairs, slabs);
  const int64_t enough = kMarchBlocks * multiprocessors(ctx);
  int64_t parts = divide_up(enough, volumes * slabs);
  const int64_t most_parts = divide_up(deep.in, kLeastMarch);
  if (parts > most_parts) parts = most_parts;
  March s = {};
  s.deep = deep.in;
  s.high = high.in;
  s.wide = wide.in;
  s.rows = static_cast<int>(of_slab * kMarchRows);
  s.planes = static_cast<int>(divide_up(deep.in, parts));
  parts = divide_up(deep.in, s.planes);
  s.of_row = Division(static_cast<uint32_t>(packs));
  s.of_plane = Division(static_cast<uint32_t>(slabs));
  s.of_volume = Division(static_cast<uint32_t>(parts));
  const int64_t bytes =
      kMarchPlanes * (s.rows + 2) * int64_t{wide.in} * static_cast<int64_t>(sizeof(T));
  const LaunchShape shape = {volumes * slabs * parts,
                             static_cast<int>(divide_up(packs * of_slab, 64) * 64),
                             static_cast<size_t>(bytes)};
  *status = gpu::launch(pool3d_march<T>, shape, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_MARCH_H_
