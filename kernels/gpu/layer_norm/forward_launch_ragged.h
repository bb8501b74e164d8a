// Which kernels of layer_norm and rms_norm a call takes where some row or parameter begins between
// 16 aligned bytes, or is too long for the registers of a cluster: what blocks that stay for some
// rows get of shared memory, and how many of them there are.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_RAGGED_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_RAGGED_H_

#include "forward_cluster.h"
#include "forward_long.h"
#include "forward_ragged.h"
#include "shared_memory.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kMostTurns = 64;

// What a block may ask for, so many of which share a multiprocessor: less what they have besides.
constexpr int64_t kBesides =
    sizeof(float) * (4 * kMomentsShared + 2 * kSpreadValues * kMostCluster + 4);  // and the mailbox
inline int64_t shared_of_block(const polyops_context* ctx, int blocks) {
  return shared_each(ctx, blocks) - kBesides;
}

// As many packs of the parameters of n elements as there is room for; returns their bytes.
template <class Norm, class T, class P>
int64_t stage_parameters(ForwardCall<Norm, T, P>* call, int64_t n, int64_t room) {
  constexpr int64_t kBytes = Norm::kParameters * kPack<T> * sizeof(P);
  const int64_t packs = packs_of(n, kPack<T>, !call->ragged);
  room = room > 0 ? room / kBytes : 0;
  call->staged = static_cast<int32_t>(packs < room ? packs : room);
  return call->staged * kBytes;
}

template <class Norm, class T, class P>
int launch_long(ForwardCall<Norm, T, P> call, const polyops_context* ctx) {
  const int64_t packs = call.n / kPack<T>;
  const Plan plan =
      plan_turns(call.row_count, 1, call.ragged ? kPack<T> : 1, multiprocessors(ctx), kMostTurns);
  call.turns = plan.turns;
  constexpr int64_t kChunk = kLongPacks * kLongThreads;
  int64_t room = shared_of_block(ctx, 1);
  const int64_t before = (packs + kChunk - 1) / kChunk - 1;  // the last chunk
  int64_t parked = room / (kChunk * 16);
  if (parked > before) parked = before;
  room -= parked * kChunk * 16;
  const int64_t bytes = stage_parameters(&call, call.n, room) + parked * kChunk * 16;
  return launch(forward_long<Norm, T, P>, {plan.blocks, kLongThreads, static_cast<size_t>(bytes)},
                ctx, call, static_cast<int>(parked));
}

// Lanes of a row. More with fewer packs each, where there are too few rows to fill multiprocessors.
constexpr int64_t kFillThreads = 1024;
inline int row_team(int64_t rows, int64_t packs, int most_packs, int most,
                    const polyops_context* ctx) {
  int team = team_of(packs, most_packs);
  for (int each = most_packs / 2; each > 1; each /= 2) {
    const int wider = team_of(packs, each);
    if (rows * team >= kFillThreads * multiprocessors(ctx) || wider > most) break;
    team = wider;
  }
  return team;
}

// Teams of a block for rows of so many packs, and its threads.
struct TeamsOfBlock {
  Teams teams;
  LaunchShape shape;
};
inline TeamsOfBlock teams_of_block(int64_t rows, int64_t packs, int most_packs, int most,
                                   const polyops_context* ctx) {
  Teams teams = {row_team(rows, packs, most_packs, most, ctx), 31, 1, 0, false};
  teams.rounds = static_cast<int32_t>(packs / teams.lanes);
  teams.few = rows * int64_t{teams.lanes} < kFillThreads * multiprocessors(ctx);
  int threads = teams.lanes;
  if (teams.lanes <= kHalfWave) {
    threads = threads_of(rows, teams.lanes, kTeamThreads);
    teams.in_block = threads / teams.lanes;
    teams.lanes_log2 = 0;
    while (1 << teams.lanes_log2 < teams.lanes) ++teams.lanes_log2;
  }
  return {teams, {(rows - 1) / teams.in_block + 1, threads}};
}

// Elements of a call that is worth the copies of its parameters, which are another launch: in all,
// as the workspace sees it, and for each multiprocessor.
constexpr int64_t kLeastCut = 1 << 17, kCutForEach = 1 << 12;

// Of a parameter's copy, if there are any, and 0 if not: whatever the memory is.
template <class Norm, class T>
int32_t cut_stride(const typename Norm::Args& a, const Shape& shape) {
  const Walk<1> rows = make_walk<1>({&a.src}, Order::kDimensions, 0, shape.first_normalized);
  if (shape.rows * shape.n < kLeastCut || shape.n / kPack<T> > kRowPacks * kRaggedRow) return 0;
  if (shape.n % kPack<T> == 0 && rows_aligned(rows, 0, nullptr, kPack<T>)) return 0;
  return static_cast<int32_t>((shape.n + kPack<T> - 1) / kPack<T> * kPack<T>);
}

template <class Norm, class T, class P>
int launch_ragged(const ForwardCall<Norm, T, P>& call, const typename Norm::Args& a,
                  const Shape& shape, const polyops_context* ctx) {
  using Cuts = CutParameters<T, P, Norm::kParameters>;
  Cuts cuts = {nullptr, 0};
  const bool large = shape.rows * shape.n >= kCutForEach * multiprocessors(ctx);
  if (large) cuts.stride = cut_stride<Norm, T>(a, shape);
  if (cuts.stride > 0) {
    cuts.copies = static_cast<P*>(ctx->scratch);
    const int64_t threads = int64_t{Cuts::kCopies} * cuts.stride / kPack<P>;
    const int status = launch(cut_parameters<T, P, Norm::kParameters>,
                              {(threads - 1) / kCutThreads + 1, kCutThreads}, ctx, call.weight,
                              call.bias, call.n, cuts);
    if (status != POLYOPS_OK) return status;
  }
  const auto [teams, blocks] =
      teams_of_block(call.row_count, call.n / kPack<T>, kRowPacks, kRaggedRow, ctx);
  return launch(forward_ragged<Norm, T, P>, blocks, ctx, call, teams, cuts);
}

// Of two blocks of a multiprocessor one loads while the other one waits for its cluster.
template <class Norm, class T, class P>
int launch_cluster(ForwardCall<Norm, T, P> call, const polyops_context* ctx) {
  constexpr int64_t kSection = int64_t{kClusterPacks} * kPack<T> * kClusterThreads;
  const int most = most_cluster(ctx);
  int blocks = 2;
  while (blocks < most && call.n > blocks * kSection / 2) blocks *= 2;
  const Sections sections = cut_in_sections(call.n, blocks, kPack<T>);
  const int threads = team_of(sections.elements / kPack<T>, kClusterPacks);
  const int together = 2 * threads <= kClusterThreads ? 2 : 1;
  const int64_t slots = int64_t{16} * kClusterPacks * threads;
  const int64_t room = shared_of_block(ctx, together);
  if (most == 1 || call.n > blocks * kSection || room < slots) return launch_long(call, ctx);
  const int64_t bytes = slots + stage_parameters(&call, sections.elements, room - slots);
  LaunchShape shape = {blocks, threads, static_cast<size_t>(bytes), blocks};
  const int64_t at_a_time = clusters_at_a_time(forward_cluster<Norm, T, P>, shape, ctx);
  const Plan plan =
      plan_waves(call.row_count, call.ragged ? kPack<T> : 1, at_a_time, call.row_count);
  call.turns = plan.turns;
  shape.blocks *= plan.blocks;
  return launch(forward_cluster<Norm, T, P>, shape, ctx, call, sections.elements);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_RAGGED_H_
