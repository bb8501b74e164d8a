// group_norm_backward of groups that shared memory has room for, x and its gradient: one read of both. A
// cluster walks over groups: where a thread has stored a piece of one, that of the next group is on its
// way to the same place, or that of the one after it where there is room for two. A block has some of its cluster's units, each a channel or an equal part of one; a team
// of lanes takes the sums over a strip, of which one or several are a unit. The units' sums are what
// slice_sums() leaves elsewhere, for channel_sums(). All of it in pieces, packs where every channel is
// made of those, or else elements.
#ifndef POLYOPS_GPU_GROUP_NORM_BACKWARD_HELD_H_
#define POLYOPS_GPU_GROUP_NORM_BACKWARD_HELD_H_

#include "backward_units.h"
#include "channel_norm/walk_plan.h"

namespace polyops::gpu {
namespace {

// A group's pieces, if there is one at that place.
template <class T, int kWide>
GPU_DEVICE void begin_group(const GroupGradient<T>& call, const HeldGradient<T, kWide>& held,
                            int32_t pieces, int64_t at) {
#pragma unroll 4
  for (int32_t k = thread_id(); at >= 0 && k < pieces; k += block_threads()) {
    copy_piece(held.grad + k, call.grad + at + k * kWide);
    copy_piece(held.src + k, call.src + at + k * kWide);
  }
  close_copies();
}

// Results of a group, of whose lines `line` has all but the factor, which is `rstd` times a weight; then
// the pieces of the group at `next`, if there is one.
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

template <class T, int kWide>
GPU_KERNEL(kHeldThreads, 2)
group_gradient_held(GroupGradient<T> call, HeldUnits shape, int32_t rows) {
  GPU_SHARED(float, shared, 2 * kMostWaves);
  GPU_SHARED(float, tables, 2 * 2 * kMostCluster);
  GPU_SHARED(Mailbox, box, 1);
  GPU_DYNAMIC_SHARED(Words, memory);
  ClusterTable<2> table = {box, tables};
  const int blocks = cluster_blocks();
  auto row = static_cast<int32_t>(block_id() / blocks);
  const auto step = static_cast<int32_t>(grid_blocks() / blocks);
  const int32_t all = call.width * shape.parts;
  HeldGradient<T, kWide> held(memory, shape, all);
  const auto first_of = [&](int32_t of) {
    return of < rows ? (int64_t{of} * all + held.first) * shape.pieces * kWide : -1;
  };
  if (blocks > 1) {
    open_mailbox(box);
    cluster_arrive();
  }
  begin_group(call, held, held.units * shape.pieces, first_of(row));
  if (shape.places == 2) {
    held.turn(shape, false);
    begin_group(call, held, held.units * shape.pieces, first_of(row + step));
    held.turn(shape, true);
  }
  if (blocks > 1) cluster_wait();
  for (int turn = 0; row < rows; ++turn, row += step) {
    load_weights(call, held, shape, row);
    const float mean = load_value<T>(call.mean, row), rstd = load_value<T>(call.rstd, row);
    if (shape.places == 2) {
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    barrier();  // what others copied is there
    sum_strips(held, shape, mean);
    barrier();
    float sums[2] = {};
    sum_units(held, shape, rstd, sums);
    sum_block(sums, shared);
    if (blocks > 1) sum_cluster(sums, &table);
    store_units(call, held, shape, row);
    map_group(call, held, shape, first_of(row), first_of(row + shape.places * step), rstd,
              {0, mean, -rstd * rstd * sums[1] * call.inv_n, -rstd * sums[0] * call.inv_n});
    held.turn(shape, turn % 2 != 0);
  }
}

constexpr int64_t kMostUnitParts = 8;  // what the workspace has room for
constexpr int64_t kStripPieces = 64;   // or fewer; an odd number cannot be halved
constexpr int64_t kLeastAhead = 16
                                << 10;  // bytes of a group in a block, worth a place of their own

// Without blocks where there is no room. Channels of so many pieces of so many bytes. at_a_time(blocks): see
// plan_walk().
template <class F>
HeldPlan<HeldUnits> plan_held_gradient(int64_t rows, int64_t width, int64_t pieces, int64_t bytes,
                                       F at_a_time, const polyops_context* ctx) {
  const int64_t blocks = held_blocks(rows, width * pieces, 2 * bytes, ctx);
  int64_t parts = 1, unit = pieces;
  const auto count = [&] { return round_up_quotient(width * parts, blocks); };
  // Blocks with a unit more than others are at most an eighth larger.
  while (unit % 2 == 0 && parts < kMostUnitParts && count() * blocks * 8 > width * parts * 9) {
    parts *= 2;
    unit /= 2;
  }
  int64_t strip = unit;
  while (strip % 2 == 0 && strip > kStripPieces) strip /= 2;
  const int64_t strips = unit / strip;
  const int64_t besides = count() * (strips * 8 + 2 * 4), of_group = count() * unit * 2 * bytes;
  if (of_group + besides > most_shared(ctx)) return {};  // before anything is narrowed
  // Two groups, where that takes no more than all have turns for, and each is worth it.
  const int64_t room = room_for_blocks(2 * of_group + besides, ctx);
  const bool two = of_group >= kLeastAhead && room > 0 && rows > at_a_time(blocks) * room;
  const int64_t shared = (two ? 2 : 1) * of_group + besides;
  const HeldUnits shape = {static_cast<int32_t>(count()),
                           static_cast<int32_t>(unit),
                           static_cast<int32_t>(parts),
                           static_cast<int32_t>(strip),
                           static_cast<int32_t>(strips),
                           lanes_of(strip, 1, kHalfWave),
                           two ? 2 : 1,
                           Division(static_cast<uint32_t>(unit)),
                           Division(static_cast<uint32_t>(parts))};
  return plan_blocks(shape, rows, blocks, count() * unit, shared, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_BACKWARD_HELD_H_
