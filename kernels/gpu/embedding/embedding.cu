// embedding_backward: the lookups are sorted by their rows (sort.h), gradients of equal rows added
// up in the order of lookups (backward.h), and rows that many lookups have in parts (finish.h). No
// part of it depends on which thread comes first. Bound: memory, each gradient read and each row
// written once; of few bytes, launches: two for up to kSortAlone lookups of which no row has many,
// else up to eight.
#include "plan.h"
#include "polyops/ops/embedding.h"
#include "row.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* embedding_supports(const void* data) {
  const auto& a = *static_cast<const polyops_embedding_backward_args*>(data);
  const polyops_tensor &grad = a.grad_dst, &weight = a.grad_weight;
  if (!has_type(grad.dtype) || weight.dtype != grad.dtype) return "dtype";
  if (!are_indices(a.index)) return "dtype";
  if (grad.rank != 2 || weight.rank != 2 || a.index.rank != 1) return "shape";
  if (grad.sizes[0] != a.index.sizes[0] || grad.sizes[1] != weight.sizes[1]) return "shape";
  const int64_t most = kMostElements / 2;
  if (grad.sizes[0] > most || weight.sizes[0] > most || weight.sizes[1] > most) return "size";
  const Plan p = plan_of(a);
  const int64_t parts = teams_of(p.width).parts, tiles = ceil_div(p.width, kTileWidth);
  if (p.shares * (parts > tiles ? parts : tiles) > kMostBlocks) return "size";
  return polyops_is_contiguous(&grad) != 0 && polyops_is_contiguous(&weight) != 0 ? nullptr
                                                                                  : "layout";
}

size_t embedding_scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_embedding_backward_args*>(data);
  return scratch_of(plan_of(a), nullptr).bytes;
}

size_t shared_counts(int threads, int bits) { return (sizeof(uint32_t) * threads / 32) << bits; }

int sort_few(const Plan& p, const Scratch& s, const Made& made, const polyops_context* ctx) {
  const int64_t wanted = ceil_div(p.lookups, 64 * kSortItems) * 64;
  const int threads = wanted < kSortThreads ? kSortThreads : static_cast<int>(wanted);
  return gpu::launch(sort_alone, {1, threads, shared_counts(threads, p.bits)}, ctx, made,
                     static_cast<uint32_t>(p.lookups), p.passes, p.bits, s.lookups[0],
                     s.lookups[1]);
}

template <class Source>
int sort_pass(const Source& source, const SortCall& call, const polyops_context* ctx) {
  const LaunchShape count = {call.chunks, kSortThreads};
  const LaunchShape place = {call.chunks, kSortThreads,
                             shared_counts(kSortThreads, call.digit.bits)};
  int status = gpu::launch(sort_count<Source>, count, ctx, source, call);
  if (status == POLYOPS_OK && call.chunks > kFewChunks) {
    const int64_t blocks = ceil_div(int64_t{1} << call.digit.bits, 32);
    status = gpu::launch(sort_stack, {blocks, kStackThreads}, ctx, call);
  }
  if (status != POLYOPS_OK) return status;
  return gpu::launch(sort_place<Source>, place, ctx, source, call);
}

int sort(const Plan& p, const Scratch& s, const Made& made, const polyops_context* ctx) {
  if (p.chunks == 0) return sort_few(p, s, made, ctx);
  for (int pass = 0; pass < p.passes; ++pass) {
    const SortCall call = {{pass * p.bits, p.bits},
                           static_cast<uint32_t>(p.lookups),
                           static_cast<uint32_t>(p.of_chunk),
                           static_cast<int32_t>(p.chunks),
                           s.counts,
                           s.all,
                           s.lookups[pass % 2]};
    const int status = pass == 0 ? sort_pass(made, call, ctx)
                                 : sort_pass(Left{s.lookups[(pass - 1) % 2]}, call, ctx);
    if (status != POLYOPS_OK) return status;
  }
  return POLYOPS_OK;
}

GradCall grad_call(const polyops_embedding_backward_args& a, const Plan& p, const Scratch& s,
                   const Teams& t) {
  const Shares shares = {s.lookups[(p.passes - 1) % 2], static_cast<uint32_t>(p.lookups),
                         static_cast<uint32_t>(p.rows), static_cast<uint32_t>(p.events),
                         static_cast<uint32_t>(p.slack)};
  return {shares,
          a.grad_dst.data,
          a.grad_weight.data,
          s.divided,
          s.ended_sums,
          s.open_sums,
          static_cast<int32_t>(p.width),
          static_cast<int32_t>(p.padded_width),
          t.lanes,
          t.teams,
          t.parts,
          a.scale_by_freq};
}

template <class T, int kUnit>
int add_up(const polyops_embedding_backward_args& a, const Plan& p, const Scratch& s,
           const polyops_context* ctx) {
  const Teams t = teams_of(p.width / kUnit);
  const GradCall call = grad_call(a, p, s, t);
  const size_t shared = static_cast<size_t>(p.events + p.slack) * sizeof(Event);
  const int status =
      gpu::launch(embedding_sums<T, kUnit>, {p.shares * t.parts, t.threads, shared}, ctx, call);
  if (status != POLYOPS_OK || p.slots == 0) return status;
  const int64_t tiles = ceil_div(p.width, kTileWidth);
  int64_t of_block = ceil_div(p.shares * tiles, kFinishBlocks);
  if (of_block < kLeastFinishShares) of_block = kLeastFinishShares;
  if (of_block > kFinishThreads) of_block = kFinishThreads;
  return gpu::launch(embedding_finish<T>, {ceil_div(p.shares, of_block) * tiles, kFinishThreads},
                     ctx, call, static_cast<uint32_t>(p.shares), static_cast<uint32_t>(of_block),
                     static_cast<int>(tiles));
}

int embedding_backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_embedding_backward_args*>(data);
  const Plan p = plan_of(a);
  const Scratch s = scratch_of(p, ctx->scratch);
  const int status = sort(p, s, {indices_of(a.index, p.rows), a.padding}, ctx);
  if (status != POLYOPS_OK) return status;
  const auto places = reinterpret_cast<uintptr_t>(a.grad_dst.data) |
                      reinterpret_cast<uintptr_t>(a.grad_weight.data);
  return with_type(a.grad_dst.dtype, [&]<class T>() {
    const bool aligned = places % 16 == 0 && p.width % kPack<T> == 0;
    return aligned ? add_up<T, kPack<T>>(a, p, s, ctx) : add_up<T, 1>(a, p, s, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(embedding,
                    POLYOPS_GPU_KERNEL("embedding_backward", "embedding_backward",
                                       embedding_supports, embedding_scratch, embedding_backward))
