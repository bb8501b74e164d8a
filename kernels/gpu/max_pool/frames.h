// Windows of 3 at stride 1 that are as many as the elements, in contiguous volumes: a block has the
// frames of some, one after the other, in shared memory, where the next two arrive meanwhile. A
// thread has a column's rows, or those of two columns of 16 bits: it looks for the largest element
// across, then down, and keeps what the last two frames came to, with which the third one is
// compared. A tap beside the image is taken for the next one that is in it, twice, which changes
// neither value nor index. Bound: memory, the image once and its results.
#ifndef POLYOPS_GPU_MAX_POOL_FRAMES_H_
#define POLYOPS_GPU_MAX_POOL_FRAMES_H_

#include <cstdint>

#include "frame_columns.h"
#include "frame_words.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kLeastFrames = 2;   // volumes per multiprocessor
constexpr int64_t kFramesBlocks = 5;  // per multiprocessor, if there is as much to do

// Columns: what a thread has.
template <class Columns, class T>
GPU_KERNEL(Columns::kThreads, Columns::kBlocks)
volume_frames(Largest<T> op, Frames s) {
  using Found = typename Columns::Found;
  GPU_DYNAMIC_SHARED(Words, memory);
  const Columns columns(op, s, reinterpret_cast<T*>(memory));
  Found before[kFramesRows], last[kFramesRows];
  int nans = 0;  // a bit of each frame, whether there is one that look() passes over
  const auto look = [&](int frame, Found(&found)[kFramesRows]) {
    wait_copies<kFramesBuffers - 2>();
    barrier();
    columns.fetch(frame + kFramesBuffers - 1);
    nans = 2 * nans | (columns.look(frame, found) ? 1 : 0);
  };
#pragma unroll
  for (int frame = 0; frame < kFramesBuffers - 1; ++frame) columns.fetch(frame);
  look(0, last);
#pragma unroll
  for (int i = 0; i < kFramesRows; ++i) before[i] = columns.behind(last[i], 1);
#pragma unroll 1
  for (int frame = 1; frame < s.deep; ++frame) {
    Found next[kFramesRows];
    look(frame, next);
#pragma unroll
    for (int i = 0; i < kFramesRows; ++i) {
      before[i].merge(columns.behind(last[i], 1));
      before[i].merge(columns.behind(next[i], 2));
      columns.put(frame - 1, i, before[i]);
      before[i] = last[i];
      last[i] = next[i];
    }
    if ((nans & 7) != 0) columns.find_nans(frame - 1);
  }
#pragma unroll
  for (int i = 0; i < kFramesRows; ++i) {
    before[i].merge(columns.behind(last[i], 1));
    columns.put(s.deep - 1, i, before[i]);
  }
  if ((nans & 3) != 0) columns.find_nans(s.deep - 1);
}

template <class Columns, class T>
bool launch_frames_of(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                      const polyops_context* ctx, int* status) {
  const int columns = axes.wide.in / Columns::kWide;
  const int64_t threads = int64_t{columns} * divide_up(axes.high.in, kFramesRows);
  if (threads > Columns::kThreads) return false;
  int64_t beside = Columns::kThreads / threads;
  const int64_t spread = images.count / (kFramesBlocks * multiprocessors(ctx));
  if (beside > spread) beside = spread > 1 ? spread : 1;
  Frames s = {};
  s.volumes = static_cast<int>(images.count);
  s.side_by_side = static_cast<int>(beside);
  s.deep = axes.deep.in;
  s.high = axes.high.in;
  s.wide = axes.wide.in;
  s.of_volume = Division(static_cast<uint32_t>(threads));
  s.columns = Division(static_cast<uint32_t>(columns));
  s.packs = axes.high.in * axes.wide.in / kPack<T> + 3;  // the last one: nothing arrives there
  const int64_t bytes = (kFramesBuffers * beside * s.packs + 1) * 16;
  *status = gpu::launch(
      volume_frames<Columns, T>,
      {divide_up(images.count, beside), Columns::kThreads, static_cast<size_t>(bytes)}, ctx, op, s);
  return true;
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_frames(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                   const polyops_context* ctx, int* status) {
  if (images.channels != 1 || !keeps_size(axes.deep) || !keeps_size(axes.high) ||
      !keeps_size(axes.wide) || images.count < kLeastFrames * multiprocessors(ctx)) {
    return false;
  }
  if constexpr (sizeof(T) == 2) {
    const auto places = reinterpret_cast<uintptr_t>(op.src) | reinterpret_cast<uintptr_t>(op.dst);
    if (axes.wide.in % 2 == 0 && places % 4 == 0 && all_aligned(op.indices, nullptr) &&
        launch_frames_of<FrameWords<T>>(op, images, axes, ctx, status)) {
      return true;
    }
  }
  return launch_frames_of<FrameColumns<T>>(op, images, axes, ctx, status);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_FRAMES_H_
