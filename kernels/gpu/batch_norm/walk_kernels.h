// The kernels that walk over channels (walk.h): all of a pass in one, each tensor once. Bound: memory,
// 2 elements moved per element forward, 3 backward.
#ifndef POLYOPS_GPU_BATCH_NORM_WALK_KERNELS_H_
#define POLYOPS_GPU_BATCH_NORM_WALK_KERNELS_H_

#include "call.h"
#include "channel_norm/moments.h"
#include "channel_norm/sums.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Of the wave's packs, which arrive meanwhile: around the mean of the first of each lane, so that the
// squares are at most as many times those around the mean of all as a lane has packs, and one.
template <class T>
GPU_DEVICE Welford moments_of_wave(const ChannelWalk& of, const WalkShare& share,
                                   const Words* mine) {
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
  for_each_arriving<0>(of, share.count, [&](int32_t k) {
    add_pack<T>(mine[k * block_threads()], center, 0.0f, sums);
  });
  float all[3] = {sums[0], sums[1], static_cast<float>(share.count * kPack<T>)};
  sum_lanes(all, wave_size());
  return moved(center, all[0], all[1], all[2]);
}

constexpr int kWalkValues = 3;  // that blocks send each other
constexpr int kWalkShared = 4 * kMostWaves;

// Of the block, from those of its waves. `shared`: kWalkShared elements that nobody uses since the last
// barrier but one.
GPU_DEVICE Welford moments_of_block(const Welford& w, float count, float* shared) {
  const int lane = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (lane == 0) {
    shared[wave] = w.mean;
    shared[kMostWaves + wave] = w.square;
    shared[2 * kMostWaves + wave] = w.count;
    shared[3 * kMostWaves + wave] = w.low;
  }
  barrier();
  Welford one;
  if (lane < block_threads() / wave_size()) {
    one = {shared[lane], shared[kMostWaves + lane], shared[2 * kMostWaves + lane],
           shared[3 * kMostWaves + lane]};
  }
  return merged(one, shared[0], count, wave_size());
}

// Of the cluster. count: of any block but the last.
GPU_DEVICE Welford moments_of_cluster(const Welford& w, float count, float last,
                                      ClusterTable<kWalkValues>* table) {
  table->post(0, w.mean);
  table->post(1, w.square);
  table->post(2, w.low);
  table->wait();
  const int slot = thread_id() % kMostCluster;
  const Welford one = {from_cluster(table->values(0), 0.0f), from_cluster(table->values(1), 0.0f),
                       slot < cluster_blocks() - 1 ? count : slot < cluster_blocks() ? last : 0.0f,
                       from_cluster(table->values(2), 0.0f)};
  const float all = fmaf(static_cast<float>(cluster_blocks() - 1), count, last);
  const float first = table->values(0)[0];
  ++table->turn;
  return merged(one, first, all, kMostCluster);
}

template <class T>
GPU_KERNEL(kWalkThreads)
walk_forward(ChannelWalk of, BatchCall call, RunPointers<T, 1> p) {
  GPU_DYNAMIC_SHARED(Words, held);
  GPU_SHARED(float, shared, 2 * kWalkShared);
  GPU_SHARED(float, tables, 2 * kWalkValues * kMostCluster);
  GPU_SHARED(Mailbox, box, 1);
  ClusterTable<kWalkValues> table = {box, tables};
  const int blocks = cluster_blocks();
  const WalkShare share(of);
  const int64_t row = int64_t{of.width} * kPack<T>;
  auto channel = static_cast<int32_t>(block_id() / blocks);
  const auto step = static_cast<int32_t>(grid_blocks() / blocks);
  Words* const mine = held + thread_id();
  if (blocks > 1) {
    open_mailbox(box);
    cluster_arrive();
  }
  begin_walk<T, 1>(of, share, {p.in[0] + channel * row}, mine, 0);
  if (blocks > 1) cluster_wait();
  const auto own = static_cast<float>(share.end * kPack<T>);
  const auto last = static_cast<float>((of.packs - (blocks - 1) * of.part) * kPack<T>);
  for (int turn = 0; channel < of.channels; ++turn, channel += step) {
    const ChannelAffine affine = affine_of<T>(call, channel);
    Welford w = moments_of_wave<T>(of, share, mine);
    w = moments_of_block(w, own, shared + turn % 2 * kWalkShared);
    if (blocks > 1) {
      w = moments_of_cluster(w, static_cast<float>(of.part * kPack<T>), last, &table);
    }
    const ChannelMoments moments = {w.mean, 0, w.low, w.square};
    const Line line = line_of(call, affine, moments);
    const T* const next = p.in[0] + (channel + step) * row;
    T* const dst = p.out + channel * row;
    const bool more = channel + step < of.channels;
    share.for_each(
        of,
        [&](int k, uint32_t pack) {
          Words* const place = mine + k * block_threads();
          float x[kPack<T>];
          unpack<T>(*place, x);
#pragma unroll
          for (int j = 0; j < kPack<T>; ++j) x[j] = line({{x[j]}});
          store_words(dst + uint64_t{pack} * kPack<T>, gpu::pack<T>(x));
          if (more) copy_pack(place, next, pack);
        },
        [] { close_copies(); });
    if (cluster_rank() == 0 && thread_id() == 0) store_moments<T>(call, channel, moments);
  }
}

