// Calls of layer_norm and rms_norm whose rows are cut alike every few rows, and fill
// multiprocessors with teams: how many lanes have a row, or a section of it, and how many of these
// a block.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_ALIKE_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_ALIKE_H_

#include "forward_alike.h"
#include "forward_launch_ragged.h"
#include "shared_memory.h"

namespace polyops::gpu {
namespace {

// After how many rows one is cut as the first; 0: not all rows of the result as those of the input.
template <class Norm, class T, class P>
int alike_after(const ForwardCall<Norm, T, P>& call) {
  if (call.rows.rank != 1) return 0;
  const auto bytes = reinterpret_cast<uintptr_t>(call.src) - reinterpret_cast<uintptr_t>(call.dst);
  const int64_t step = call.rows.sizes[0] == 1 ? 0 : call.rows.strides[0][0];
  const int64_t apart = call.rows.sizes[0] == 1 ? 0 : call.rows.strides[1][0] - step;
  if (bytes % 16 != 0 || apart % kPack<T> != 0) return 0;
  int rows = 1;
  while (rows * step % kPack<T> != 0) rows *= 2;
  return rows;
}

// Two blocks of a multiprocessor, or one, have this many threads.
struct AlikeBlock {
  int together, threads;
  int64_t bytes;
};

// Of teams of so many lanes, and of so many bytes of parameters; no threads: no room for them.
template <class T>
AlikeBlock alike_block(int lanes, int64_t parameters, const polyops_context* ctx) {
  // Mailboxes, tables and sums, and what a mailbox's place is rounded up by.
  constexpr int64_t kDeclared =
      sizeof(float) * (2 * kMomentsShared + kAlikeTeams * (2 * kSpreadValues * kMostCluster + 4)) +
      16;
  for (const int together : {2, 1}) {
    int teams = kAlikeThreads / together / lanes;
    if (lanes > kHalfWave && teams > kAlikeTeams) teams = kAlikeTeams;
    const int64_t bytes = parameters + teams * kAlikeLanes<T> * int64_t{16};
    if (teams == 0 || bytes > shared_each(ctx, together) - kDeclared) continue;
    return {together, teams * lanes, bytes};
  }
  return {1, 0, 0};
}

// Returns false if others do as well.
template <class Norm, class T, class P>
bool launch_alike(ForwardCall<Norm, T, P> call, const polyops_context* ctx, int* status) {
  const int classes = alike_after(call);
  const int64_t packs = call.n / kPack<T>;
  if (classes == 0 || packs < 4 * kAlikeLanes<T>) return false;
  int lanes = team_of(packs, kRowPacks);
  if (lanes < kAlikeLanes<T>) lanes = kAlikeLanes<T>;
  if (call.row_count * int64_t{lanes} < kFillThreads * multiprocessors(ctx)) return false;
  const int64_t parameters = stage_parameters(&call, call.n, most_shared(ctx));
  const AlikeBlock block = alike_block<T>(lanes, parameters, ctx);
  if (block.threads == 0 || call.staged < packs_of(call.n, kPack<T>, !call.ragged)) return false;
  const Plan plan = plan_turns(call.row_count, block.threads / lanes, classes,
                               int64_t{multiprocessors(ctx)} * block.together, kMostTurns);
  call.turns = plan.turns;
  *status =
      launch(forward_alike<false, Norm, T, P>,
             {plan.blocks, block.threads, static_cast<size_t>(block.bytes)}, ctx, call, lanes, 0);
  return true;
}

// The same of rows beyond what a block has room for.
constexpr int kAlikeSection = 256;  // lanes at most, where clusters have blocks enough
template <class Norm, class T, class P>
bool launch_alike_sections(ForwardCall<Norm, T, P> call, const polyops_context* ctx, int* status) {
  const int classes = alike_after(call);
  const int most = most_cluster(ctx);
  if (classes == 0 || most == 1) return false;
  const auto lanes_of = [&](int blocks) {
    return team_of(cut_in_sections(call.n, blocks, kPack<T>).elements / kPack<T>, kRowPacks);
  };
  int blocks = 2;
  while (blocks < most && lanes_of(blocks) > kAlikeSection) blocks *= 2;
  const int lanes = lanes_of(blocks);
  const Sections sections = cut_in_sections(call.n, blocks, kPack<T>);
  const int64_t parameters = stage_parameters(&call, sections.elements, most_shared(ctx));
  const AlikeBlock block = alike_block<T>(lanes, parameters, ctx);
  if (2 * lanes > kAlikeThreads || block.threads == 0) return false;
  if (call.staged < packs_of(sections.elements, kPack<T>, !call.ragged)) return false;
  LaunchShape shape = {blocks, block.threads, static_cast<size_t>(block.bytes), blocks};
  const int64_t at_a_time = clusters_at_a_time(forward_alike<true, Norm, T, P>, shape, ctx);
  const int teams = block.threads / lanes;
  if (call.row_count < at_a_time * teams) return false;
  const Plan plan = plan_turns(call.row_count, teams, classes, at_a_time, kMostTurns);
  call.turns = plan.turns;
  shape.blocks *= plan.blocks;
  *status = launch(forward_alike<true, Norm, T, P>, shape, ctx, call, lanes, sections.elements);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_ALIKE_H_
