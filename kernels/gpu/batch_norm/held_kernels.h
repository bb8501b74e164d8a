// Batches whose channels fit into the shared memory of a cluster: all of a pass in one kernel, each
// tensor once. Bound: memory, 2 elements moved per element forward, 3 backward.
#ifndef POLYOPS_GPU_BATCH_NORM_HELD_KERNELS_H_
#define POLYOPS_GPU_BATCH_NORM_HELD_KERNELS_H_

#include "call.h"
#include "channel_norm/moments.h"
#include "channel_norm/sums.h"
#include "held.h"

namespace polyops::gpu {
namespace {

// Of the c-th channel of the tensor.
template <class T>
GPU_DEVICE float pivot_of_channel(const HeldTiles& of, const T* src, int32_t c) {
  const T* first = src + int64_t{c} * of.inner;
  const T* middle = first + int64_t{of.rows / 2} * of.stride;
  const T* last = first + int64_t{of.rows - 1} * of.stride;
  return median(widen(first[0]), widen(middle[of.inner / 2]), widen(last[of.inner - 1]));
}

// All of a thread's packs on their way into `held`, one after the other block_threads() apart.
template <class T>
GPU_DEVICE void begin_copies(const HeldTiles& of, const HeldShare<T>& share, const T* src,
                             Words* held) {
  share.for_each(
      of, [&](int k, int64_t offset) { copy_16_later(held + k * block_threads(), src + offset); });
}

// Calls f(x) for a thread's packs that are there.
template <class T, class F>
GPU_DEVICE void for_each_held(const Words* held, int count, F f) {
#pragma unroll 2
  for (int k = 0; k < count; ++k) {
    float x[kPack<T>];
    unpack<T>(held[k * block_threads()], x);
    f(x);
  }
}

// From the sums that all blocks have sent, of deviations from the mean and of their squares. The
// first is what rounding took from the mean. lines: [pivot, mean, ...][channels] becomes [pivot,
// scale, shift][channels].
template <class T>
GPU_DEVICE void finish_tile(const HeldTiles& of, const BatchCall& call, int32_t first,
                            const float* slots, float* lines) {
  float *means = lines + of.channels, *shifts = means + of.channels;
  for (int c = thread_id(); c < of.channels; c += block_threads()) {
    const float rest = sum_sent<2>(of, slots, 0, c), low = rest * call.inv_n;
    const float square = fmaf(-rest, low, sum_sent<2>(of, slots, 1, c));
    const ChannelMoments moments = {lines[c], means[c], low, square};
    const Line line = line_of(call, affine_of<T>(call, first + c), moments);
    if (cluster_rank() == 0) store_moments<T>(call, first + c, moments);
    means[c] = line.scale;
    shifts[c] = line.shift;
  }
  barrier();
}

// The mean first, then the squares around that, both of deviations from the pivot.
template <class T>
GPU_KERNEL(kHeldThreads)
hold_forward(HeldTiles of, BatchCall call, RunPointers<T, 1> p) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, held);
  auto* parts = reinterpret_cast<float*>(held + of.packs * block_threads());
  float *slots = parts + of.parts, *lines = parts + of.lines_at;
  float *later_slots = slots + of.blocks * of.channels, *means = lines + of.channels;
  const HeldShare<T> share(of);
  Words* mine = held + thread_id();
  begin_copies(of, share, p.in[0], mine);
  close_copies();
  const int32_t first = share.tile * of.channels;
  for (int c = thread_id(); c < of.channels; c += block_threads()) {
    lines[c] = pivot_of_channel(of, p.in[0], first + c);
  }
  cluster_barrier();  // all have begun, and the pivots are there
  float pivot[kPack<T>], mean[kPack<T>], scale[kPack<T>], shift[kPack<T>];
  gather(of, share, lines, pivot);
  wait_copies<0>();
  float sums[1][kPack<T>] = {}, later[2][kPack<T>] = {};
  for_each_held<T>(mine, share.count, [&](const float(&x)[kPack<T>]) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) sums[0][j] += x[j] - pivot[j];
  });
  send_sums(of, sums, parts, slots);
  cluster_barrier();
  for (int c = thread_id(); c < of.channels; c += block_threads()) {
    means[c] = sum_sent<1>(of, slots, 0, c) * call.inv_n;
  }
  barrier();
  gather(of, share, means, mean);
  for_each_held<T>(mine, share.count, [&](const float(&x)[kPack<T>]) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      const float d = (x[j] - pivot[j]) - mean[j];
      later[0][j] += d;
      later[1][j] = fmaf(d, d, later[1][j]);
    }
  });
  send_sums(of, later, parts, later_slots);
  cluster_barrier();
  finish_tile<T>(of, call, first, later_slots, lines);
  gather(of, share, means, scale);
  gather(of, share, means + of.channels, shift);
  share.for_each(of, [&](int k, int64_t offset) {
    float x[kPack<T>];
    unpack<T>(mine[k * block_threads()], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      x[j] = Line{pivot[j], scale[j], shift[j]}({{x[j]}});
    }
    store_words(p.out + offset, pack<T>(x));
  });
}

