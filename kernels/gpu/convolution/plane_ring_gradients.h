// All gradients of such planes as spread_gradients.h takes, where they come by whole packs, in one
// pass over units in shared memory (plane_ring.h). Bound: memory, input and gradient of the results
// read once, gradient of the input written once. On an H200, by rows in registers and by the ring:
// by 3x3 float32 32x144x56x56 65.0 and 51.7 us, in bfloat16 38.5 and 33.7, float32
// 32x192x28x28 21.6 and 21.3; at stride 2 float32 32x96x112x112 107.0 and 99.0, in bfloat16 58.1
// and 53.0; by 5x5 at stride 2 bfloat16 64x144x56x56 55.2 and 46.2.
#ifndef POLYOPS_GPU_CONVOLUTION_PLANE_RING_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_PLANE_RING_GRADIENTS_H_

#include "plane_ring.h"

namespace polyops::gpu {
namespace {

// A step asks shared memory for the next one's rows before it multiplies its own.
template <class W, class Of>
struct PlaneRing : Of {
  static constexpr int kAhead = 1;
  static constexpr bool kAsksFirst = true, kSlidesShared = true;
  // By registers: 4 where a thread has sums of 25 taps or 3 rows of 8 gradients, else 5.
  static constexpr bool kHasMany = W::kTaps == 25 || (W::kS == 1 && Of::kPixels == 8);
  static constexpr int kThreads = 128, kBlocks = kHasMany ? 4 : 5;
};

// A thread's strip of each unit.
template <class W, class Own, class T>
class PlaneStrips {
 public:
  GPU_DEVICE PlaneStrips(const PlaneRingCall<T>& call, int32_t channel)
      : call_(call), channel_(channel) {
    auto rest = static_cast<uint32_t>(thread_id());
    column_ = static_cast<int32_t>(take_remainder(call.units.across, &rest)) * Own::kResults;
    row_ = static_cast<int32_t>(take_remainder(call.units.down, &rest)) * call.units.rows;
    plane_ = static_cast<int32_t>(rest);
  }

  GPU_DEVICE void slide(const PlaneUnit<Own, T>& unit, const T* slot,
                        SpreadSums<W, Own>* own) const {
    const Shape& s = call_.shape;
    const int32_t rows = Tile::least(call_.units.rows, unit.rows - row_), first = unit.first + row_;
    if (plane_ >= unit.planes || rows <= 0) return;
    const int64_t plane = int64_t{unit.n + plane_} * s.channels + channel_;
    const int32_t pixel = W::kS * (first * s.w.in + column_);
    const T* const here = slot + plane_ * call_.units.plane;
    const int32_t read = Own::row_read(first) * s.w.out + column_;
    const SpreadStrip<T> its = {here + (read - unit.grads.begin),
                                here + (call_.units.grads + pixel - unit.pixels.begin),
                                call_.dst + (plane * s.in() + pixel),
                                first,
                                rows,
                                column_ > 0,
                                column_ + Own::kResults < s.w.out};
    slide_spread<W, Own, T>(s, its, own);
  }

