// Rows (rows.h), folded by several numbers (states.h).
#ifndef POLYOPS_GPU_REDUCTION_STATE_ROWS_H_
#define POLYOPS_GPU_REDUCTION_STATE_ROWS_H_

#include "gpu.h"
#include "parts.h"
#include "rows.h"
#include "states.h"

namespace polyops::gpu {
namespace {

// Blocks of a multiprocessor, at registers enough for kRowPacks packs and what is kept.
template <class T>
constexpr int kStateRowBlocks = sizeof(T) == 4 ? 8 : 7;

// A lane's packs, every `lanes`-th from at: kPacks at a time, all of their loads issued before the
// first is used, then fewer.
template <class T, int kPacks, class Many>
GPU_DEVICE void take_packs(const T* packs, int32_t whole, int32_t lanes, int32_t at, Many* x) {
  for (; at + (kPacks - 1) * lanes < whole; at += kPacks * lanes) {
    Words words[kPacks];
#pragma unroll
    for (int k = 0; k < kPacks; ++k) words[k] = load_words(packs + (at + k * lanes) * kPack<T>);
    float all[kPacks * kPack<T>][1];
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      float one[kPack<T>];
      unpack<T>(words[k], one);
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) all[k * kPack<T> + j][0] = one[j];
    }
    x->take(all);
  }
  if constexpr (kPacks > 1) take_packs<T, kPacks / 2>(packs, whole, lanes, at, x);
}

template <class Many>
GPU_DEVICE void take_one(float value, Many* x) {
  const float all[1][1] = {{value}};
  x->take(all);
}

// Of a run. A lane's first element at the ends is loaded before the packs, and taken after them,
// whose mean is the better one to begin with.
template <class Op, class T, class Many>
GPU_DEVICE void take_run(const T* run, int32_t n, int lane, int lanes, Many* x) {
  const Cut<T> cut(run, n);
  const bool has_ends = cut.ends() != 0;
  const int end = has_ends && lane < 2 * kPack<T> ? cut.of_end(lane) : -1;
  const float first = end >= 0 ? widen(run[end]) : 0.0f;
  take_packs<T, kAtOnce<Op, kRowPacks>>(run + cut.head, cut.whole, lanes, lane, x);
  if (!has_ends) return;
  if (end >= 0) take_one(first, x);
#pragma unroll 1
  for (int place = lane + lanes; place < 2 * kPack<T>; place += lanes) {
    const int at = cut.of_end(place);
    if (at >= 0) take_one(widen(run[at]), x);
  }
}

template <class Op, class T>
struct StateRowsCall {
  const T* src;
  Walk<2> kept;  // dst, src
  uint32_t slices;
  RowParts rows;
  typename Op::Finish dst;
  float* parts;  // null: results
};

template <class Op, class T>
GPU_KERNEL(kRowThreads, kStateRowBlocks<T>)
fold_state_rows(const GPU_CONSTANT StateRowsCall<Op, T> c) {
  await_earlier();
  using N = typename Op::Numbers;
  GPU_SHARED(float, shared, N::kSize* kMostWaves);
  if (c.parts != nullptr) let_later_begin();
  const RowParts& rows = c.rows;
  const RowTask task(rows, c.slices);
  int64_t at[2] = {};
  auto many = begin_many<Op, 1>(c.dst);
  if (task.ours) {
    c.kept.offsets(task.slice, at);
    const T* src = c.src + at[1];
    task.for_each_run(rows, [&](int64_t offset, int32_t n, int lane, int lanes) {
      take_run<Op>(src + offset, n, lane, lanes, &many);
    });
  }
  const N x = merge_team_numbers<Op>(many.get(0), 1 << rows.team_log2, shared);
  if (!task.ours || task.in_team != 0) return;
  if (c.parts != nullptr) {
    put_numbers(c.parts, int64_t{c.slices} * rows.chunks, task.task, x);
  } else {
    c.dst.store(at[0], x);
  }
}

template <class Op, class T>
int launch_state_rows(const ReductionLayout& of, const T* src, const typename Op::Finish& dst,
                      const polyops_context* ctx) {
  const auto slices = static_cast<uint32_t>(of.kept.numel());
  StateRowsCall<Op, T> call = {src, of.kept, slices, parts_of<T>(of), dst, nullptr};
  const int64_t chunks = call.rows.chunks;
  if (chunks > 1) call.parts = static_cast<float*>(ctx->scratch);
  const int64_t blocks = divide_up(slices * chunks, kRowThreads >> call.rows.team_log2);
  const int status = gpu::launch(fold_state_rows<Op, T>, {blocks, kRowThreads}, ctx, call);
  if (status != POLYOPS_OK || chunks == 1) return status;
  return launch_merge_parts<Op>(call.parts, of, chunks, dst, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_STATE_ROWS_H_
