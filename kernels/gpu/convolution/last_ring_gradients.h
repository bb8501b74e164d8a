// All gradients of images whose channels lie next to each other, by filters of 3x3 at stride 1 and
// 2, in one pass over rows in shared memory (last_ring.h, last_ring_slide.h). Bound: memory, input
// and gradient of the results read once, gradient of the input written once.
//
// Where a thread loads its rows itself, to registers, an H200 takes 60.6 us for bfloat16
// 32x96x112x112 at stride 2, 24.7 for 32x576x14x14, 59.8 for float32 32x144x56x56 and 48.1 for it
// in bfloat16; the ring by packs 55.0, 19.3, 57.5 and 44.3, by runs 56.7 and 35.9 for the last two.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_GRADIENTS_H_

#include "last_ring_slide.h"

namespace polyops::gpu {
namespace {

template <class W, class Own, class T, class Copy>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_last(RingGradientsCall<T> call) {
  await_earlier();
  if constexpr (Copy::kIsRuns && !kHasClusters) return;
  GPU_SHARED(LastRingDesk, desk, 1);
  GPU_DYNAMIC_SHARED(Words, words);
  T* const memory = reinterpret_cast<T*>(words);
  const SlideLane<Own> lane(call.shape, call.grid);
  SpreadSums<W, Own> own = {};
  let_later_begin();
  if constexpr (Copy::kIsRuns) desk->open(block_threads() - wave_size());
  if (is_ring_wave()) {
    const GradientsFeed<Own, T, Copy> feed(call, lane);
    if constexpr (Copy::kIsRuns) {
      feed_runs<Own>(call, lane.block, feed, memory, desk);
    } else {
      feed_packs<Own>(call, lane.block, feed, memory);
    }
  } else {
    RingSlide<W, Own, T, Copy::kIsRuns> slide(call, lane, memory, desk, &own);
    for_ring<Own>(call, lane.block, [&](const RingStrip& strip) { slide.slide(strip); });
  }
  barrier();  // the ring is what lines are added up in
  add_lines<Own>(call.shape, call.grid, lane, own.sums, call.sums, reinterpret_cast<float*>(words));
}

// ---- From the host, which may call nothing that is the device's alone.

template <class Own>
RingSlot gradients_slot(const RingGrid& g) {
  RingSlot slot;
  slot.pitch = g.width * Own::kElements;
  slot.grads = (g.lines * Own::kResults + Own::kBack + Own::kAfter) * slot.pitch;
  slot.pixels = g.lines * Own::kPixels * slot.pitch;
  slot.all = slot.grads + Own::kSquare * slot.pixels;
  return slot;
}
// The ring's, or those of the sums of lines, which follow in the same place.
template <class Own, class T>
int64_t gradients_bytes(const RingGrid& g) {
  const auto ring = kRingSlots * gradients_slot<Own>(g).all * static_cast<int64_t>(sizeof(T));
  const auto sums = int64_t{Own::kSums} * g.width * g.lines * Own::kElements *
                    static_cast<int64_t>(sizeof(float));
  return ring > sums ? ring : sums;
}

inline bool has_last_ring(const Shape& s) {
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->taps != 3 || axis->padding != 1 || axis->in != axis->out * axis->stride) return false;
  }
  return s.h.stride == s.w.stride && s.w.stride <= 2;
}

// Calls f.operator()<W, Own>(). Of 4 columns to a thread at stride 1, where they divide the width;
// of 2 bfloat16 32x144x56x56 took 50.2 us, when of 4 it was 48.4. Blocks of 384 threads and of 64
// channels lost there for float32 (65.6, and 58.8 as it is).
template <class T, class F>
int with_last_ring(const Shape& s, F f) {
  const auto with_window = [&]<class W>() -> int {
    if (s.w.out % 2 != 0) return f.template operator()<W, RingGradients<W, 1, T, 8, 256>>();
    if constexpr (W::kS == 1) {
      if (s.w.out % 4 == 0)
        return f.template operator()<W, RingGradients<W, 4, T, kRingPacks<T>, 256>>();
    }
    return f.template operator()<W, RingGradients<W, 2, T, kRingPacks<T>, 320>>();
  };
  return s.w.stride == 1 ? with_window.template operator()<Window<3, 3, 1>>()
                         : with_window.template operator()<Window<3, 3, 2>>();
}

// At most: on a device of fewer multiprocessors they are fewer.
inline int64_t last_ring_splits(const Shape& s, int32_t dtype) {
  if (!has_last_ring(s)) return 0;
  int64_t splits = 0;
  with_type(dtype, [&]<class T>() {
    return with_last_ring<T>(s, [&]<class W, class Own>() {
      splits = ring_splits(ring_grid<Own, T>(s, kSumMultiprocessors));
      return POLYOPS_OK;
    });
  });
  return splits;
}

// POLYOPS_DECLINED: a block may not have so much, or waves of 64 not so many threads.
template <class W, class Own, class T, class Copy>
int launch_last_ring(const BackwardArgs& a, const Shape& s, const RingGrid& g,
                     const polyops_context* ctx) {
  const int64_t threads = ring_threads(g, wave_lanes(ctx)), bytes = gradients_bytes<Own, T>(g);
  if (threads > Own::kThreads || bytes > most_shared(ctx)) return POLYOPS_DECLINED;
  const RingGradientsCall<T> call = {{s, g, gradients_slot<Own>(g)},
                                     static_cast<const T*>(a.grad_dst.data),
                                     static_cast<const T*>(a.src.data),
                                     static_cast<T*>(a.grad_src.data),
                                     taps_of<T>(a.weight),
                                     sums_of<T>(a, ring_splits(g), ctx)};
  const LaunchShape shape = {int64_t{g.columns} * ring_splits(g), static_cast<int>(threads),
                             static_cast<size_t>(bytes)};
  const int status = launch(gradients_of_last<W, Own, T, Copy>, shape, ctx, call);
  return launch_add_parts(status, s, call.sums, ctx);
}
template <class T>
int launch_last_ring(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_last_ring<T>(s, [&]<class W, class Own>() -> int {
    const int64_t some = multiprocessors(ctx);
    const RingGrid g =
        ring_grid<Own, T>(s, some < kSumMultiprocessors ? some : kSumMultiprocessors);
    if constexpr (Own::kHasRuns) {
      if (g.columns == 1 && has_runs(ctx)) {
        return launch_last_ring<W, Own, T, RingRuns<T>>(a, s, g, ctx);
      }
    }
    return launch_last_ring<W, Own, T, RingCopies<T>>(a, s, g, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_GRADIENTS_H_