// From what all blocks have sent. lines: [mean, factor, scale, shift][channels], of which the means
// are there.
template <class T>
GPU_DEVICE void finish_gradient_tile(const HeldTiles& of, const ChannelResults& to, int32_t first,
                                     const float* slots, float* lines) {
  for (int c = thread_id(); c < of.channels; c += block_threads()) {
    const float product = sum_sent<2>(of, slots, 0, c) * rstd_of<T>(to.statistics, first + c);
    const float sum = sum_sent<2>(of, slots, 1, c);
    if (cluster_rank() == 0) store_sums<T>(to, first + c, product, sum);
    const GradientLine line =
        gradient_line(channel_gradient<T>(to, first + c), to.inv_n, product, sum);
    lines[of.channels + c] = line.factor;
    lines[2 * of.channels + c] = line.scale;
    lines[3 * of.channels + c] = line.shift;
  }
  barrier();
}

// p.in: the gradient and src.
template <class T>
GPU_KERNEL(kHeldThreads)
hold_backward(HeldTiles of, ChannelResults to, RunPointers<T, 2> p) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, held);
  auto* parts = reinterpret_cast<float*>(held + 2 * of.packs * block_threads());
  float *slots = parts + of.parts, *lines = parts + of.lines_at;
  const HeldShare<T> share(of);
  Words *grads = held + thread_id(), *srcs = grads + of.packs * block_threads();
  begin_copies(of, share, p.in[0], grads);
  begin_copies(of, share, p.in[1], srcs);
  close_copies();
  const int32_t first = share.tile * of.channels;
  for (int c = thread_id(); c < of.channels; c += block_threads()) {
    lines[c] = load_value<T>(to.statistics.mean, first + c);
  }
  cluster_barrier();  // all have begun, and the means are there
  float mean[kPack<T>], factor[kPack<T>], scale[kPack<T>], shift[kPack<T>];
  gather(of, share, lines, mean);
  wait_copies<0>();
  float sums[2][kPack<T>] = {};
#pragma unroll 2
  for (int k = 0; k < share.count; ++k) {
    float g[kPack<T>], x[kPack<T>];
    unpack<T>(grads[k * block_threads()], g);
    unpack<T>(srcs[k * block_threads()], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      sums[0][j] = fmaf(g[j], x[j] - mean[j], sums[0][j]);
      sums[1][j] += g[j];
    }
  }
  send_sums(of, sums, parts, slots);
  cluster_barrier();
  finish_gradient_tile<T>(of, to, first, slots, lines);
  gather(of, share, lines + of.channels, factor);
  gather(of, share, lines + 2 * of.channels, scale);
  gather(of, share, lines + 3 * of.channels, shift);
  share.for_each(of, [&](int k, int64_t offset) {
    float g[kPack<T>], x[kPack<T>];
    unpack<T>(grads[k * block_threads()], g);
    unpack<T>(srcs[k * block_threads()], x);
    if (to.constant) {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) x[j] = g[j] * factor[j];
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        x[j] = GradientLine{factor[j], mean[j], scale[j], shift[j]}({{g[j], x[j]}});
      }
    }
    store_words(p.out + offset, pack<T>(x));
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_HELD_KERNELS_H_