 private:
  const PlaneRingCall<T>& call_;
  int32_t channel_;
  int32_t column_, row_, plane_;  // in a unit
};

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_plane_ring(PlaneRingCall<T> call) {
  await_earlier();
  if constexpr (!kHasClusters) return;
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  GPU_SHARED(RingDesk<kPlaneSlots>, desk, 1);
  GPU_DYNAMIC_SHARED(Words, words);
  T* const memory = reinterpret_cast<T*>(words);
  const Shape& s = call.shape;
  const PlaneUnits& units = call.units;
  const int32_t all = units.planes * units.plane;  // of a slot
  const SplitOfChannel place(s.channels);
  const PlaneChannel<T> of(s, place.channel);
  const PlaneTurn turn(units, place.split);
  const bool sends = thread_id() < wave_size();
  const auto send = [&](int32_t unit, int slot) {
    send_unit(call, place.channel, PlaneUnit<Own, T>(call, of, unit), memory + slot * all,
              desk->arrivals + slot);
  };
  let_later_begin();
  desk->open(block_threads());
  if (sends) {
#pragma unroll 1
    for (int i = 0; i < kPlaneSlots && turn.first + i < turn.end; ++i) send(turn.first + i, i);
  }
  SpreadSums<W, Own> own = {};
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) {
    own.w[i][0] = call.taps.at(place.channel, i / W::kW, i % W::kW);
  }
  const PlaneStrips<W, Own, T> strips(call, place.channel);
  barrier();
  RingPlace<kPlaneSlots> at;
#pragma unroll 1
  for (int32_t unit = turn.first; unit < turn.end; ++unit) {
    // Where the unit before was, which nobody else looks at for long.
    const int32_t next = unit - 1 + kPlaneSlots;
    if (sends && unit > turn.first && next < turn.end) {
      const RingPlace<kPlaneSlots> before = at.before();
      desk->await_readers(before);
      send(next, before.slot);
    }
    desk->await(at);
    strips.slide(PlaneUnit<Own, T>(call, of, unit), memory + at.slot * all, &own);
    desk->leave(at);
    at.advance();
  }
  float sums[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) sums[i] = own.sums[i][0];
  put_sums(sums, s, place, call.sums, shared);
}

// ---- From the host.

template <class W, class Own, class T>
PlaneRingPlan plane_ring_plan(const Shape& s, int64_t multiprocessors) {
  using Ring = PlaneRing<W, Own>;
  // Planes of a channel are equally far behind packs.
  const int64_t in = int64_t{s.h.in} * s.w.in, out = int64_t{s.h.out} * s.w.out;
  if (s.channels * in % kPack<T> != 0 || s.channels * out % kPack<T> != 0) return {};
  PlaneRingSizes z;
  z.height = s.h.out;
  z.across = s.w.out / Ring::kResults;
  z.out = s.w.out;
  z.in = int64_t{s.w.in} * W::kS;
  z.before = Ring::kBefore;
  z.pack = kPack<T>;
  z.element_bytes = sizeof(T);
  z.sums = W::kTaps + 1;
  z.most_threads = Ring::kThreads;
  z.blocks = Ring::kBlocks;
  z.batch = s.batch;
  z.channels = s.channels;
  z.multiprocessors = std::min(multiprocessors, kSumMultiprocessors);
  return best_plane_ring(z);
}

// At most, on any device.
template <class W, class Own>
int64_t plane_ring_splits(const Shape& s) {
  using Ring = PlaneRing<W, Own>;
  constexpr int64_t kMost =
      kSumMultiprocessors * Ring::kBlocks * Ring::kThreads / kLeastPlaneThreads;
  return std::max<int64_t>(kMost / s.channels, 1);
}

// POLYOPS_DECLINED: not of such planes, or this device has no such copies.
template <class W, class Own, class T>
int launch_plane_ring(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  if (!has_runs(ctx)) return POLYOPS_DECLINED;
  const PlaneRingPlan plan = plane_ring_plan<W, Own, T>(s, multiprocessors(ctx));
  constexpr int64_t kBeside = int64_t{W::kTaps + 1} * kMostWaves * 4 + kPlaneDesk;
  if (plan.splits == 0 || plan.bytes + kBeside > most_shared(ctx)) return POLYOPS_DECLINED;
  const auto kernel = gradients_of_plane_ring<W, PlaneRing<W, Own>, T>;
  LaunchShape shape = {plan.splits * s.channels, plan.threads, static_cast<size_t>(plan.bytes),
                       cluster_of(plan.splits, ctx)};
  // A cluster to a channel only where those of all channels run at the same time.
  if (shape.cluster > 1 && clusters_at_a_time(kernel, shape, ctx) < s.channels) shape.cluster = 1;
  const PlaneRingCall<T> call = {s,
                                 plan.units,
                                 static_cast<const T*>(a.grad_dst.data),
                                 static_cast<const T*>(a.src.data),
                                 static_cast<T*>(a.grad_src.data),
                                 taps_of<T>(a.weight),
                                 sums_of<T>(a, shape.cluster > 1 ? 1 : plan.splits, ctx)};
  return launch_add_parts(launch(kernel, shape, ctx, call), s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_PLANE_RING_GRADIENTS_H_
