// Results of neighbours. A team of lanes folds a chunk of a result's elements, with kRowPacks packs
// of each lane in flight: a few lanes, a wave or a block. Of chunks several make a result: then
// each leaves its part in scratch memory, and a second launch merges those (parts.h).
#ifndef POLYOPS_GPU_REDUCTION_ROWS_H_
#define POLYOPS_GPU_REDUCTION_ROWS_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "op.h"
#include "parts.h"
#include "row.h"

namespace polyops::gpu {
namespace {

constexpr int kRowThreads = 128, kRowThreadsLog2 = 7;
// Blocks of a multiprocessor, at registers enough for all loads to be in flight. (With fewer the
// compiler issues two, folds, and issues the next.)
template <class T>
constexpr int kRowBlocks = sizeof(T) == 4 ? 8 : 9;
constexpr int kRowPacks = 4;
constexpr int kLeastLanes = 4, kWaveLog2 = 5;
// Waves that an H200's 132 multiprocessors have at the same time. Chunks are as many or fewer: a
// few more would run when all others are done. Of so many blocks as there are rows it does not
// matter.
constexpr int64_t kManyWaves = int64_t{132} * 32, kManyBlocks = int64_t{132} * 32;
constexpr int64_t kLeastChunk = 8192;      // elements worth a team of their own
constexpr int64_t kLeastSplit = 16 << 10;  // fewer are folded in one launch

// Runs are cut into parts; a chunk is some parts.
struct RowParts {
  int64_t run_stride;
  int32_t n, part;  // elements of a run; of each of its parts but the last
  uint32_t parts;   // of a run
  uint32_t all, per_chunk;
  uint32_t chunks;
  Division by_parts, by_chunks;
  int32_t team_log2, lanes_log2;  // lanes that fold a chunk, and those of them that fold a part

  // Calls f(offset of the first element, elements) for every step-th part.
  template <class F>
  GPU_DEVICE void for_each(uint32_t chunk, uint32_t first, uint32_t step, F f) const {
    uint32_t end = (chunk + 1) * per_chunk;
    if (end > all) end = all;
    for (uint32_t i = chunk * per_chunk + first; i < end; i += step) {
      const uint32_t run = parts == 1 ? i : by_parts.quotient(i);
      const auto at = static_cast<int32_t>(i - run * parts) * part;
      f(run * run_stride + at, n - at < part ? n - at : part);
    }
  }
};

// A thread's place in its team, and the team's task, a chunk of a slice. ours: there is one; the
// other threads come along for the shuffles.
struct RowTask {
  int in_team;
  uint32_t task, slice;
  bool ours;

  GPU_DEVICE RowTask(const RowParts& rows, uint32_t slices) {
    in_team = thread_id() & ((1 << rows.team_log2) - 1);
    task = static_cast<uint32_t>(block_id() << (kRowThreadsLog2 - rows.team_log2)) +
           static_cast<uint32_t>(thread_id() >> rows.team_log2);
    slice = rows.by_chunks.quotient(task);
    ours = slice < slices;
  }

