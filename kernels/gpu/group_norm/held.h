// group_norm of groups that shared memory has room for, that of a block or of a cluster of blocks.
// Every thread copies its packs there, all of them at once, and looks at them twice: for the
// moments, as they arrive, and for the results. So a group is read once, and as its packs take no
// registers, several blocks share a multiprocessor: some load while others store.
#ifndef POLYOPS_GPU_GROUP_NORM_HELD_H_
#define POLYOPS_GPU_GROUP_NORM_HELD_H_

#include "forward.h"
#include "held_plan.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// A block's part of its group.
struct HeldShape {
  int32_t packs;     // of every block but the last, which may have fewer
  int32_t channels;  // that they lie in, at most
  int32_t stage;     // packs
};

struct HeldLines {
  const Affine* affine;  // of the block's first channel
  int32_t first;
  float center, shift, factor;

  GPU_DEVICE Line operator()(int32_t channel) const {
    const Affine of = affine[channel - first];
    const float scale = factor * of.weight;
    return {center, scale, fmaf(-shift, scale, of.bias)};
  }
};

// The channels from `first` on, by the whole block.
template <class T>
GPU_DEVICE void copy_affine(const GroupCall<T>& call, int32_t row, int32_t first, int32_t count,
                            Affine* affine) {
  const int32_t in_group = row % call.groups * call.width;
  for (int32_t c = thread_id(); c < count && first + c < call.width; c += block_threads()) {
    const int32_t at = in_group + first + c;
    affine[c].weight = call.weight.data == nullptr ? 1.0f : load_value<T>(call.weight, at);
    affine[c].bias = call.bias.data == nullptr ? 0.0f : load_value<T>(call.bias, at);
  }
}

constexpr int kStages = 4;  // in which a block's packs arrive

// What a block has of its group.
template <class T>
struct Held {
  Words* words;
  int32_t packs, stage;  // packs of a stage, the last one may have fewer
  bool has_end;          // this thread has an element that is in no pack
  float end;

  // Calls f(pack) for those of this thread, in one stage or all.
  template <class F>
  GPU_DEVICE void for_each_pack(int32_t from, int32_t to, F f) const {
    if (to > packs) to = packs;
#pragma unroll 4
    for (int32_t k = from + thread_id(); k < to; k += block_threads()) f(k);
  }
  template <class F>
  GPU_DEVICE void for_each_in(int of_stage, F f) const {
    for_each_pack(of_stage * stage, (of_stage + 1) * stage, f);
  }
  GPU_DEVICE void copy(const T* from) const {
#pragma unroll
    for (int s = 0; s < kStages; ++s) {
      for_each_in(s, [&](int32_t k) { copy_16_later(words + k, from + k * kPack<T>); });
      close_copies();
    }
  }
  template <int kStage>
  GPU_DEVICE void add_stages(float center, float (&sums)[2]) const {
    if constexpr (kStage < kStages) {
      wait_copies<kStages - 1 - kStage>();
      for_each_in(kStage, [&](int32_t k) { add_pack<T>(words[k], center, 0.0f, sums); });
      add_stages<kStage + 1>(center, sums);
    }
  }
};

// Around the mean of the first stage, while the others arrive: a quarter of the packs, so that the
// squares are at most four times those around the mean of all.
template <class T>
GPU_DEVICE Welford moments_of(const Held<T>& held, int32_t elements, float* shared) {
  const int32_t first = held.packs < held.stage ? held.packs : held.stage;
  const float weight = reciprocal_fast(static_cast<float>(first * kPack<T>));
  float means[2] = {};
  wait_copies<kStages - 1>();
  held.for_each_in(0, [&](int32_t k) {
    float x[kPack<T>];
    unpack<T>(held.words[k], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) means[j % 2] = fmaf(x[j], weight, means[j % 2]);
  });
  float center[1] = {means[0] + means[1]};
  sum_block(center, shared);
  float sums[2] = {};
  held.template add_stages<0>(center[0], sums);
  if (held.has_end) {
    const float d = held.end - center[0];
    sums[0] += d;
    sums[1] = fmaf(d, d, sums[1]);
  }
  sum_block(sums, shared + kMostWaves);
  const auto count = static_cast<float>(elements);
  const float shift = sums[0] * reciprocal_fast(count), mean = center[0] + shift;
  return {mean, fmaf(-sums[0], shift, sums[1]), count, shift - (mean - center[0])};
}

