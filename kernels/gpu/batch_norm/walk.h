// Walking over channels (channel_norm/walk.h): all of a pass in one kernel, each tensor once. Bound:
// memory, 2 elements moved per element forward, 3 backward.
#ifndef POLYOPS_GPU_BATCH_NORM_WALK_H_
#define POLYOPS_GPU_BATCH_NORM_WALK_H_

#include "call.h"
#include "channel_norm/sums.h"
#include "channel_norm/walk_forward.h"

namespace polyops::gpu {
namespace {

// See walk_forward().
template <class T>
struct BatchWalk {
  BatchCall call;

  struct SameLine {
    Line line;
    GPU_DEVICE Line operator()(uint32_t) const { return line; }
  };

  GPU_DEVICE ChannelAffine load(int32_t channel) const { return affine_of<T>(call, channel); }
  GPU_DEVICE void stage(const ChannelAffine&, int, float*) const {}
  GPU_DEVICE SameLine lines(const ChannelAffine& affine, int, const float*,
                            const Welford& w) const {
    return {line_of(call, affine, {w.mean, 0, w.low, w.square})};
  }
  GPU_DEVICE void store(int32_t channel, const Welford& w) const {
    store_moments<T>(call, channel, {w.mean, 0, w.low, w.square});
  }
};

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

#endif  // POLYOPS_GPU_BATCH_NORM_WALK_H_