  // Calls f(offset of the first element, elements, lane, lanes) for the runs of those lanes.
  template <class F>
  GPU_DEVICE void for_each_run(const RowParts& rows, F f) const {
    const int lanes = 1 << rows.lanes_log2;
    rows.for_each(task - slice * rows.chunks, in_team >> rows.lanes_log2,
                  1u << (rows.team_log2 - rows.lanes_log2),
                  [&](int64_t offset, int32_t n) { f(offset, n, in_team & (lanes - 1), lanes); });
  }
};

// The smallest team, up to 2^most, of which each lane has no more than kRowPacks packs, and at most
// two elements at the ends.
inline int lanes_log2(int64_t elements, int64_t pack, int most) {
  int log2 = pack == 8 && elements % pack != 0 ? 3 : 2;
  while (log2 < most && (int64_t{kRowPacks} * pack << log2) < elements) ++log2;
  return log2;
}

inline RowParts row_parts(int64_t slices, int64_t n, int64_t count, int64_t run_stride,
                          int64_t pack) {
  const int64_t elements = n * count;
  int64_t parts = 1, part = n, per_chunk = count;
  int team = kRowThreadsLog2;
  if (slices >= kManyWaves || elements <= 2 * kRowPacks * pack << kWaveLog2) {
    team = lanes_log2(elements, pack, kWaveLog2);
    while (team < kWaveLog2 && int64_t{kLeastLanes} * count > 1 << team) ++team;
  } else if (slices < kManyBlocks && elements > kLeastSplit) {
    const int64_t wanted = kManyWaves / slices;
    parts = divide_up(wanted, count);
    if (parts > divide_up(n, kLeastChunk)) parts = divide_up(n, kLeastChunk);
    part = divide_up(divide_up(n, parts), 64) * 64;
    parts = divide_up(n, part);
    const int64_t worth = divide_up(elements, kLeastChunk);
    per_chunk = divide_up(count * parts, wanted < worth ? wanted : worth);
    if (slices * divide_up(count * parts, per_chunk) >= kManyWaves / 2) team = kWaveLog2;
  }
  const int64_t all = count * parts, chunks = divide_up(all, per_chunk);
  const int lanes = per_chunk == 1 ? team : lanes_log2(part, pack, team);
  return {run_stride,
          static_cast<int32_t>(n),
          static_cast<int32_t>(part),
          static_cast<uint32_t>(parts),
          static_cast<uint32_t>(all),
          static_cast<uint32_t>(per_chunk),
          static_cast<uint32_t>(chunks),
          Division(static_cast<uint32_t>(parts)),
          Division(static_cast<uint32_t>(chunks)),
          team,
          lanes};
}

template <class Op, class T>
GPU_DEVICE float fold_pack(const Words& words) {
  float x[kPack<T>];
  unpack<T>(words, x);
  return merge_halves<Op>(x);
}

// Of a run. All loads of a turn are issued before the first is used; before all a lane's first
// element at the ends: few lanes have more.
template <class Op, class T>
GPU_DEVICE float fold_run(const T* run, int32_t n, int lane, int lanes) {
  const Cut<T> cut(run, n);
  const T* packs = run + cut.head;
  float x = Op::kNone;
  const bool has_ends = cut.ends() != 0;
  if (has_ends) {
    const int end = lane < 2 * kPack<T> ? cut.of_end(lane) : -1;
    if (end >= 0) x = widen(run[end]);
  }
  int32_t at = lane;
  for (; at + (kRowPacks - 1) * lanes < cut.whole; at += kRowPacks * lanes) {
    Words words[kRowPacks];
#pragma unroll
    for (int k = 0; k < kRowPacks; ++k) words[k] = load_words(packs + (at + k * lanes) * kPack<T>);
    const float low = Op::merge(fold_pack<Op, T>(words[0]), fold_pack<Op, T>(words[1]));
    const float high = Op::merge(fold_pack<Op, T>(words[2]), fold_pack<Op, T>(words[3]));
    x = Op::merge(x, Op::merge(low, high));
  }
  if (at < cut.whole) {
    Words words[kRowPacks - 1];
#pragma unroll
    for (int k = 0; k < kRowPacks - 1; ++k) {
      if (at + k * lanes < cut.whole) words[k] = load_words(packs + (at + k * lanes) * kPack<T>);
    }
#pragma unroll
    for (int k = 0; k < kRowPacks - 1; ++k) {
      if (at + k * lanes >= cut.whole) break;
      x = Op::merge(x, fold_pack<Op, T>(words[k]));
    }
  }
  if (has_ends) {
#pragma unroll 1
    for (int place = lane + lanes; place < 2 * kPack<T>; place += lanes) {
      const int end = cut.of_end(place);
      if (end >= 0) x = Op::merge(x, widen(run[end]));
    }
  }
  return x;
}

template <class T>
struct RowsCall {
  const T* src;
  Walk<2> kept;  // dst, src
  uint32_t slices;
  RowParts rows;
  Result dst;
  float* parts;  // null: results
};

template <class Op, class T>
GPU_KERNEL(kRowThreads, kRowBlocks<T>)
fold_rows(const GPU_CONSTANT RowsCall<T> c) {
  await_earlier();
  GPU_SHARED(float, shared, kMostWaves);
  if (c.parts != nullptr) let_later_begin();
  const RowParts& rows = c.rows;
  const RowTask task(rows, c.slices);
  int64_t at[2] = {};
  float x = Op::kNone;
  if (task.ours) {
    c.kept.offsets(task.slice, at);
    const T* src = c.src + at[1];
    task.for_each_run(rows, [&](int64_t offset, int32_t n, int lane, int lanes) {
      x = Op::merge(x, fold_run<Op>(src + offset, n, lane, lanes));
    });
  }
  x = merge_team<Op>(x, 1 << rows.team_log2, shared);
  if (!task.ours || task.in_team != 0) return;
  if (c.parts != nullptr) {
    c.parts[task.task] = x;
  } else {
    c.dst.store(at[0], x);
  }
}

template <class Op, class T>
int launch_fold_rows(const RowsCall<T>& call, const polyops_context* ctx) {
  const int64_t tasks = int64_t{call.slices} * call.rows.chunks;
  const int64_t blocks = divide_up(tasks, kRowThreads >> call.rows.team_log2);
  return gpu::launch(fold_rows<Op, T>, {blocks, kRowThreads}, ctx, call);
}

template <class T>
RowParts parts_of(const ReductionLayout& of) {
  return row_parts(of.kept.numel(), of.n, of.count, of.run_stride, kPack<T>);
}

template <class T>
size_t rows_scratch(const ReductionLayout& of) {
  const RowParts rows = parts_of<T>(of);
  return rows.chunks == 1 ? 0 : static_cast<size_t>(of.kept.numel()) * rows.chunks * sizeof(float);
}

template <class Op, class T>
int launch_rows(const ReductionLayout& of, const T* src, const Result& dst,
                const polyops_context* ctx) {
  const auto slices = static_cast<uint32_t>(of.kept.numel());
  RowsCall<T> call = {src, of.kept, slices, parts_of<T>(of), dst, nullptr};
  const int64_t chunks = call.rows.chunks;
  if (chunks == 1) return launch_fold_rows<Op>(call, ctx);
  call.parts = static_cast<float*>(ctx->scratch);
  const int status = launch_fold_rows<Op>(call, ctx);
  if (status != POLYOPS_OK) return status;
  return launch_merge_parts<OneNumber<Op>>(call.parts, of, chunks, {dst}, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_ROWS_H_
