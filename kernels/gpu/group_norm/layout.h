// How the tensors of group_norm fall into groups, and those of which blocks share into chunks.
#ifndef POLYOPS_GPU_GROUP_NORM_LAYOUT_H_
#define POLYOPS_GPU_GROUP_NORM_LAYOUT_H_

#include "channel_norm/runs.h"
#include "polyops/ops/group_norm.h"

namespace polyops::gpu {
namespace {

struct GroupShape {
  int64_t samples, channels, pixels, groups;
  int64_t width() const { return channels / groups; }
  int64_t rows() const { return samples * groups; }
  int64_t n() const { return width() * pixels; }
};

inline GroupShape group_shape(const polyops_tensor& src, int32_t groups) {
  return {src.sizes[0], src.sizes[1], src.sizes[2], groups};
}

inline int64_t pack_of(int32_t dtype) { return 16 / polyops_dtype_size(dtype); }

constexpr int64_t kChunkPacks = 4096;  // of a chunk, if that is enough of them

// Slices of one run each in chunks of so many elements, in smaller ones if there were too few.
inline Runs runs_of(int64_t slices, int64_t n, int64_t chunk, int lanes) {
  Runs runs = {};
  runs.slices = slices;
  runs.slice_stride = n;
  runs.count = 1;
  runs.n = static_cast<int32_t>(n);
  runs.lanes = lanes;
  const int64_t enough = (kRunBlocks + slices - 1) / slices;
  split_into(&runs, n / chunk > enough ? n / chunk : enough);
  return runs;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_LAYOUT_H_
