// What is normalised together, here a channel, as shared memory has room for: each block of a cluster has
// an equal part of its packs. A cluster walks over channels; where a thread has stored a pack of
// one, that of the next channel is on its way to the same place, so that memory is busy while others
// wait for each other. A group of channels of one sample is such a channel, of one row.
#ifndef POLYOPS_GPU_CHANNEL_NORM_WALK_H_
#define POLYOPS_GPU_CHANNEL_NORM_WALK_H_

#include "division.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kWalkThreads = 1024;  // at most: 64 registers
constexpr int kWalkStages = 4;      // in which a thread's packs arrive

struct ChannelWalk {
  int32_t channels, packs;  // packs of a channel, of all rows
  int32_t width, stride;    // packs of a row; from a row to the next
  Division by_width;
  int32_t part;         // packs of a block
  int32_t step, wraps;  // to a thread's next pack: packs, and of those in a row
  int32_t stage;        // packs of a thread in one of its stages
};

// What a thread takes: packs of its channel that are block_threads() apart, in this order.
struct WalkShare {
  int32_t end;     // of the block's packs, beginning with its first
  int32_t place;   // in its row
  uint32_t first;  // pack, from the channel's first one
  int32_t count;

  GPU_DEVICE explicit WalkShare(const ChannelWalk& of) {
    const int32_t begin = cluster_rank() * of.part;
    end = of.packs - begin < of.part ? of.packs - begin : of.part;
    auto row = static_cast<uint32_t>(begin + thread_id());
    place = static_cast<int32_t>(take_remainder(of.by_width, &row));
    first = row * of.stride + place;
    count = thread_id() < end ? (end - thread_id() + block_threads() - 1) / block_threads() : 0;
  }
  // Of a wave, at most as many as it has lanes.
  GPU_DEVICE int32_t lanes_with_packs() const {
    const int32_t left = end - thread_id() / wave_size() * wave_size();
    return left < wave_size() ? left : wave_size();
  }
  // Calls f(k, its pack in the channel), and after each stage.
  template <class F, class After>
  GPU_DEVICE void for_each(const ChannelWalk& of, F f, After after) const {
    uint32_t pack = first;
    int32_t at = place, k = 0;
#pragma unroll 1
    for (int stage = 1; stage <= kWalkStages; ++stage) {
      const int32_t to = stage * of.stage < count ? stage * of.stage : count;
#pragma unroll 2
      for (; k < to; ++k) {
        f(k, pack);
        at += of.wraps;
        pack += of.step;
        if (at >= of.width) {
          at -= of.width;
          pack += of.stride - of.width;
        }
      }
      after();
    }
  }
};

template <class T>
GPU_DEVICE void copy_pack(Words* held, const T* channel, uint32_t pack) {
  copy_16_later(held, channel + uint64_t{pack} * kPack<T>);
}

// All of a thread's packs on their way into `held`, one after the other block_threads() apart, stage by
// stage of all inputs.
template <class T, int kInputs>
GPU_DEVICE void begin_walk(const ChannelWalk& of, const WalkShare& share,
                           const T* const (&channel)[kInputs], Words* held, int32_t size) {
  share.for_each(
      of,
      [&](int k, uint32_t pack) {
#pragma unroll
        for (int i = 0; i < kInputs; ++i) {
          copy_pack(held + i * size + k * block_threads(), channel[i], pack);
        }
      },
      [] { close_copies(); });
}

// Calls f(k) for a thread's packs as they arrive.
template <int kStage, class F>
GPU_DEVICE void for_each_arriving(const ChannelWalk& of, int32_t count, F f) {
  if constexpr (kStage < kWalkStages) {
    wait_copies<kWalkStages - 1 - kStage>();
    const int32_t to = (kStage + 1) * of.stage < count ? (kStage + 1) * of.stage : count;
#pragma unroll 4
    for (int32_t k = kStage * of.stage; k < to; ++k) f(k);
    for_each_arriving<kStage + 1>(of, count, f);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WALK_H_
