// What is normalised together, here a channel, as shared memory has room for: each block of a
// cluster or a team (walk_team.h) has an equal part of its packs. Those walk over channels; where a
// thread has stored a pack of one, that of the next channel is on its way to the same place, so
// that memory is busy while others wait for each other. A channel's packs that find no room are
// read twice, the last ones first the second time, which may still be in the second-level cache. A
// group of channels of one sample is such a channel, of one row. (Two channels' places in turn, a
// block to a multiprocessor, are slower on an H200 than two blocks of one channel each: 127 us and
// 102, the gradient of bfloat16 64x256x56x56.)
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
  int32_t places;       // of a block's packs that there is room for, of each tensor
  int32_t early;        // of a block's packs of the next channel, see prefetch_channel()
};

// What a thread takes: packs of its channel that are block_threads() apart, in this order.
struct WalkShare {
  int32_t begin, end;  // the block's first pack; its packs
  int32_t place;       // in its row
  uint32_t first;      // pack, from the channel's first one
  int32_t count, held;

  // rank: the block's, of those that share a channel.
  GPU_DEVICE WalkShare(const ChannelWalk& of, int rank) {
    begin = rank * of.part;
    end = of.packs - begin < of.part ? of.packs - begin : of.part;
    auto row = static_cast<uint32_t>(begin + thread_id());
    place = static_cast<int32_t>(take_remainder(of.by_width, &row));
    first = row * of.stride + place;
    count = packs_before(end);
    held = packs_before(of.places);
    if (held > count) held = count;
  }
  // Of this thread, among so many of the block.
  GPU_DEVICE static int32_t packs_before(int32_t to) {
    return thread_id() < to ? (to - thread_id() + block_threads() - 1) / block_threads() : 0;
  }
  // Of a wave, at most as many as it has lanes.
  GPU_DEVICE int32_t lanes_with_packs() const {
    const int32_t left = end - thread_id() / wave_size() * wave_size();
    return left < wave_size() ? left : wave_size();
  }
  // The k-th pack, from the channel's first one.
  GPU_DEVICE uint32_t pack(const ChannelWalk& of, int32_t k) const {
    auto row = static_cast<uint32_t>(begin + thread_id() + k * block_threads());
    const uint32_t at = take_remainder(of.by_width, &row);
    return row * of.stride + at;
  }
  // Calls f(k, its pack in the channel) for those held, and after each stage.
  template <class F, class After>
  GPU_DEVICE void for_each(const ChannelWalk& of, F f, After after) const {
    uint32_t pack = first;
    int32_t at = place, k = 0;
#pragma unroll 1
    for (int stage = 1; stage <= kWalkStages; ++stage) {
      const int32_t to = stage * of.stage < held ? stage * of.stage : held;
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

// All of a thread's packs on their way into `held`, one after the other block_threads() apart,
// stage by stage of all inputs.
template <class T, int kInputs>
GPU_DEVICE void begin_walk(const ChannelWalk& of, const WalkShare& share,
                           const T* const (&in)[kInputs], int64_t channel, Words* held) {
  const int64_t first = channel * of.width * kPack<T>;
  share.for_each(
      of,
      [&](int k, uint32_t pack) {
#pragma unroll
        for (int i = 0; i < kInputs; ++i) {
          copy_pack(held + i * of.places + k * block_threads(), in[i] + first, pack);
        }
      },
      [] { close_copies(); });
}

// While blocks wait for each other, memory would have nothing to do: the first packs that the block
// will have of the channel are on their way to the second-level cache. Each run by one thread, and
// few runs by a wave, whose threads would take turns.
template <class T, int kInputs>
GPU_DEVICE void prefetch_channel(const ChannelWalk& of, const WalkShare& share,
                                 const T* const (&in)[kInputs], int64_t channel) {
  const int32_t packs = share.end < of.early ? share.end : of.early;
  if (channel >= of.channels || packs <= 0 || thread_id() % wave_size() != 0) return;
  const int32_t end = share.begin + packs;
  auto row = static_cast<int32_t>(of.by_width.quotient(static_cast<uint32_t>(share.begin)));
  row += thread_id() / wave_size();
  for (; row * of.width < end; row += block_threads() / wave_size()) {
    const int32_t first = row * of.width, last = first + of.width;
    const int32_t from = first < share.begin ? share.begin : first, to = last < end ? last : end;
    const int64_t at = channel * of.width + int64_t{row} * of.stride + (from - first);
#pragma unroll
    for (int i = 0; i < kInputs; ++i) prefetch_run(in[i] + at * kPack<T>, (to - from) * 16);
  }
}

// Calls f(k) for a thread's packs as they arrive, and while the last of them are still under way
// beyond(), for those that there is no room for.
template <int kStage, class F, class Beyond>
GPU_DEVICE void for_each_arriving(const ChannelWalk& of, int32_t held, F f, Beyond beyond) {
  if constexpr (kStage < kWalkStages) {
    if constexpr (kStage == kWalkStages - 1) beyond();
    wait_copies<kWalkStages - 1 - kStage>();
    const int32_t to = (kStage + 1) * of.stage < held ? (kStage + 1) * of.stage : held;
#pragma unroll 4
    for (int32_t k = kStage * of.stage; k < to; ++k) f(k);
    for_each_arriving<kStage + 1>(of, held, f, beyond);
  }
}

constexpr int kWalkBatch = 4;  // packs in flight, of a thread and what there is no room for

// Calls f(pack in the channel, words of each input) for a thread's packs that there is no room for;
// backwards the last first, which nobody looks at after that.
template <bool kBackwards, class T, int kInputs, class F>
GPU_DEVICE void for_each_beyond(const ChannelWalk& of, const WalkShare& share,
                                const T* const (&channel)[kInputs], F f) {
  constexpr int kPacks = kWalkBatch / kInputs;
#pragma unroll 1
  for (int32_t first = share.held; first < share.count; first += kPacks) {
    Words words[kPacks][kInputs];
    uint32_t at[kPacks];
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      const int32_t k = first + j < share.count ? first + j : share.count - 1;
      at[j] = share.pack(of, kBackwards ? share.held + share.count - 1 - k : k);
#pragma unroll
      for (int i = 0; i < kInputs; ++i) {
        words[j][i] = load_words(channel[i] + uint64_t{at[j]} * kPack<T>);
      }
    }
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      if (first + j < share.count) f(at[j], words[j]);
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WALK_H_
