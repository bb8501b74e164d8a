// Planes of images on their way to a ring in shared memory, whole or some rows of one, each by one
// copy of a run: a plane is one. No register waits for a load, so as many bytes are under way as
// there is shared memory. Bound: memory.
//
// A block has one channel and goes from unit to unit: planes of some images, or a band of rows of
// one, of the gradients and of the pixels they are spread to. A thread has the same strip of each
// unit (spread_walk.h).
#ifndef POLYOPS_GPU_CONVOLUTION_PLANE_RING_H_
#define POLYOPS_GPU_CONVOLUTION_PLANE_RING_H_

#include "plane_ring_plan.h"
#include "ring.h"
#include "spread_walk.h"

namespace polyops::gpu {
namespace {

template <class T>
struct PlaneRingCall {
  Shape shape;
  PlaneUnits units;
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
};

// A block's channel, and how many elements its planes begin behind the beginning of a pack.
template <class T>
struct PlaneChannel {
  int32_t channel, grads, pixels;

  GPU_DEVICE PlaneChannel(const Shape& s, int32_t own)
      : channel(own), grads(own * s.out() % kPack<T>), pixels(own * s.in() % kPack<T>) {}
};

// The whole packs in which the rows from first to end of so many columns are, of a plane that
// begins so many elements behind the beginning of one.
template <class T>
struct RowRun {
  int32_t begin, count;  // from the plane's first element on

  GPU_DEVICE RowRun(int32_t first, int32_t end, int32_t columns, int32_t behind) {
    constexpr uint32_t kRest = kPack<T> - 1;
    const auto from = static_cast<uint32_t>(behind + first * columns);
    const auto to = static_cast<uint32_t>(behind + end * columns);
    begin = static_cast<int32_t>(from & ~kRest) - behind;
    count = static_cast<int32_t>(((to + kRest) & ~kRest) - (from & ~kRest));
  }
};

// What a unit is: rows of gradients, first.. of so many, of the planes of images n.., and the runs
// that are copied of each.
template <class Own, class T>
struct PlaneUnit {
  int32_t n, planes, first, rows;
  RowRun<T> grads, pixels;

  GPU_DEVICE PlaneUnit(const PlaneRingCall<T>& call, const PlaneChannel<T>& of, int32_t unit)
      : PlaneUnit(call.shape, call.units, of, unit,
                  static_cast<int32_t>(call.units.bands.quotient(static_cast<uint32_t>(unit)))) {}

 private:
  GPU_DEVICE PlaneUnit(const Shape& s, const PlaneUnits& units, const PlaneChannel<T>& of,
                       int32_t unit, int32_t group)
      : n(group * units.planes),
        planes(Tile::least(units.planes, s.batch - n)),
        first((unit - group * static_cast<int32_t>(units.bands.divisor)) * units.band),
        rows(Tile::least(units.band, s.h.out - first)),
        grads(Own::row_read(first), Tile::least(first + rows + Own::kAfter, s.h.out), s.w.out,
              of.grads),
        pixels(first * Own::kSquare, (first + rows) * Own::kSquare, s.w.in, of.pixels) {}
};

// The units of a block.
struct PlaneTurn {
  int32_t first, end;

  GPU_DEVICE PlaneTurn(const PlaneUnits& units, int32_t split)
      : first(split * units.each + Tile::least(split, units.more)),
        end(first + units.each + (split < units.more ? 1 : 0)) {}
};

// By the block's first wave, lanes of which copy a plane each, maybe before thread 0 expects them.
template <class Own, class T>
GPU_DEVICE void send_unit(const PlaneRingCall<T>& call, int32_t channel,
                          const PlaneUnit<Own, T>& unit, T* slot, Arrival* arrival) {
  const Shape& s = call.shape;
  const auto grads = unit.grads.count * static_cast<int>(sizeof(T));
  const auto pixels = unit.pixels.count * static_cast<int>(sizeof(T));
  if (thread_id() == 0) expect_runs(arrival, unit.planes * (grads + pixels));
#pragma unroll 1
  for (int32_t i = thread_id(); i < unit.planes; i += wave_size()) {
    const int64_t plane = int64_t{unit.n + i} * s.channels + channel;
    T* const to = slot + i * call.units.plane;
    copy_run_later(arrival, to, call.grad + (plane * s.out() + unit.grads.begin), grads);
    copy_run_later(arrival, to + call.units.grads, call.src + (plane * s.in() + unit.pixels.begin),
                   pixels);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_PLANE_RING_H_
