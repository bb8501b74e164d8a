// What the kernels of all gradients of planes of rows share (columns_gradients.h,
// spread_gradients.h): a block has one channel and some strips of its planes, in all images, down
// which its threads slide; the blocks of a channel are a cluster where it holds them all.
#ifndef POLYOPS_GPU_CONVOLUTION_PLANE_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_PLANE_GRADIENTS_H_

#include "columns.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

template <class T>
struct PlaneGradientsCall {
  Shape shape;  // of columns_gradients.h turned: it reads gradients, and results are the input's
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
  Division across, down;  // strips of a row, stretches of a plane
  int32_t rows;           // of a stretch
  int32_t strips, turns;  // of a channel, of a thread
};

// A strip's place: its first result is at `column` of row `first` of `plane`.
struct ColumnStrip {
  int32_t column, first, rows;
  int64_t plane;
};

// Calls slide(strip) for a thread's strips, of so many results of a row.
template <class Own, class T, class Slide>
GPU_DEVICE void for_strips(const PlaneGradientsCall<T>& call, const SplitOfChannel& own,
                           Slide slide) {
  const Shape& s = call.shape;
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    const int32_t index = (own.split * call.turns + turn) * Own::kThreads + thread_id();
    if (index >= call.strips) break;
    auto rest = static_cast<uint32_t>(index);
    ColumnStrip strip;
    strip.column = static_cast<int32_t>(take_remainder(call.across, &rest)) * Own::kResults;
    strip.first = static_cast<int32_t>(take_remainder(call.down, &rest)) * call.rows;
    strip.rows = Tile::least(call.rows, s.h.out - strip.first);
    strip.plane = int64_t{rest} * s.channels + own.channel;
    slide(strip);
  }
}

// How a channel's planes are cut.
template <class Own>
Stretches plane_stretches(const Shape& s, int more) {
  const int64_t blocks = kSumMultiprocessors * Own::kBlocks / s.channels;
  return stretches_of(s.h.out, more, int64_t{s.batch} * (s.w.out / Own::kResults),
                      (blocks > 1 ? blocks : 1) * Own::kThreads);
}
template <class Own>
int64_t splits_of(const Stretches& g) {
  return ceil_div(g.count, g.turns * Own::kThreads);
}

// shape, taps: the call's.
template <class Own, class T>
int launch_plane_gradients(void (*kernel)(PlaneGradientsCall<T>), const BackwardArgs& a,
                           const Shape& shape, const Taps<T>& taps, const Stretches& g,
                           const polyops_context* ctx) {
  const int64_t splits = splits_of<Own>(g);
  const int cluster = cluster_of(splits, ctx);
  const PlaneGradientsCall<T> call = {
      shape,
      static_cast<const T*>(a.grad_dst.data),
      static_cast<const T*>(a.src.data),
      static_cast<T*>(a.grad_src.data),
      taps,
      sums_of<T>(a, cluster > 1 ? 1 : splits, ctx),
      Division(static_cast<uint32_t>(shape.w.out / Own::kResults)),
      Division(static_cast<uint32_t>(ceil_div(shape.h.out, g.rows))),
      g.rows,
      static_cast<int32_t>(g.count),
      static_cast<int32_t>(g.turns)};
  const LaunchShape blocks = {splits * shape.channels, Own::kThreads, 0, cluster};
  return launch_add_parts(launch(kernel, blocks, ctx, call), shape, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_PLANE_GRADIENTS_H_
