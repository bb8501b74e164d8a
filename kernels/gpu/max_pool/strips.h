// The same of contiguous planes in one launch: a block has whole planes, or rows of one, in shared
// memory, clears them, adds what the windows give that reach them, and stores all. Bound: memory,
// the image's gradient once.
#ifndef POLYOPS_GPU_MAX_POOL_STRIPS_H_
#define POLYOPS_GPU_MAX_POOL_STRIPS_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "span.h"
#include "sparse.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kStripBytes = 20 * 1024;  // of the image's gradient: eight blocks find room
constexpr int64_t kStripWindows = 1024;
constexpr int64_t kStripTimes = 4;   // elements to a window, at least
constexpr int64_t kLeastStrips = 8;  // per multiprocessor, if there is as much to do

struct Strips {
  int planes, all_planes;  // of a block, if it has whole ones, and together
  int rows;                // of a block, of each plane
  int windows_at;          // packs of the block's memory before the windows' indices
  int room;                // for windows
  Division of_plane;       // strips
  Division windows;        // of a plane
  Division wide;           // of an image's row
};

// What a block has: rows [top, bottom) of some planes, and of each the windows' rows from
// first_row on.
struct Strip {
  int plane, planes, top, bottom, first_row;
  int windows;  // of all its planes

  GPU_DEVICE Strip(const Strips& s, const Axes<AdaptiveAxis>& axes) {
    auto rest = static_cast<uint32_t>(block_id());
    top = static_cast<int>(take_remainder(s.of_plane, &rest)) * s.rows;
    bottom = top + s.rows < axes.high.in ? top + s.rows : axes.high.in;
    plane = static_cast<int>(rest) * s.planes;
    planes = s.planes < s.all_planes - plane ? s.planes : s.all_planes - plane;
    const Range rows = windows_of(axes.high, top, bottom - 1);
    first_row = rows.begin;
    windows = planes * rows.count() * axes.wide.out;
  }
};

// Of a block's windows each, into `tile`, whose first element is the strip's.
template <class T>
GPU_DEVICE void add_windows(const Strips& s, const Strip& strip, const int* places, const T* grads,
                            const Axes<AdaptiveAxis>& axes, T* tile) {
  const int in_plane = (strip.bottom - strip.top) * axes.wide.in;
  const int before = strip.first_row * axes.wide.out;  // windows of a plane before the strip's
  for (int i = thread_id(); i < strip.windows; i += kPoolThreads) {
    uint32_t plane = 0, rest = static_cast<uint32_t>(i);
    if (s.planes > 1) {
      plane = rest;
      rest = take_remainder(s.windows, &plane);
    }
    const int mine = static_cast<int>(rest) + before, place = places[i];
    auto row_of = static_cast<uint32_t>(place);
    const auto column = static_cast<int>(take_remainder(s.wide, &row_of));
    const auto row = static_cast<int>(row_of);
    if (place < 0 || row < strip.top || row >= strip.bottom) continue;
    const Range high = windows_of(axes.high, row, row),
                wide = windows_of(axes.wide, column, column);
    const int first = i - mine;  // where window 0 of the plane would be
    float sum;
    const auto index_of = [&](int other) { return places[first + other]; };
    const auto grad_of = [&](int other) { return widen(grads[first + other]); };
    if (sum_of_first({0, 1}, high, wide, axes, mine, place, index_of, grad_of, &sum)) {
      tile[static_cast<int>(plane) * in_plane + place - strip.top * axes.wide.in] = narrow<T>(sum);
    }
  }
}

template <class T>
GPU_KERNEL(kPoolThreads)
plane_strips(LargestGradient<T> op, Strips s, Axes<AdaptiveAxis> axes) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  T* const tile = reinterpret_cast<T*>(memory);
  int* const places = reinterpret_cast<int*>(memory + s.windows_at);
  T* const grads = reinterpret_cast<T*>(places + s.room);
  const Strip strip(s, axes);
  const int64_t first_window =
      strip.plane * op.dst_image + int64_t{strip.first_row} * axes.wide.out;
  for (int i = thread_id(); i < strip.windows; i += kPoolThreads) {
    int at[1];
    load_indices(op.indices + first_window + i, at);
    places[i] = at[0];
    grads[i] = op.grad_dst[first_window + i];
  }
  for (int pack = thread_id(); pack < s.windows_at; pack += kPoolThreads) {
    memory[pack] = {{0, 0, 0, 0}};
  }
  barrier();
  T* const out = op.grad_src + strip.plane * op.src_image + int64_t{strip.top} * axes.wide.in;
  add_windows(s, strip, places, grads, axes, tile + misplaced(out));
  barrier();
  store_run(out, strip.planes * (strip.bottom - strip.top) * axes.wide.in, tile, kPoolThreads);
}

// Whether it was launched, and what that returned: of planes whose rows find room.
template <class T>
bool launch_strips(const LargestGradient<T>& op, const Images& images,
                   const Axes<AdaptiveAxis>& axes, const polyops_context* ctx, int* status) {
  const int64_t row = int64_t{axes.wide.in} * static_cast<int64_t>(sizeof(T));
  const int64_t plane = row * axes.high.in;
  if (images.channels != 1 || axes.deep.in != 1 || axes.deep.out != 1 || row > kStripBytes) {
    return false;
  }
  Strips s = {};
  s.all_planes = static_cast<int>(images.count);
  const int64_t enough = kLeastStrips * multiprocessors(ctx);
  int64_t planes = kStripBytes / plane;
  if (planes > (images.count + enough - 1) / enough) planes = (images.count + enough - 1) / enough;
  s.planes = static_cast<int>(planes > 1 ? planes : 1);
  const int64_t strips = (plane + kStripBytes - 1) / kStripBytes;
  const int64_t at_once = kStripBytes / row;
  int64_t rows = (axes.high.in + strips - 1) / strips;
  if (rows > at_once) rows = at_once;
  s.rows = static_cast<int>(rows);
  const int64_t of_plane = (axes.high.in + rows - 1) / rows;
  const int64_t window_rows =
      of_plane == 1 ? axes.high.out : rows * axes.high.out / axes.high.in + 2;
  const int64_t windows = s.planes * window_rows * axes.wide.out;
  if (windows > kStripWindows) return false;
  s.room = static_cast<int>(windows);
  s.windows_at = static_cast<int>((s.planes * rows * row + 15) / 16 + 1);
  s.of_plane = Division(static_cast<uint32_t>(of_plane));
  s.windows = Division(static_cast<uint32_t>(axes.high.out * axes.wide.out));
  s.wide = Division(static_cast<uint32_t>(axes.wide.in));
  const int64_t blocks = (images.count + s.planes - 1) / s.planes * of_plane;
  const int64_t bytes = 16 * s.windows_at + windows * int64_t{sizeof(int) + sizeof(T)};
  *status = gpu::launch(plane_strips<T>, {blocks, kPoolThreads, static_cast<size_t>(bytes)}, ctx,
                        op, s, axes);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_STRIPS_H_
