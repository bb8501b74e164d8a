// group_norm. Bound: memory, one read and one write.
//
// Groups that fit into the registers of half a wave, 64 bytes per lane, are read once:
// group_rows(). So are those that the shared memory of a cluster has room for: walk.h where
// channels are whole packs and groups many, or else held.h; of a team of a grid's blocks for larger
// ones, walk.h. Others are split over several blocks, which leave their moments in the workspace,
// for a second launch. That begins with what was read last and may still be in the second-level
// cache. (A few groups at a time, so that all of them are, is slower on an H200: 85 us and 76,
// bfloat16 1x128x512x512; by teams 51.)
#ifndef POLYOPS_GPU_GROUP_NORM_FORWARD_H_
#define POLYOPS_GPU_GROUP_NORM_FORWARD_H_

#include "channel_norm/apply.h"
#include "channel_norm/moments.h"

namespace polyops::gpu {
namespace {

constexpr int kGroupPacks = 4;  // of a lane

template <class T>
struct GroupCall {
  const T* src;
  T* dst;
  Values weight, bias, mean, rstd;
  int32_t rows, n;        // groups of all samples, elements of one
  int32_t groups, width;  // of a sample; channels of a group
  Channels channels;
  float inv_n, eps;
  bool ragged;  // some group has ends
};

template <class T>
struct GroupLines {
  Values weight, bias;
  int32_t first;  // the group's first channel
  float center, shift, factor;

  GPU_DEVICE Line operator()(int32_t channel) const {
    const float scale =
        weight.data == nullptr ? factor : factor * load_value<T>(weight, first + channel);
    const float offset = bias.data == nullptr ? 0.0f : load_value<T>(bias, first + channel);
    return {center, scale, fmaf(-shift, scale, offset)};
  }
};

// From the moments of a group, around the pivot: rstd. `stores`: this thread writes mean and rstd.
template <class T>
GPU_DEVICE float store_statistics(const GroupCall<T>& call, int32_t row, float pivot,
                                  const Welford& w, bool stores) {
  const float var = w.square < 0 ? 0.0f : w.square * call.inv_n;
  const float rstd = rsqrt_fast(var + call.eps);
  if (stores) {
    store_value<T>(call.mean, row, w.mean_from(pivot));
    store_value<T>(call.rstd, row, rstd);
  }
  return rstd;
}

template <class T>
GPU_DEVICE GroupLines<T> lines_of(const GroupCall<T>& call, int32_t row, float pivot,
                                  const Welford& w, bool stores) {
  const float rstd = store_statistics(call, row, pivot, w, stores);
  return {call.weight, call.bias, row % call.groups * call.width, pivot, w.mean + w.low, rstd};
}

template <class T>
GPU_KERNEL(kRunThreads)
group_rows(GroupCall<T> call, int team) {
  await_earlier();
  const int teams = block_threads() / team;
  const int lane = thread_id() & (team - 1);
  auto row = static_cast<int32_t>(block_id() * teams + thread_id() / team);
  const bool ours = row < call.rows;  // the others come along for the shuffles
  if (!ours) row = call.rows - 1;
  const T* src = call.src + int64_t{row} * call.n;
  const Cut<T> cut(src, call.n);
  Words x[kGroupPacks];
  float ends[kMostEnds<T>];
  load_fitting(cut, src, lane, team, x);
  if (call.ragged) load_ends(cut, src, lane, team, 0.0f, ends);
  const float pivot = pivot_of(src, call.n);
  Welford w;
  add_packs_of(cut, x, lane, team, pivot, &w);
  if (call.ragged) {
    for_each_end<kMostEnds<T>>(cut, lane, team, [&](int e, int) { w.add(ends[e] - pivot); });
  }
  w = combine_lanes(w, team);
  if (!ours) return;
  const GroupLines<T> line = lines_of(call, row, pivot, w, lane == 0);
  T* dst = call.dst + int64_t{row} * call.n;
  const RunPointers<T, 1> run = {{src}, dst};
  if (!cut.fits(dst)) {
    for (int32_t i = lane; i < call.n; i += team) map_one(run, 0, i, call.channels, line);
    return;
  }
#pragma unroll
  for (int k = 0; k < kGroupPacks; ++k) {
    const int pack = lane + k * team;
    if (pack >= cut.whole) break;
    const Words words[1] = {x[k]};
    store_mapped(run, words, 0, cut.of_pack(pack), call.channels, line);
  }
  if (!call.ragged) return;
  for_each_end<kMostEnds<T>>(cut, lane, team,
                             [&](int, int i) { map_one(run, 0, i, call.channels, line); });
}

template <class T>
GPU_KERNEL(kRunThreads)
apply_moments(GroupCall<T> call, Runs runs, const float* moments) {
  await_earlier();
  const int64_t task = grid_blocks() - 1 - block_id();
  const auto row = static_cast<int32_t>(task / runs.chunks);
  const auto chunk = static_cast<int>(task % runs.chunks);
  const float pivot = pivot_of(moments, row, runs.chunks);
  const Welford w = moments_of(moments, row, runs.chunks);
  const GroupLines<T> line = lines_of(call, row, pivot, w, chunk == 0 && thread_id() == 0);
  int32_t at, n;
  runs.span(chunk, &at, &n);
  const int64_t first = row * runs.slice_stride + at;
  map_span<1, T>({{call.src + first}, call.dst + first}, at, n, thread_id(), block_threads(),
                 call.channels, line);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_FORWARD_H_