// The sums of grad (src - mean) and grad over the block, as they arrive.
template <class T>
GPU_DEVICE void sums_of_block(const ChannelWalk& of, const WalkShare& share, const Words* grads,
                              const Words* srcs, float mean, float* shared, float (&sums)[2]) {
  float products[2] = {}, plain[2] = {};
  for_each_arriving<0>(of, share.count, [&](int32_t k) {
    float g[kPack<T>], x[kPack<T>];
    unpack<T>(grads[k * block_threads()], g);
    unpack<T>(srcs[k * block_threads()], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      products[j % 2] = fmaf(g[j], x[j] - mean, products[j % 2]);
      plain[j % 2] += g[j];
    }
  });
  sums[0] = products[0] + products[1];
  sums[1] = plain[0] + plain[1];
  sum_team(sums, block_threads(), shared);
}

// p.in: the gradient and src. kConstant: the moments are no function of src, as in evaluation.
template <class T, bool kConstant>
GPU_KERNEL(kWalkThreads)
walk_backward(ChannelWalk of, ChannelResults to, RunPointers<T, 2> p) {
  GPU_DYNAMIC_SHARED(Words, held);
  GPU_SHARED(float, shared, 2 * 2 * kMostWaves);
  GPU_SHARED(float, tables, 2 * 2 * kMostCluster);
  GPU_SHARED(Mailbox, box, 1);
  ClusterTable<2> table = {box, tables};
  const WalkShare share(of);
  const int64_t row = int64_t{of.width} * kPack<T>;
  const int32_t size = of.part;
  auto channel = static_cast<int32_t>(block_id() / cluster_blocks());
  const auto step = static_cast<int32_t>(grid_blocks() / cluster_blocks());
  Words *const grads = held + thread_id(), *const srcs = grads + size;
  if (cluster_blocks() > 1) {
    open_mailbox(box);
    cluster_arrive();
  }
  begin_walk<T, 2>(of, share, {p.in[0] + channel * row, p.in[1] + channel * row}, grads, size);
  if (cluster_blocks() > 1) cluster_wait();
  for (int turn = 0; channel < of.channels; ++turn, channel += step) {
    const ChannelGradient from = channel_gradient<T>(to, channel);
    float sums[2];
    sums_of_block<T>(of, share, grads, srcs, from.mean, shared + turn % 2 * 2 * kMostWaves, sums);
    if (cluster_blocks() > 1) sum_cluster(sums, &table);
    const float product = sums[0] * from.rstd;
    const GradientLine line = gradient_line(from, to.inv_n, product, sums[1]);
    const int64_t next = (channel + step) * row;
    T* const dst = p.out + channel * row;
    const bool more = channel + step < of.channels;
    share.for_each(
        of,
        [&](int k, uint32_t pack) {
          Words *const grad = grads + k * block_threads(), *const src = grad + size;
          float g[kPack<T>], x[kPack<T>];
          unpack<T>(*grad, g);
          unpack<T>(*src, x);
#pragma unroll
          for (int j = 0; j < kPack<T>; ++j) {
            x[j] = kConstant ? g[j] * line.factor : line({{g[j], x[j]}});
          }
          store_words(dst + uint64_t{pack} * kPack<T>, gpu::pack<T>(x));
          if (!more) return;
          copy_pack(grad, p.in[0] + next, pack);
          copy_pack(src, p.in[1] + next, pack);
        },
        [] { close_copies(); });
    if (cluster_rank() == 0 && thread_id() == 0) store_sums<T>(to, channel, product, sums[1]);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_WALK_KERNELS_H_
