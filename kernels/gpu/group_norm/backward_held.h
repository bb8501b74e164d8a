// group_norm_backward of groups that shared memory has room for, x and its gradient: one read of
// both. A cluster or a team walks over groups: where a thread has stored a piece of one, that of
// the next group is on its way to the same place. A block has some of their units, each a channel
// or an equal part of one; a team of lanes takes the sums over a strip, of which one or several are
// a unit. The units' sums are what slice_sums() leaves elsewhere, for channel_sums(). All of it in
// pieces, packs where every channel is made of those, or else elements.
#ifndef POLYOPS_GPU_GROUP_NORM_BACKWARD_HELD_H_
#define POLYOPS_GPU_GROUP_NORM_BACKWARD_HELD_H_

#include "backward.h"
#include "backward_plan.h"
#include "channel_norm/walk_team.h"
#include "piece.h"

namespace polyops::gpu {
namespace {

// What a block has, in shared memory.
template <class T, int kWide>
struct HeldGradient {
  Piece<T, kWide>*grad, *src;
  float* sums;     // [grad x_hat / rstd, grad][strips]
  float* weights;  // of the units, in two places in turn
  int32_t first, units, strips;

  GPU_DEVICE HeldGradient(Words* memory, const HeldUnits& shape, int32_t all, int64_t rank,
                          int blocks) {
    first = static_cast<int32_t>(all * rank / blocks);
    units = static_cast<int32_t>(all * (rank + 1) / blocks) - first;
    strips = units * shape.strips;
    grad = reinterpret_cast<Piece<T, kWide>*>(memory);
    src = grad + shape.count * shape.pieces;
    sums = reinterpret_cast<float*>(src + shape.count * shape.pieces);
    weights = sums + 2 * shape.count * shape.strips;
  }
};

template <class T, int kWide>
GPU_DEVICE void copy_piece(Piece<T, kWide>* to, const T* from) {
  if constexpr (kWide == 1) {
    to->load(from);
  } else {
    copy_16_later(to, from);
  }
}

// Each sum in two parts, which do not wait for each other.
template <class T, int kWide>
GPU_DEVICE void add_products(const Piece<T, kWide>& grad, const Piece<T, kWide>& src, float mean,
                             float (&products)[2], float (&sums)[2]) {
  float g[kWide], x[kWide];
  grad.get(g);
  src.get(x);
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    products[j % 2] = fmaf(g[j], x[j] - mean, products[j % 2]);
    sums[j % 2] += g[j];
  }
}

// Every strip by a team, whose lanes come along for the shuffles.
template <class T, int kWide>
GPU_DEVICE void sum_strips(const HeldGradient<T, kWide>& held, const HeldUnits& shape, float mean) {
  const int lane = thread_id() & (shape.team - 1), teams = block_threads() / shape.team;
  for (int32_t first = 0; first < held.strips; first += teams) {
    const int32_t strip = first + thread_id() / shape.team;
    const bool ours = strip < held.strips;
    float products[2] = {}, sums[2] = {};
    const int32_t at = strip * shape.strip;
#pragma unroll 2
    for (int32_t k = lane; ours && k < shape.strip; k += shape.team) {
      add_products(held.grad[at + k], held.src[at + k], mean, products, sums);
    }
    float both[2] = {products[0] + products[1], sums[0] + sums[1]};
    sum_lanes(both, shape.team);
    if (!ours || lane != 0) continue;
    held.sums[strip] = both[0];
    held.sums[held.strips + strip] = both[1];
  }
}

// Of the block: sums of weight grad and weight grad x_hat. A unit's sums take the place of those of
// its first strip.
template <class T, int kWide>
GPU_DEVICE void sum_units(const HeldGradient<T, kWide>& held, const HeldUnits& shape, float rstd,
                          float (&sums)[2]) {
  for (int32_t u = thread_id(); u < held.units; u += block_threads()) {
    float* const products = held.sums + u * shape.strips;
    float* const grads = products + held.strips;
    float product = products[0], sum = grads[0];
#pragma unroll 1
    for (int32_t i = 1; i < shape.strips; ++i) {
      product += products[i];
      sum += grads[i];
    }
    products[0] = product *= rstd;
    grads[0] = sum;
    sums[0] = fmaf(held.weights[u], sum, sums[0]);
    sums[1] = fmaf(held.weights[u], product, sums[1]);
  }
}

// The units' sums to the workspace, each by the thread that took them.
template <class T, int kWide>
GPU_DEVICE void store_units(const GroupGradient<T>& call, const HeldGradient<T, kWide>& held,
                            const HeldUnits& shape, int32_t row) {
  const int32_t all = call.groups * call.width;
  for (int32_t u = thread_id(); u < held.units; u += block_threads()) {
    auto channel = static_cast<uint32_t>(held.first + u);
    const auto part = static_cast<int32_t>(take_remainder(shape.by_parts, &channel));
    const int64_t to = int64_t{row / call.groups} * shape.parts + part;
    float* out = call.sums + to * 2 * all + row % call.groups * call.width + channel;
    out[0] = held.sums[u * shape.strips];
    out[all] = held.sums[held.strips + u * shape.strips];
  }
}

template <class T, int kWide>
GPU_DEVICE void load_weights(const GroupGradient<T>& call, const HeldGradient<T, kWide>& held,
                             const HeldUnits& shape, int32_t row) {
  for (int32_t u = thread_id(); u < held.units; u += block_threads()) {
    const auto channel =
        static_cast<int32_t>(shape.by_parts.quotient(static_cast<uint32_t>(held.first + u)));
    held.weights[u] = call.weight.data == nullptr
                          ? 1.0f
                          : load_value<T>(call.weight, row % call.groups * call.width + channel);
  }
}

// The first group's pieces.
template <class T, int kWide>
GPU_DEVICE void begin_group(const HeldGradient<T, kWide>& held, int32_t pieces, const T* grad,
                            const T* src) {
#pragma unroll 4
  for (int32_t k = thread_id(); k < pieces; k += block_threads()) {
    copy_piece(held.grad + k, grad + k * kWide);
    copy_piece(held.src + k, src + k * kWide);
  }
  close_copies();
}

// While blocks wait for each other: the first pieces of the group at `next` are on their way to the
// second-level cache, see prefetch_channel().
template <class T, int kWide>
GPU_DEVICE void prefetch_group(const GroupGradient<T>& call, int32_t pieces, int64_t next) {
  if (kWide == 1 || next < 0 || pieces < 1 || thread_id() != 0) return;
  const int64_t bytes = int64_t{pieces} * sizeof(Piece<T, kWide>);
  prefetch_run(call.grad + next, bytes);
  prefetch_run(call.src + next, bytes);
}

// Results of a group, of whose lines `line` has all but the factor, which is `rstd` times a weight;
// then the pieces of the group at `next`, if there is one.
template <class T, int kWide>
GPU_DEVICE void map_group(const GroupGradient<T>& call, const HeldGradient<T, kWide>& held,
                          const HeldUnits& shape, int64_t at, int64_t next, float rstd,
                          GradientLine line) {
  const int32_t pieces = held.units * shape.pieces;
  T* const to = call.grad_src + at;
  const T* const grad = next < 0 ? nullptr : call.grad + next;
  const T* const src = next < 0 ? nullptr : call.src + next;
#pragma unroll 2
  for (int32_t k = thread_id(); k < pieces; k += block_threads()) {
    line.factor = rstd * held.weights[shape.by_pieces.quotient(static_cast<uint32_t>(k))];
    float x[2][kWide], y[kWide];
    held.grad[k].get(x[0]);
    held.src[k].get(x[1]);
#pragma unroll
    for (int j = 0; j < kWide; ++j) y[j] = line(operands(x, j));
    Piece<T, kWide>::store(to + k * kWide, y);
    if (grad == nullptr) continue;
    copy_piece(held.grad + k, grad + k * kWide);
    copy_piece(held.src + k, src + k * kWide);
  }
  close_copies();
}

template <class T, int kWide, class By>
GPU_KERNEL(kHeldThreads, 2)
group_gradient_held(GroupGradient<T> call, HeldUnits shape, int32_t rows, By by) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  GPU_SHARED(float, tables, 2 * 2 * kMostCluster);
  GPU_SHARED(Mailbox, box, 1);
  GPU_DYNAMIC_SHARED(Words, memory);
  let_later_begin();
  WalkTeam<2, By> team(by, box, tables);
  const int blocks = team.blocks();
  auto row = static_cast<int32_t>(block_id() / blocks);
  const auto step = static_cast<int32_t>(grid_blocks() / blocks);
  const int32_t all = call.width * shape.parts;
  HeldGradient<T, kWide> held(memory, shape, all, team.rank(), blocks);
  const auto first_of = [&](int32_t of) {
    return (int64_t{of} * all + held.first) * shape.pieces * kWide;
  };
  int64_t at = first_of(row);
  open_team(team,
            [&] { begin_group(held, held.units * shape.pieces, call.grad + at, call.src + at); });
  int turn = 0;
  for (; row < rows; ++turn, row += step) {
    load_weights(call, held, shape, row);
    const float mean = load_value<T>(call.mean, row), rstd = load_value<T>(call.rstd, row);
    wait_copies<0>();
    barrier();  // what others copied is there
    const int64_t next = row + step < rows ? first_of(row + step) : -1;
    const int32_t pieces = held.units * shape.pieces;
    prefetch_group<T, kWide>(call, pieces < shape.early ? pieces : shape.early, next);
    sum_strips(held, shape, mean);
    barrier();
    float sums[2] = {};
    sum_units(held, shape, rstd, sums);
    sum_block(sums, shared);
    team.sum(sums);
    store_units(call, held, shape, row);
    map_group(call, held, shape, at, next, rstd,
              {0, mean, -rstd * rstd * sums[1] * call.inv_n, -rstd * sums[0] * call.inv_n});
    at = next;
    held.weights += turn % 2 == 0 ? shape.count : -shape.count;
  }
  team.close(turn);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_BACKWARD_HELD_H_