// Of the cluster, given those of each of its blocks. `slots`: 4 kMostCluster elements.
GPU_DEVICE Welford combine_cluster(const Welford& w, float* slots) {
  send_to_cluster(w.mean, slots);
  send_to_cluster(w.square, slots + kMostCluster);
  send_to_cluster(w.count, slots + 2 * kMostCluster);
  send_to_cluster(w.low, slots + 3 * kMostCluster);
  cluster_barrier();
  return combine_lanes(
      {from_cluster(slots, 0.0f), from_cluster(slots + kMostCluster, 0.0f),
       from_cluster(slots + 2 * kMostCluster, 0.0f), from_cluster(slots + 3 * kMostCluster, 0.0f)},
      kMostCluster);
}

template <class T>
GPU_KERNEL(kHeldThreads, 2)
group_held(GroupCall<T> call, HeldShape shape) {
  await_earlier();
  GPU_SHARED(float, shared, 3 * kMostWaves);
  GPU_SHARED(float, slots, 4 * kMostCluster);
  GPU_DYNAMIC_SHARED(Words, memory);
  const int blocks = cluster_blocks(), rank = cluster_rank(), lane = thread_id();
  const auto row = static_cast<int32_t>(static_cast<uint32_t>(block_id()) / blocks);
  const T* src = call.src + int64_t{row} * call.n;
  T* dst = call.dst + int64_t{row} * call.n;
  const Cut<T> cut(src, call.n);
  const bool last = rank == blocks - 1;
  const int32_t from = rank * shape.packs < cut.whole ? rank * shape.packs : cut.whole;
  const int32_t packs = cut.whole - from < shape.packs ? cut.whole - from : shape.packs;
  const int32_t first = cut.of_pack(from);  // element
  Held<T> held = {memory, packs, shape.stage, false, 0};
  held.copy(src + first);
  int32_t place;
  auto* const affine = reinterpret_cast<Affine*>(memory + shape.packs);
  const int32_t channel = call.channels.of(first, &place);
  copy_affine(call, row, channel, shape.channels, affine);
  const int end = last && call.ragged && lane < 2 * kPack<T> ? cut.of_end(lane) : -1;
  held.has_end = end >= 0;
  if (held.has_end) held.end = widen(src[end]);
  if (blocks > 1) cluster_barrier();  // all have begun
  Welford w = moments_of(held, packs * kPack<T> + (last ? cut.ends() : 0), shared);
  if (blocks > 1) w = combine_cluster(w, slots);
  const float rstd =
      store_statistics(call, row, w.mean, {0, w.square, w.count, w.low}, rank == 0 && lane == 0);
  const HeldLines line = {affine, channel, w.mean, w.low, rstd};
  const RunPointers<T, 1> run = {{src + first}, dst + first};
  if (cut.fits(dst) && call.channels.inner >= kPack<T>) {
    held.for_each_pack(0, packs, [&](int32_t k) {
      const Words words[1] = {memory[k]};
      float y[kPack<T>];
      if (map_pack<T>(words, first + k * kPack<T>, call.channels, line, y)) {
        store_words(run.out + k * kPack<T>, pack<T>(y));
      }
    });
  } else {
    for (int32_t i = lane; i < packs * kPack<T>; i += block_threads()) {
      map_one(run, first, i, call.channels, line);
    }
  }
  if (end < 0) return;
  const GroupLines<T> of_end = {call.weight, call.bias, row % call.groups * call.width,
                                w.mean,      w.low,     rstd};
  map_one<1, T>({{src}, dst}, 0, end, call.channels, of_end);
}

inline int64_t shared_of(const HeldShape& shape) {
  return int64_t{16} * shape.packs + static_cast<int64_t>(sizeof(Affine)) * shape.channels;
}

constexpr int64_t kHeldChannels = 1024;  // of a block

// Without blocks where there is no room.
inline HeldPlan<HeldShape> plan_held(int64_t rows, int64_t n, int64_t width, int per_pack,
                                     const polyops_context* ctx) {
  const int64_t packs = n / per_pack, blocks = held_blocks(rows, packs, 16, ctx);
  const int64_t of_block = round_up_quotient(packs, blocks);
  const int64_t touched = of_block * per_pack / (n / width) + 2;
  const int64_t channels = touched < width ? touched : width;
  if (channels > kHeldChannels) return {};
  const HeldShape shape = {static_cast<int32_t>(of_block), static_cast<int32_t>(channels), 0};
  auto plan = plan_blocks(shape, rows, blocks, of_block, shared_of(shape), ctx);
  if (plan.blocks > 0) {
    const int64_t of_thread = round_up_quotient(of_block, plan.threads);
    plan.shape.stage = static_cast<int32_t>(round_up_quotient(of_thread, kStages) * plan.threads);
  }
  return plan;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_HELD_H_
