// All gradients of such images as columns.h takes, at stride 2, and of 3x3 taps at stride 1, in one
// pass (spread_walk.h): by plane_ring_gradients.h, or, where it takes neither planes nor device, by
// threads that load their rows to registers. Bound: memory, input and gradient of the results read
// once, gradient of the input written once. In registers on an H200, in two passes and in one:
// bfloat16 64x144x56x56 5x5 at stride 2 116 and 55 us, 32x96x112x112 3x3 at stride 2 91 and 59, in
// float32 131 and 107; by the ring less, see there.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_

#include <algorithm>

#include "plane_ring_gradients.h"
#include "spread_planes.h"

namespace polyops::gpu {
namespace {

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_spread(PlaneGradientsCall<T> call) {
  await_earlier();
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel place(s.channels);
  SpreadSums<W, Own> own = {};
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) {
    own.w[i][0] = call.taps.at(place.channel, i / W::kW, i % W::kW);
  }
  for_strips<Own>(call, place, [&](const ColumnStrip& strip) {
    const int64_t first = strip.plane * s.in() + W::kS * (strip.first * s.w.in + strip.column);
    const int32_t read = Own::row_read(strip.first) * s.w.out + strip.column;
    const SpreadStrip<T> its = {call.grad + (strip.plane * s.out() + read),
                                call.src + first,
                                call.dst + first,
                                strip.first,
                                strip.rows,
                                strip.column > 0,
                                strip.column + Own::kResults < s.w.out};
    slide_spread<W, Own, T>(s, its, &own);
  });
  float all[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) all[i] = own.sums[i][0];
  put_sums(all, s, place, call.sums, shared);
}

// Of either kernel, whichever a launch takes.
template <class T>
int64_t spread_gradients_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_spread_gradients(s, sizeof(T))) return splits;
  with_spread_gradients<T>(s, [&]<class W, class Own>() {
    splits = std::max(splits_of<Own>(plane_stretches<Own>(s, 0)), plane_ring_splits<W, Own>(s));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_spread_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_spread_gradients<T>(s, [&]<class W, class Own>() {
    const int status = launch_plane_ring<W, Own, T>(a, s, ctx);
    if (status != POLYOPS_DECLINED) return status;
    return launch_plane_gradients<Own>(gradients_of_spread<W, Own, T>, a, s, taps_of<T>(a.weight),
                                       plane_stretches<Own>(s, 0), ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_
