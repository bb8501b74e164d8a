// How rows come to the ring of last_ring.h, and how it is gone round.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_FEED_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_FEED_H_

#include "last_ring.h"

namespace polyops::gpu {
namespace {

using LastRingDesk = RingDesk<kRingSlots>;
using LastRingPlace = RingPlace<kRingSlots>;

// How the ring's wave has rows copied: of all channels each by one instruction, as all pixels' lie
// next to each other.
template <class T>
struct RingRuns {
  static constexpr bool kIsRuns = true;
  int32_t channels;

  GPU_DEVICE RingRuns(int32_t of_block) : channels(of_block) {}
  GPU_DEVICE void expect(Arrival* arrival, int32_t pixels) const {
    if (thread_id() % wave_size() != 0) return;
    expect_runs(arrival, pixels * channels * static_cast<int>(sizeof(T)));
  }
  GPU_DEVICE void copy(const RingTask&, const RingRows<T>& rows, Arrival* arrival, T* to) const {
    if (thread_id() % wave_size() != 0) return;
    const int32_t first = rows.begin * channels;
    copy_run_later(arrival, to + first, rows.from + first,
                   rows.count() * channels * static_cast<int>(sizeof(T)));
  }
};

// Of some channels, by packs: by runs, each of some channels of a pixel, all gradients of float32
// 32x144x56x56 by 3x3 took 87.4 us, by packs 58.8 (72 channels to a block).
template <class T>
struct RingCopies {
  static constexpr bool kIsRuns = false;
  int32_t packs;
  int32_t pixel, pack, pixels_on, packs_on;  // of this lane, and to its next ones

  GPU_DEVICE RingCopies(int32_t of_block) : packs(of_block / kPack<T>) {
    const int own = thread_id() % wave_size();
    pixel = own / packs;
    pack = own - pixel * packs;
    pixels_on = wave_size() / packs;
    packs_on = wave_size() - pixels_on * packs;
  }
  GPU_DEVICE void copy(const RingTask& task, const RingRows<T>& rows, Arrival*, T* to) const {
    int32_t at = rows.begin + pixel, of = pack;
#pragma unroll 4
    while (at < rows.end) {
      copy_16_later(to + (at * task.slot.pitch + of * kPack<T>),
                    rows.from + (at * task.shape.channels + of * kPack<T>));
      at += pixels_on;
      of += packs_on;
      if (of >= packs) {
        of -= packs;
        ++at;
      }
    }
  }
};

// By the ring's wave: all steps, and to leave each as the others do, which is not counted of it. A
// Feed has begin(strip), how many steps that has; of the next step expect(arrival) and
// copy(arrival, slot), which goes on to the one behind it.
template <class Own, class Feed, class T>
GPU_DEVICE void feed_runs(const RingTask& task, int32_t block, Feed feed, T* memory,
                          LastRingDesk* desk) {
  LastRingPlace place, left;
  int32_t fed = 0, behind = 0;  // steps that have been asked for, and that are left
  // The first time all meet in RingWalk(): late, so that the first copies wait for nobody.
  const auto leave = [&] {
    if (behind++ == 0) barrier();
    desk->leave(left, false);
  };
  for_ring<Own>(task, block, [&](const RingStrip& strip) {
#pragma unroll 1
    for (int32_t steps = feed.begin(strip); steps > 0; --steps) {
      if (fed >= kRingSlots) {
        leave();
        desk->await_readers(left);
        left.advance();
      }
      Arrival* const arrival = desk->arrivals + place.slot;
      feed.expect(arrival);
      feed.copy(arrival, memory + place.slot * task.slot.all);
      place.advance();
      ++fed;
    }
  });
  while (behind < fed) {
    leave();
    left.advance();
  }
}

// The same by packs: a slot is free when all are at the barrier of the step but one behind it.
template <class Own, class Feed, class T>
GPU_DEVICE void feed_packs(const RingTask& task, int32_t block, Feed feed, T* memory) {
  constexpr int kAhead = kRingSlots - 1;
  LastRingPlace place;
  int32_t fed = 0;
  for_ring<Own>(task, block, [&](const RingStrip& strip) {
#pragma unroll 1
    for (int32_t steps = feed.begin(strip); steps > 0; --steps) {
      if (fed >= kAhead) {
        wait_copies<kAhead - 1>();
        barrier();
      }
      feed.copy(nullptr, memory + place.slot * task.slot.all);
      close_copies();
      place.advance();
      ++fed;
    }
  });
#pragma unroll 1
  for (int32_t i = Tile::least(fed, kAhead); i > 0; --i) {
    wait_copies<0>();
    barrier();
  }
}

// The others' way through the ring, by all of their threads alike. desk: of runs.
template <bool kIsRuns, class T>
class RingWalk {
 public:
  GPU_DEVICE RingWalk(const RingTask& task, const T* memory, LastRingDesk* desk)
      : task_(task), memory_(memory), desk_(desk) {
    if constexpr (kIsRuns) barrier();
  }

  // The next step's slot.
  GPU_DEVICE const T* arrive() {
    if constexpr (kIsRuns) {
      desk_->await(place_);
    } else {
      barrier();
    }
    return memory_ + place_.slot * task_.slot.all;
  }
  GPU_DEVICE void leave() {
    if constexpr (kIsRuns) desk_->leave(place_);
    place_.advance();
  }

 private:
  const RingTask& task_;
  const T* memory_;
  LastRingDesk* desk_;
  LastRingPlace place_;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_FEED_H_
