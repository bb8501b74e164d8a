// Walking over channels (channel_norm/walk.h): all of a pass in one kernel, each tensor once where
// there is room. Bound: memory, 2 elements moved per element forward, 3 backward.
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

// A thread's sums of grad (src - mean) and grad, as they arrive. channel: of both tensors.
template <class T, bool kHoldsAll>
GPU_DEVICE void sums_of_thread(const ChannelWalk& of, const WalkShare& share, const Words* grads,
                               const T* const (&channel)[2], float mean, float (&sums)[2]) {
  float products[2] = {}, plain[2] = {};
  const auto add = [&](const Words& grad, const Words& src) {
    float g[kPack<T>], x[kPack<T>];
    unpack<T>(grad, g);
    unpack<T>(src, x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      products[j % 2] = fmaf(g[j], x[j] - mean, products[j % 2]);
      plain[j % 2] += g[j];
    }
  };
  for_each_arriving<0>(
      of, share.held,
      [&](int32_t k) { add(grads[k * block_threads()], grads[of.places + k * block_threads()]); },
      [&] {
        if constexpr (!kHoldsAll) {
          for_each_beyond<false>(of, share, channel, [&](uint32_t, const Words(&words)[2]) {
            add(words[0], words[1]);
          });
        }
      });
  sums[0] = products[0] + products[1];
  sums[1] = plain[0] + plain[1];
}

// See store_walked().
template <class T, bool kHoldsAll>
GPU_DEVICE void store_gradient(const ChannelWalk& of, const WalkShare& share,
                               const GradientLine& line, bool constant, const RunPointers<T, 2>& p,
                               int64_t channel, int64_t next, Words* grads) {
  const int64_t row = int64_t{of.width} * kPack<T>;
  T* const dst = p.out + channel * row;
  const auto store = [&](uint32_t pack, const Words& grad, const Words& src) {
    float g[kPack<T>], x[kPack<T>];
    unpack<T>(grad, g);
    unpack<T>(src, x);
    map_gradients(line, constant, g, x);
    store_words(dst + uint64_t{pack} * kPack<T>, gpu::pack<T>(x));
  };
  if constexpr (!kHoldsAll) {
    for_each_beyond<true, T, 2>(
        of, share, {p.in[0] + channel * row, p.in[1] + channel * row},
        [&](uint32_t pack, const Words(&words)[2]) { store(pack, words[0], words[1]); });
  }
  const bool more = next < of.channels;
  share.for_each(
      of,
      [&](int k, uint32_t pack) {
        Words *const grad = grads + k * block_threads(), *const src = grad + of.places;
        store(pack, *grad, *src);
        if (!more) return;
        copy_pack(grad, p.in[0] + next * row, pack);
        copy_pack(src, p.in[1] + next * row, pack);
      },
      [] { close_copies(); });
}

// p.in: the gradient and src.
template <class T, class By>
GPU_KERNEL(kWalkThreads)
walk_backward(ChannelWalk of, ChannelResults to, RunPointers<T, 2> p, By by) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, held);
  GPU_SHARED(float, shared, 2 * 2 * kMostWaves);
  GPU_SHARED(float, tables, 2 * 2 * kMostCluster);
  GPU_SHARED(Mailbox, box, 1);
  using Team = WalkTeam<2, By>;
  Team team(by, box, tables);
  const WalkShare share(of, team.rank());
  auto channel = static_cast<int32_t>(block_id() / team.blocks());
  const auto step = static_cast<int32_t>(grid_blocks() / team.blocks());
  Words* const mine = held + thread_id();
  open_team(team, [&] { begin_walk<T, 2>(of, share, p.in, channel, mine); });
  int turn = 0;
  for (; channel < of.channels; ++turn, channel += step) {
    const ChannelGradient from = channel_gradient<T>(to, channel);
    const int64_t first = int64_t{channel} * of.width * kPack<T>;
    float sums[2];
    sums_of_thread<T, Team::kHoldsAll>(of, share, mine, {p.in[0] + first, p.in[1] + first},
                                       from.mean, sums);
    prefetch_channel<T, 2>(of, share, p.in, channel + step);
    sum_team(sums, block_threads(), shared + turn % 2 * 2 * kMostWaves);
    team.sum(sums);
    const float product = sums[0] * from.rstd;
    const GradientLine line = gradient_line(from, to.inv_n, product, sums[1]);
    store_gradient<T, Team::kHoldsAll>(of, share, line, to.constant, p, channel, channel + step,
                                       mine);
    if (team.rank() == 0 && thread_id() == 0) store_sums<T>(to, channel, product, sums[1]);
  }
  team.close(turn);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_WALK_H_
