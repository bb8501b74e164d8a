// How the tensors of a pool lie, and which thread does what: a thread has kWide channels of one
// column, several where channels lie next to each other, and goes down some rows of it.
#ifndef POLYOPS_GPU_POOL2D_LAYOUT_H_
#define POLYOPS_GPU_POOL2D_LAYOUT_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "row.h"

namespace polyops::gpu {
namespace {

constexpr int kPoolThreads = 256;

// Channels last without gaps; strides of dimensions of size 1 do not matter.
inline bool is_channels_last(const polyops_tensor& t) {
  int64_t expected = 1;
  for (int i = 0; i < t.rank; ++i) {
    const int d = i == 0 ? 1 : i + 1 < t.rank ? t.rank - i : 0;
    if (t.sizes[d] != 1 && t.strides[d] != expected) return false;
    expected *= t.sizes[d];
  }
  return true;
}

// Contiguous: an image is a plane, of pixels of one element. Channels last: all of a batch's.
struct Images {
  int64_t count;
  int channels;  // of a pixel, also elements from one to the next in a row
};

template <int kTensors>
bool all_contiguous(const polyops_tensor* const (&t)[kTensors]) {
  for (const polyops_tensor* each : t) {
    if (!polyops_is_contiguous(each)) return false;
  }
  return true;
}

template <int kTensors>
Images images_of(const polyops_tensor* const (&t)[kTensors]) {
  const int64_t* sizes = t[0]->sizes;
  if (all_contiguous(t)) return {sizes[0] * sizes[1], 1};
  return {sizes[0], static_cast<int>(sizes[1])};
}

template <int kTensors>
const char* check_tensors(const polyops_tensor* const (&t)[kTensors]) {
  bool last = true;
  for (const polyops_tensor* each : t) {
    if (each->rank != 4) return "rank";
    if (polyops_numel(each) > kMostElements) return "size";
    last = last && is_channels_last(*each);
  }
  return last || all_contiguous(t) ? nullptr : "layout";
}

// Whether channels go by packs of so many: all tensors are aligned to 16 bytes.
template <int kTensors>
bool goes_by_packs(const polyops_tensor* const (&t)[kTensors], const Images& images, int per_pack) {
  if (images.channels % per_pack != 0) return false;
  for (const polyops_tensor* each : t) {
    if (reinterpret_cast<uintptr_t>(each->data) % 16 != 0) return false;
  }
  return true;
}

struct Grid {
  uint32_t threads;  // that have work
  Division groups;   // of channels of a pixel
  Division columns;
  Division segments;  // of a column
  int rows;           // in a segment

  LaunchShape shape(int lanes_log2 = 0) const {
    return {((int64_t{threads} << lanes_log2) + kPoolThreads - 1) / kPoolThreads, kPoolThreads};
  }
};

// With so many rows to a segment.
inline Grid make_grid(const Images& images, int wide, int64_t columns, int64_t high, int64_t rows) {
  const int64_t groups = images.channels / wide;
  const int64_t segments = (high + rows - 1) / rows;
  Grid grid;
  grid.threads = static_cast<uint32_t>(images.count * groups * columns * segments);
  grid.groups = Division(static_cast<uint32_t>(groups));
  grid.columns = Division(static_cast<uint32_t>(columns));
  grid.segments = Division(static_cast<uint32_t>(segments));
  grid.rows = static_cast<int>(rows);
  return grid;
}

// So many rows to a thread that the device is full several times over, and no more than kMostRows;
// whole batches of them. Where a thread begins with `kept` rows that it shares with the one above,
// the device is full less often.
constexpr int kMostRows = 16;
constexpr int64_t kTimesFull = 4, kThreadsAtOnce = 2048;

inline Grid make_grid(const polyops_context* ctx, const Images& images, int wide, int64_t columns,
                      int64_t high, int batch, int kept = 0) {
  const int64_t work = images.count * (images.channels / wide) * columns * high;
  const int64_t times = kept > 1 ? (kTimesFull + kept - 1) / kept : kTimesFull;
  int64_t rows = work / (times * kThreadsAtOnce * multiprocessors(ctx));
  rows = rows < 1 ? 1 : rows > kMostRows ? kMostRows : rows;
  const int64_t segments = (high + rows - 1) / rows;
  rows = (high + segments - 1) / segments;
  if (rows > 1) rows = (rows + batch - 1) / batch * batch;
  return make_grid(images, wide, columns, high, rows);
}

// Where a thread stands.
struct Place {
  bool inside;
  int64_t image;
  int group, column, begin, end;  // rows

  GPU_DEVICE Place(const Grid& grid, int high)
      : Place(grid, high, block_id() * kPoolThreads + thread_id()) {}
  GPU_DEVICE Place(const Grid& grid, int high, int64_t number) {
    auto rest = static_cast<uint32_t>(number);
    inside = number < grid.threads;
    group = static_cast<int>(take_remainder(grid.groups, &rest));
    column = static_cast<int>(take_remainder(grid.columns, &rest));
    begin = static_cast<int>(take_remainder(grid.segments, &rest)) * grid.rows;
    end = begin + grid.rows < high ? begin + grid.rows : high;
    image = rest;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_LAYOUT_H_
