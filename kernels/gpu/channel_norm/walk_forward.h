// Walking over channels (walk.h): their moments, and the lines of those. Bound: memory, one read
// and one write, and a second read of what there is no room for.
#ifndef POLYOPS_GPU_CHANNEL_NORM_WALK_FORWARD_H_
#define POLYOPS_GPU_CHANNEL_NORM_WALK_FORWARD_H_

#include "apply.h"
#include "moments.h"
#include "walk.h"
#include "walk_team.h"
#include "welford.h"

namespace polyops::gpu {
namespace {

// Of the wave's packs, which arrive meanwhile: around the mean of the first of each lane, so that
// the squares are at most as many times those around the mean of all as a lane has packs, and one.
template <class T>
GPU_DEVICE Welford moments_of_wave(const ChannelWalk& of, const WalkShare& share, const Words* mine,
                                   const T* channel) {
  const int32_t lanes = share.lanes_with_packs();
  const float weight = reciprocal_fast(static_cast<float>(lanes * kPack<T>));
  float center = 0;
  wait_copies<kWalkStages - 1>();
  if (share.count > 0) {
    float x[kPack<T>];
    unpack<T>(mine[0], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) center = fmaf(x[j], weight, center);
  }
  center = sum_of_lanes(center, wave_size());
  float sums[2] = {};
  for_each_arriving<0>(
      of, share.held,
      [&](int32_t k) { add_pack<T>(mine[k * block_threads()], center, 0.0f, sums); },
      [&] {
        for_each_beyond<false, T, 1>(of, share, {channel}, [&](uint32_t, const Words(&words)[1]) {
          add_pack<T>(words[0], center, 0.0f, sums);
        });
      });
  float all[3] = {sums[0], sums[1], static_cast<float>(share.count * kPack<T>)};
  sum_lanes(all, wave_size());
  return moved(center, all[0], all[1], all[2]);
}

constexpr int kWalkShared = 4 * kMostWaves;

// Of the block, from those of its waves; kFirst: to the first wave alone. `shared`: kWalkShared
// elements that nobody uses since the last barrier but one.
template <bool kFirst>
GPU_DEVICE Welford moments_of_block(const Welford& w, float count, float* shared) {
  const int lane = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (lane == 0) {
    shared[wave] = w.mean;
    shared[kMostWaves + wave] = w.square;
    shared[2 * kMostWaves + wave] = w.count;
    shared[3 * kMostWaves + wave] = w.low;
  }
  barrier();
  if (kFirst && wave != 0) return {};
  Welford one;
  if (lane < block_threads() / wave_size()) {
    one = {shared[lane], shared[kMostWaves + lane], shared[2 * kMostWaves + lane],
           shared[3 * kMostWaves + lane]};
  }
  return merged(one, shared[0], count, wave_size());
}

// A channel's results, and copies of the channel `next` to where what they come of was.
template <class T, class Lines>
GPU_DEVICE void store_walked(const ChannelWalk& of, const WalkShare& share, const Lines& lines,
                             const RunPointers<T, 1>& p, int64_t channel, int64_t next,
                             Words* mine) {
  const int64_t row = int64_t{of.width} * kPack<T>;
  T* const dst = p.out + channel * row;
  const auto store = [&](uint32_t pack, const Words& words) {
    const Line line = lines(pack);
    float x[kPack<T>];
    unpack<T>(words, x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) x[j] = line({{x[j]}});
    store_words(dst + uint64_t{pack} * kPack<T>, gpu::pack<T>(x));
  };
  for_each_beyond<true, T, 1>(
      of, share, {p.in[0] + channel * row},
      [&](uint32_t pack, const Words(&words)[1]) { store(pack, words[0]); });
  const T* const src = p.in[0] + next * row;
  const bool more = next < of.channels;
  share.for_each(
      of,
      [&](int k, uint32_t pack) {
        Words* const place = mine + k * block_threads();
        store(pack, *place);
        if (more) copy_pack(place, src, pack);
      },
      [] { close_copies(); });
}

// Norm: load(channel), what the lines come of beside the moments, early; stage(loaded, turn, room),
// to what `room` the block has for it, where it was not used since the last barrier but one;
// lines(loaded, turn, room, moments), which gives a pack's line; store(channel, moments).
template <class T, class Norm, class By>
GPU_KERNEL(kWalkThreads)
walk_forward(ChannelWalk of, Norm norm, RunPointers<T, 1> p, By by) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, held);
  GPU_SHARED(float, shared, 2 * kWalkShared);
  GPU_SHARED(float, tables, 2 * kWalkValues * kMostCluster);
  GPU_SHARED(Mailbox, box, 1);
  using Team = WalkTeam<kWalkValues, By>;
  Team team(by, box, tables);
  const int blocks = team.blocks();
  const WalkShare share(of, team.rank());
  auto channel = static_cast<int32_t>(block_id() / blocks);
  const auto step = static_cast<int32_t>(grid_blocks() / blocks);
  Words* const mine = held + thread_id();
  auto* const room = reinterpret_cast<float*>(held + of.places);
  open_team(team, [&] { begin_walk<T, 1>(of, share, p.in, channel, mine); });
  const auto own = static_cast<float>(share.end * kPack<T>);
  const auto last = static_cast<float>((of.packs - (blocks - 1) * of.part) * kPack<T>);
  int turn = 0;
  for (; channel < of.channels; ++turn, channel += step) {
    const auto loaded = norm.load(channel);
    Welford w =
        moments_of_wave<T>(of, share, mine, p.in[0] + int64_t{channel} * of.width * kPack<T>);
    prefetch_channel<T, 1>(of, share, p.in, channel + step);
    norm.stage(loaded, turn, room);
    w = moments_of_block<Team::kFirst>(w, own, shared + turn % 2 * kWalkShared);
    w = team.moments(w, static_cast<float>(of.part * kPack<T>), last);
    const auto lines = norm.lines(loaded, turn, room, w);
    store_walked<T>(of, share, lines, p, channel, channel + step, mine);
    if (team.rank() == 0 && thread_id() == 0) norm.store(channel, w);
  }
  team.close(turn);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WALK_FORWARD_H_
