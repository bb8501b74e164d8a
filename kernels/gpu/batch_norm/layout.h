// What forward and backward of batch_norm share: the two layouts, and how blocks divide the work.
#ifndef POLYOPS_GPU_BATCH_NORM_LAYOUT_H_
#define POLYOPS_GPU_BATCH_NORM_LAYOUT_H_

#include <initializer_list>

#include "channel_norm/columns_kernels.h"

namespace polyops::gpu {
namespace {

struct BatchShape {
  int64_t samples, channels, pixels;
  bool last;  // channels lie next to each other
  int64_t n() const { return samples * pixels; }
};

// As it is in memory: a tensor may be both, and a channel of one pixel is better taken as a column.
inline bool lies(const polyops_tensor& t, bool last) {
  const int64_t channels = t.sizes[1], pixels = t.sizes[2];
  const int64_t expected[3] = {channels * pixels, last ? 1 : pixels, last ? channels : 1};
  for (int d = 0; d < 3; ++d) {
    if (t.sizes[d] != 1 && t.strides[d] != expected[d]) return false;
  }
  return true;
}

inline BatchShape batch_shape(const polyops_tensor& src) {
  return {src.sizes[0], src.sizes[1], src.sizes[2], lies(src, true)};
}

// Channels of all samples as slices; two packs or more for each lane.
inline Runs channel_runs(const BatchShape& shape, int64_t pack) {
  Runs runs = {};
  runs.slices = shape.channels;
  runs.slice_stride = shape.pixels;
  runs.count = static_cast<int32_t>(shape.samples);
  runs.run_stride = shape.channels * shape.pixels;
  runs.n = static_cast<int32_t>(shape.pixels);
  runs.lanes = lanes_of(shape.pixels, 2 * pack, kRunThreads);
  split(&runs, 1);
  return runs;
}

// Samples as slices, for what each element takes alone.
inline Runs sample_runs(const BatchShape& shape) {
  Runs runs = {};
  runs.slices = shape.samples;
  runs.slice_stride = shape.channels * shape.pixels;
  runs.count = 1;
  runs.n = static_cast<int32_t>(runs.slice_stride);
  runs.lanes = kRunThreads;
  split(&runs, 1);
  return runs;
}

// Calls f.operator()<kWidth>(): columns per thread.
template <class T, class F>
int with_width(const BatchShape& shape, std::initializer_list<const void*> tensors, F f) {
  bool whole = shape.channels % kPack<T> == 0;
  for (const void* p : tensors) whole &= reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return whole ? f.template operator()<kPack<T>>() : f.template operator()<1>();
}

// Chunks of a channel, at most: memory may turn out to be aligned for columns or not.
inline int64_t most_chunks(const BatchShape& shape, int64_t pack, int inputs) {
  if (!shape.last) return channel_runs(shape, pack).chunks;
  const int64_t one = columns_of(shape.n(), shape.channels, 1, inputs).chunks;
  if (shape.channels % pack != 0) return one;
  const int64_t packs =
      columns_of(shape.n(), shape.channels, static_cast<int>(pack), inputs).chunks;
  return packs > one ? packs : one;
}

// Samples' runs in memory's order; sample_runs() backwards.
template <class T, int kInputs, class Lines>
GPU_KERNEL(kRunThreads)
map_samples(RunPointers<T, kInputs> p, Runs runs, Channels channels, Lines line) {
  await_earlier();
  keep_moments(line);
  const int64_t task = grid_blocks() - 1 - block_id();
  int32_t at, n;
  runs.span(static_cast<int>(task % runs.chunks), &at, &n);
  const int64_t first = task / runs.chunks * runs.slice_stride + at;
#pragma unroll
  for (int i = 0; i < kInputs; ++i) p.in[i] += first;
  p.out += first;
  map_run<kInputs, T>(p, at, n, thread_id(), block_threads(), channels, line);
}

// The same line for all elements.
template <class F>
struct OneLine {
  F f;
  GPU_DEVICE F operator()(int32_t) const { return f; }
};

// As slice_moments() and slice_sums() go through channel_runs(), backwards: what they read last may
// still be in a cache.
template <class T, int kInputs, class Lines>
GPU_KERNEL(kRunThreads)
map_slices(RunPointers<T, kInputs> p, Runs runs, Lines lines) {
  await_earlier();
  const int64_t task = grid_blocks() - 1 - block_id();
  const auto slice = static_cast<int32_t>(task / runs.chunks);
  const auto f = lines(slice);
  const OneLine<decltype(lines(0))> line = {f};
  runs.for_each_part(slice, static_cast<int>(task % runs.chunks), thread_id() / runs.lanes,
                     block_threads() / runs.lanes, [&](int64_t offset, int32_t n) {
                       RunPointers<T, kInputs> run = p;
#pragma unroll
                       for (int i = 0; i < kInputs; ++i) run.in[i] += offset;
                       run.out += offset;
                       map_run<kInputs, T>(run, 0, n, thread_id() & (runs.lanes - 1), runs.lanes,
                                           OneChannel(), line);
                     });
}

// Runs shorter than this leave a part of their memory's sectors to the next channel's block.
constexpr int64_t kLeastSliceRun = 512;

// kAgain: channel_runs() were gone through before.
template <int kInputs, bool kAgain, class T, class Lines>
int launch_map(const RunPointers<T, kInputs>& p, const BatchShape& shape, const Lines& line,
               const polyops_context* ctx) {
  if constexpr (kAgain) {
    if (!shape.last && shape.pixels >= kLeastSliceRun) {
      const Runs runs = channel_runs(shape, kPack<T>);
      return launch(map_slices<T, kInputs, Lines>, {runs.slices * runs.chunks, kRunThreads}, ctx, p,
                    runs, line);
    }
  }
  if (!shape.last) {
    const Runs runs = sample_runs(shape);
    return launch(map_samples<T, kInputs, Lines>, {runs.slices * runs.chunks, kRunThreads}, ctx, p,
                  runs, channels_of(shape.pixels), line);
  }
  return with_width<T>(shape, {p.in[0], p.in[kInputs - 1], p.out}, [&]<int kWidth>() {
    const Columns of = columns_of(shape.n(), shape.channels, kWidth, kInputs);
    return launch(map_columns<T, kInputs, kWidth, Lines>,
                  {int64_t{of.tiles} * of.chunks, kRunThreads}, ctx, p, of, line);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_LAYOUT_H_
