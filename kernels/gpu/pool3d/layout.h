// How the tensors of a pool of three dimensions lie, and where a thread stands: as in
// pool2d/layout.h, an image's planes being counted with the images.
#ifndef POLYOPS_GPU_POOL3D_LAYOUT_H_
#define POLYOPS_GPU_POOL3D_LAYOUT_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/layout.h"
#include "row.h"

namespace polyops::gpu {
namespace {

inline int64_t volume(const polyops_tensor& t) { return t.sizes[2] * t.sizes[3] * t.sizes[4]; }

// What is read may be channels last; what is written is contiguous.
inline const char* check_volumes(const polyops_tensor& read, const polyops_tensor& written) {
  if (!has_type(read.dtype) || written.dtype != read.dtype) return "dtype";
  if (read.rank != 5 || written.rank != 5) return "rank";
  if (polyops_numel(&read) > kMostElements || polyops_numel(&written) > kMostElements) {
    return "size";
  }
  const bool known = polyops_is_contiguous(&read) || is_channels_last(read);
  return known && polyops_is_contiguous(&written) ? nullptr : "layout";
}

// Channels that lie next to each other.
inline int64_t channels_together(const polyops_tensor& t) {
  return polyops_is_contiguous(&t) ? 1 : t.sizes[1];
}

inline bool all_aligned(const void* a, const void* b) {
  return (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) % 16 == 0;
}

// Of `planes` planes of each image.
inline Images planes_of(const polyops_tensor& t, int64_t planes) {
  return {t.sizes[0] * t.sizes[1] * planes, 1};
}

// The planes of a window in the order in which a thread takes them: of every other window from
// behind, so that two which share planes come to them at the same time, and one finds them in the
// L2 cache.
template <class AnyAxis>
struct PlanesOf {
  int first, count, step;

  GPU_DEVICE PlanesOf(const AnyAxis& deep, int window, bool turns = true)
      : first(deep.first_inside(window)), count(deep.taps_end(window) - first), step(1) {
    if (window % 2 == 0 || !turns) return;
    first += count - 1;
    step = -1;
  }
};

struct PlaceInVolume : Place {
  int plane;

  GPU_DEVICE PlaceInVolume(const Grid& grid, const Division& planes, int high)
      : PlaceInVolume(grid, planes, high, block_id() * kPoolThreads + thread_id()) {}
  GPU_DEVICE PlaceInVolume(const Grid& grid, const Division& planes, int high, int64_t number)
      : Place(grid, high, number) {
    auto rest = static_cast<uint32_t>(image);
    plane = static_cast<int>(take_remainder(planes, &rest));
    image = rest;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_LAYOUT_H_
