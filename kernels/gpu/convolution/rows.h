// Depthwise convolution along rows by a filter of any length, without stride and dilation:
// Conformer's 31 taps. Bound: instructions, about 1.5 per tap and result. A thread has kRun
// neighbouring results and takes the taps kRun at a time, so that of the input each of them needs
// one value more.
#ifndef POLYOPS_GPU_CONVOLUTION_ROWS_H_
#define POLYOPS_GPU_CONVOLUTION_ROWS_H_

#include "planes.h"
#include "row_bands.h"
#include "slide.h"

namespace polyops::gpu {
namespace {

constexpr int kRun = 8;
constexpr int32_t kMostRowTaps = 512;

// kRun values from the column on, 0 where there is none.
template <class T>
GPU_DEVICE void load_run(const T* row, int32_t column, int32_t columns, float (&x)[kRun]) {
#pragma unroll
  for (int j = 0; j < kRun; ++j) {
    const bool inside = static_cast<uint32_t>(column + j) < static_cast<uint32_t>(columns);
    x[j] = inside ? widen(row[column + j]) : 0.0f;
  }
}

// taps: in shared memory.
template <class T>
GPU_DEVICE void convolve_run(const T* row, int32_t column, int32_t columns, const float* taps,
                             int32_t count, float (&sums)[kRun]) {
  float near[kRun], next[kRun];
  load_run(row, column, columns, near);
  for (int32_t first = 0; first < count; first += kRun) {
    load_run(row, column + first + kRun, columns, next);
#pragma unroll
    for (int j = 0; j < kRun; ++j) {
      if (first + j >= count) break;
      const float tap = taps[first + j];
#pragma unroll
      for (int r = 0; r < kRun; ++r) {
        sums[r] = fmaf(j + r < kRun ? near[j + r] : next[j + r - kRun], tap, sums[r]);
      }
    }
#pragma unroll
    for (int j = 0; j < kRun; ++j) near[j] = next[j];
  }
}

// A tile is a stretch of one row.
template <class T>
GPU_KERNEL(kTileThreads)
convolve_rows(PlanesCall<T> call) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  GPU_SHARED(float, taps, kMostRowTaps);
  const Shape& s = call.shape;
  const auto parts = static_cast<uint32_t>(call.tiling.parts());
  const auto block = static_cast<uint32_t>(block_id());
  const Tile tile(s, call.tiling, static_cast<int32_t>(block / parts), 1,
                  static_cast<int32_t>(block % parts));
  const int32_t channel = tile.plane % s.channels;
  const T* const src = call.src + tile.in_first(s);
  T* const dst = call.dst + tile.out_first(s);
  fetch_run(src, tile.in_count(), memory);
  close_copies();
  for (int32_t i = thread_id(); i < s.w.taps; i += block_threads()) {
    taps[i] = call.taps.at(channel, 0, i);
  }
  const float bias = call.bias.at(channel);
  const T* const in = memory + misplaced(src);
  T* const out = memory + call.out_at + misplaced(dst);
  wait_copies<0>();
  barrier();
  for (int32_t at = thread_id() * kRun; at < tile.columns; at += block_threads() * kRun) {
    float sums[kRun];
#pragma unroll
    for (int r = 0; r < kRun; ++r) sums[r] = bias;
    convolve_run(in, tile.column + at - s.w.padding - tile.in_column, tile.in_columns, taps,
                 s.w.taps, sums);
#pragma unroll
    for (int r = 0; r < kRun; ++r) {
      if (at + r < tile.columns) out[at + r] = narrow<T>(sums[r]);
    }
  }
  barrier();
  store_run(dst, tile.out_count(), memory + call.out_at);
}

inline bool has_rows(const Shape& s) {
  return is_row(s) && is_plain(s) && s.w.stride == 1 && s.w.taps <= kMostRowTaps;
}

template <class T>
int launch_rows(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                const polyops_context* ctx) {
  if constexpr (sizeof(T) == 2) {
    if (has_row_bands(s) && is_aligned(src) && is_aligned(dst)) {
      return launch_row_bands(s, src, dst, taps, bias, ctx);
    }
  }
  const Tiling tiling = row_tiles(s);
  const int32_t out_at = room_of<T>(most_in(s, tiling));
  const int32_t out = room_of<T>(tiling.columns);
  const PlanesCall<T> call = {s, tiling, src, dst, taps, bias, out_at};
  const int64_t planes = int64_t{s.batch} * s.channels;
  const int32_t lanes = (tiling.columns + kRun - 1) / kRun;
  const int threads = lanes > 128 ? 256 : lanes > 64 ? 128 : 64;
  const LaunchShape shape = {planes * tiling.across, threads, (out_at + out) * sizeof(T)};
  return launch(convolve_rows<T>, shape, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROWS_H_
