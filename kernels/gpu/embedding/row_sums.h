// Sums of rows by an index, from the host: what embedding's gradient and index_add are. The lookups
// are sorted by their rows (sort.h), lookups of equal rows added up in their order (backward.h),
// and rows that many lookups have in parts (finish.h). No part of it depends on which thread comes
// first. Bound: memory, each lookup read and each row written once; of few bytes, launches: one for
// up to kFewLookups (few.h), two for up to kSortAlone of which no row has many, else up to eight.
#ifndef POLYOPS_GPU_EMBEDDING_ROW_SUMS_H_
#define POLYOPS_GPU_EMBEDDING_ROW_SUMS_H_

#include <cstdint>

#include "gpu.h"
#include "plan.h"
#include "row.h"

namespace polyops::gpu {
namespace {

struct RowSums {
  SumSizes sizes;
  const void* src;
  const void* base;  // read if sums are added to it
  void* dst;
  float scale;
  bool by_freq;  // in place of the scale: one by the number of lookups
};

// Null, or why not.
inline const char* sums_fit(const SumSizes& sizes) {
  const int64_t most = kMostElements / 2;
  if (sizes.lookups > most || sizes.rows > most || sizes.width > most) return "size";
  if (sizes.outer > most / sizes.width) return "size";
  const Plan p = plan_of(sizes);
  const int64_t parts = teams_of(p.columns).parts, tiles = ceil_div(p.columns, kTileWidth);
  return p.shares * (parts > tiles ? parts : tiles) > kMostBlocks ? "size" : nullptr;
}

inline size_t sums_scratch(const SumSizes& sizes) {
  return are_few(sizes) ? 0 : scratch_of(plan_of(sizes), nullptr).bytes;
}

inline size_t shared_counts(int threads, int bits) {
  return (sizeof(uint32_t) * threads / 32) << bits;
}

template <class Source>
int sort_few(const Plan& p, const Scratch& s, const Source& made, const Zeros& zeros,
             const polyops_context* ctx) {
  const int64_t wanted = ceil_div(p.lookups, 64 * kSortItems) * 64;
  const int threads = wanted < kSortThreads ? kSortThreads : static_cast<int>(wanted);
  return gpu::launch(
      sort_alone<Source>, {1 + zeros.blocks(), threads, shared_counts(threads, p.bits)}, ctx, made,
      static_cast<uint32_t>(p.lookups), p.passes, p.bits, s.lookups[0], s.lookups[1], zeros);
}

// Of several parts of zeros, those two of them that begin with that one.
template <class Source>
int sort_pass(const Source& source, SortCall call, const Zeros& zeros, int64_t part, int64_t parts,
              const polyops_context* ctx) {
  call.zeros = zeros.part(part, parts);
  const LaunchShape count = {call.chunks + call.zeros.blocks(), kSortThreads};
  int status = gpu::launch(sort_count<Source>, count, ctx, source, call);
  if (status == POLYOPS_OK && call.chunks > kFewChunks) {
    const int64_t blocks = ceil_div(int64_t{1} << call.digit.bits, 32);
    status = gpu::launch(sort_stack, {blocks, kStackThreads}, ctx, call);
  }
  if (status != POLYOPS_OK) return status;
  call.zeros = zeros.part(part + 1, parts);
  const LaunchShape place = {call.chunks + call.zeros.blocks(), kSortThreads,
                             shared_counts(kSortThreads, call.digit.bits)};
  return gpu::launch(sort_place<Source>, place, ctx, source, call);
}

template <class Source>
int sort_lookups(const Plan& p, const Scratch& s, const Source& made, const Zeros& zeros,
                 const polyops_context* ctx) {
  if (p.chunks == 0) return sort_few(p, s, made, zeros, ctx);
  for (int pass = 0; pass < p.passes; ++pass) {
    const SortCall call = {{pass * p.bits, p.bits},
                           static_cast<uint32_t>(p.lookups),
                           static_cast<uint32_t>(p.of_chunk),
                           static_cast<int32_t>(p.chunks),
                           s.counts,
                           s.all,
                           s.lookups[pass % 2],
                           {}};
    const int part = 2 * pass, parts = 2 * p.passes;
    const int status =
        pass == 0 ? sort_pass(made, call, zeros, part, parts, ctx)
                  : sort_pass(Left{s.lookups[(pass - 1) % 2]}, call, zeros, part, parts, ctx);
    if (status != POLYOPS_OK) return status;
  }
  return POLYOPS_OK;
}

inline GradCall grad_call(const RowSums& r, const Plan& p, const Scratch& s, const Teams& t) {
  GradCall call = {};
  call.shares = {s.lookups[(p.passes - 1) % 2],  static_cast<uint32_t>(p.lookups),
                 static_cast<uint32_t>(p.rows),  static_cast<uint32_t>(p.events),
                 static_cast<uint32_t>(p.slack), r.sizes.by_lookups};
  call.grad = r.src;
  call.base = r.base;
  call.out = r.dst;
  call.divided = s.divided;
  call.ended_sums = s.ended_sums;
  call.open_sums = s.open_sums;
  call.grad_step = p.lookups * r.sizes.width;
  call.out_step = p.rows * r.sizes.width;
  call.of_run = Division(static_cast<uint32_t>(r.sizes.width));
  call.width = static_cast<int32_t>(r.sizes.width);
  call.columns = static_cast<int32_t>(p.columns);
  call.padded_columns = static_cast<int32_t>(p.padded_columns);
  call.lanes = t.lanes;
  call.teams = t.teams;
  call.parts = t.parts;
  call.by_freq = r.by_freq;
  call.scale = r.scale;
  return call;
}

template <class T, int kUnit, bool kAdds, class Source>
int add_few(const Source& made, const RowSums& r, const Plan& p, const polyops_context* ctx) {
  const int64_t units = p.columns / kUnit;
  const Teams t = few_teams(units);
  int64_t rest = kRestUnits / units;
  if (rest < 1) rest = 1;
  if (rest > kMostRestRows) rest = kMostRestRows;
  const int64_t sum_blocks = p.lookups * t.parts;
  const FewCall call = {grad_call(r, p, {}, t),
                        static_cast<uint32_t>(p.lookups),
                        static_cast<uint32_t>(p.rows),
                        static_cast<uint32_t>(sum_blocks),
                        static_cast<uint32_t>(rest),
                        Division(static_cast<uint32_t>(t.parts)),
                        Division(static_cast<uint32_t>(units))};
  const int64_t blocks = sum_blocks + (all_written(r.sizes) ? ceil_div(p.rows, rest) : 0);
  return gpu::launch(sums_of_few<T, kUnit, kAdds, Source>, {blocks, kFewLookupThreads}, ctx, made,
                     call);
}

template <class T, int kUnit, bool kAdds>
int add_up(const RowSums& r, const Plan& p, const Scratch& s, const polyops_context* ctx) {
  const Teams t = teams_of(p.columns / kUnit);
  const GradCall call = grad_call(r, p, s, t);
  const int64_t most = (p.events + p.slack) * (r.sizes.by_lookups ? 2 : 1);  // an end of each
  const size_t shared = static_cast<size_t>(most) * sizeof(Event);
  const int status = gpu::launch(embedding_sums<T, kUnit, kAdds>,
                                 {p.shares * t.parts, t.threads, shared}, ctx, call);
  if (status != POLYOPS_OK || p.slots == 0) return status;
  const int64_t tiles = ceil_div(p.columns, kTileWidth);
  int64_t of_block = ceil_div(p.shares * tiles, kFinishBlocks);
  if (of_block < kLeastFinishShares) of_block = kLeastFinishShares;
  if (of_block > kFinishThreads) of_block = kFinishThreads;
  return gpu::launch(
      embedding_finish<T, kAdds>, {ceil_div(p.shares, of_block) * tiles, kFinishThreads}, ctx, call,
      static_cast<uint32_t>(p.shares), static_cast<uint32_t>(of_block), static_cast<int>(tiles));
}

// made: the lookups (sort.h).
template <bool kAdds, class Source>
int sum_rows(const Source& made, const RowSums& r, const polyops_context* ctx) {
  const bool few = are_few(r.sizes);
  const Plan p = plan_of(r.sizes);
  const Scratch s = scratch_of(p, ctx->scratch);
  if (!few) {
    const int64_t halves = p.rows * p.columns * polyops_dtype_size(r.sizes.dtype) / 2;
    const Zeros zeros = {static_cast<bf16*>(r.dst), r.sizes.clears ? halves : 0};
    const int status = sort_lookups(p, s, made, zeros, ctx);
    if (status != POLYOPS_OK) return status;
  }
  const uintptr_t places =
      reinterpret_cast<uintptr_t>(r.src) | reinterpret_cast<uintptr_t>(r.base) |
      reinterpret_cast<uintptr_t>(r.dst) |
      static_cast<uintptr_t>(r.sizes.width * polyops_dtype_size(r.sizes.dtype));
  return with_type(r.sizes.dtype, [&]<class T>() {
    const auto add = [&]<int kUnit>() {
      return few ? add_few<T, kUnit, kAdds>(made, r, p, ctx)
                 : add_up<T, kUnit, kAdds>(r, p, s, ctx);
    };
    if (places % 16 == 0) return add.template operator()<kPack<T>>();
    if (places % 8 == 0) return add.template operator()<kPack<T> / 2>();
    return add.template operator()<1>();
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_ROW_SUMS_H_
