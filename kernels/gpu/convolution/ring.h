// What rings in shared memory have in common, to which runs of memory are copied some steps ahead
// of the one that is looked at: last_ring.h, plane_ring.h.
#ifndef POLYOPS_GPU_CONVOLUTION_RING_H_
#define POLYOPS_GPU_CONVOLUTION_RING_H_

#include "gpu.h"

namespace polyops::gpu {
namespace {

// Which slot a step has, and how often the ring has been gone round before.
template <int kSlots>
struct RingPlace {
  int32_t slot = 0, lap = 0;

  GPU_DEVICE void advance() {
    if (++slot == kSlots) slot = 0, ++lap;
  }
  GPU_DEVICE RingPlace before() const {
    return slot == 0 ? RingPlace{kSlots - 1, lap - 1} : RingPlace{slot - 1, lap};
  }
};

// Of each slot, whether its runs are there, and whether all are past them.
template <int kSlots>
struct RingDesk {
  using Place = RingPlace<kSlots>;
  Arrival arrivals[kSlots];
  Departures departures[kSlots];

  // By all threads, before the first step; a barrier() follows. readers: threads that leave().
  GPU_DEVICE void open(int readers) {
    open_departures(departures, kSlots, readers);
    open_arrivals(arrivals, kSlots);
  }
  GPU_DEVICE void await(const Place& place) const { await_runs(arrivals + place.slot, place.lap); }
  // By all threads of the block; counts: of readers, each of which has read what it wants.
  GPU_DEVICE void leave(const Place& place, bool counts = true) {
    if (counts) before_runs();
    depart(departures + place.slot, counts);
  }
  GPU_DEVICE void await_readers(const Place& place) const {
    await_departures(departures + place.slot, place.lap);
  }
};

// ---- From the host.

inline bool has_runs(const polyops_context* ctx) { return most_cluster(ctx) > 1; }

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_RING_H_
