// All gradients of images whose channels lie next to each other, by filters of 3x3 at stride 1 and
// 2, in one pass over rows in shared memory (last_ring.h, last_ring_slide.h). Bound: memory, input
// and gradient of the results read once, gradient of the input written once.
//
// Where a thread loads its rows itself, to registers, an H200 takes 60.6 us for bfloat16
// 32x96x112x112 at stride 2, 24.7 for 32x576x14x14, 59.8 for float32 32x144x56x56 and 48.1 for it
// in bfloat16; the ring 55.8, 19.4, 58.8 and 48.4. Of 4 columns to a thread at stride 1, where they
// divide the width; of 2 it takes 50.2 for the last. 8 packs to a block of 384 threads lost for
// float32 (65.6).
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_GRADIENTS_H_

#include "last_ring_slide.h"

namespace polyops::gpu {
namespace {

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_last(RingCall<T> call) {
  GPU_DYNAMIC_SHARED(Words, words);
  T* const memory = reinterpret_cast<T*>(words);
  const SlideGrid& g = call.grid;
  const SlideLane<Own> lane(call.shape, g);
  SpreadSums<W, Own> own = {};
  let_later_begin();
  if (thread_id() + wave_size() >= block_threads()) {
    fetch_ring<Own, T>(call, lane, memory);
  } else {
    RingSlide<W, Own, T> slide(call, lane, memory, &own);
    const RingTurns turns(g, lane.block);
#pragma unroll 1
    for (int32_t index = turns.first; index < turns.end; ++index) {
      slide.slide(RingStrip(index, call.shape, g, Own::kResults));
    }
  }
  barrier();  // the ring is what lines are added up in
  add_lines<Own>(call.shape, g, lane, own.sums, call.sums, reinterpret_cast<float*>(words));
}

// ---- From the host, which may call nothing that is the device's alone.

// Of a block: packs of channels, of so many; as many as leave few lanes of the last one idle.
inline int64_t ring_packs(int64_t packs, int64_t most) {
  if (packs <= most) return packs;
  int64_t best = most;
  for (int64_t some = most; some >= most / 2; some -= 2) {
    if (ceil_div(packs, some) * some < ceil_div(packs, best) * best) best = some;
  }
  return best;
}

inline int64_t ring_threads(const SlideGrid& g, int64_t wave) {
  return ceil_div(g.width * g.lines, wave) * wave + wave;
}

// The ring's, and then those of the sums of lines.
template <class Own, class T>
int64_t ring_bytes(const SlideGrid& g) {
  const auto ring = (Own::kAhead + 1) * ring_slot<Own>(g).all * static_cast<int64_t>(sizeof(T));
  const auto sums = int64_t{Own::kSums} * g.width * g.lines * Own::kElements *
                    static_cast<int64_t>(sizeof(float));
  return ring > sums ? ring : sums;
}

template <class Own, class T>
SlideGrid ring_grid(const Shape& s) {
  SlideGrid g;
  const int64_t packs = s.channels / kPack<T>, some = ring_packs(packs, Own::kMostPacks);
  g.columns = static_cast<int32_t>(ceil_div(packs, some));
  g.width = static_cast<int32_t>(some * kPack<T> / Own::kElements);
  const int64_t across = s.w.out / Own::kResults, most = (Own::kThreads - kRingWave) / g.width;
  g.lines = static_cast<int32_t>(ceil_div(across, ceil_div(across, most)));
  const int64_t parts = ceil_div(across, g.lines);
  const int64_t blocks = Own::kThreads * Own::kBlocks / ring_threads(g, kRingWave);
  const int64_t at_once = kSumMultiprocessors * blocks / g.columns;
  const Stretches stretches =
      stretches_of(s.h.out, Own::kBefore, s.batch * parts, at_once > 1 ? at_once : 1);
  g.rows = stretches.rows;
  g.strips = static_cast<int32_t>(stretches.count);
  g.turns = static_cast<int32_t>(stretches.turns);
  g.across = Division(static_cast<uint32_t>(parts));
  g.down = Division(static_cast<uint32_t>(ceil_div(s.h.out, g.rows)));
  return g;
}
inline int64_t ring_splits(const SlideGrid& g) { return ceil_div(g.strips, g.turns); }

inline bool has_last_ring(const Shape& s) {
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->taps != 3 || axis->padding != 1 || axis->in != axis->out * axis->stride) return false;
  }
  return s.h.stride == s.w.stride && s.w.stride <= 2;
}

// Calls f.operator()<W, Own>().
template <class T, class F>
int with_last_ring(const Shape& s, F f) {
  const auto with_window = [&]<class W>() -> int {
    if (s.w.out % 2 != 0) return f.template operator()<W, RingGradients<W, 1, T, 8, 256>>();
    if constexpr (W::kS == 1) {
      if (s.w.out % 4 == 0) return f.template operator()<W, RingGradients<W, 4, T, 18, 256>>();
    }
    return f.template operator()<W, RingGradients<W, 2, T, 18, 320>>();
  };
  return s.w.stride == 1 ? with_window.template operator()<Window<3, 3, 1>>()
                         : with_window.template operator()<Window<3, 3, 2>>();
}

inline int64_t last_ring_splits(const Shape& s, int32_t dtype) {
  if (!has_last_ring(s)) return 0;
  int64_t splits = 0;
  with_type(dtype, [&]<class T>() {
    return with_last_ring<T>(s, [&]<class W, class Own>() {
      splits = ring_splits(ring_grid<Own, T>(s));
      return POLYOPS_OK;
    });
  });
  return splits;
}

// POLYOPS_DECLINED: a block may not have so much, or waves of 64 not so many threads.
template <class T>
int launch_last_ring(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_last_ring<T>(s, [&]<class W, class Own>() -> int {
    const SlideGrid g = ring_grid<Own, T>(s);
    const int64_t threads = ring_threads(g, wave_lanes(ctx)), bytes = ring_bytes<Own, T>(g);
    if (threads > Own::kThreads || bytes > most_shared(ctx)) return POLYOPS_DECLINED;
    const RingCall<T> call = {s,
                              g,
                              ring_slot<Own>(g),
                              static_cast<const T*>(a.grad_dst.data),
                              static_cast<const T*>(a.src.data),
                              static_cast<T*>(a.grad_src.data),
                              taps_of<T>(a.weight),
                              sums_of<T>(a, ring_splits(g), ctx)};
    const LaunchShape shape = {int64_t{g.columns} * ring_splits(g), static_cast<int>(threads),
                               static_cast<size_t>(bytes)};
    const int status = launch(gradients_of_last<W, Own, T>, shape, ctx, call);
    return launch_add_parts(status, s, call.sums, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_GRADIENTS_H_
