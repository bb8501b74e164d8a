// The first of the most extreme of elements one below the other, of which a lane has whole columns:
// so many that none have to share. It knows the row itself, where lanes that meet know batches
// alone.
//
// Indices are the most of what is written: a wave's go through shared memory, and out in whole
// lines.
#ifndef POLYOPS_GPU_REDUCTION_EXTREME_ALONE_H_
#define POLYOPS_GPU_REDUCTION_EXTREME_ALONE_H_

#include <cstdint>

#include "columns.h"
#include "extreme.h"
#include "gpu.h"
#include "layout.h"
#include "piece.h"
#include "store.h"

namespace polyops::gpu {
namespace {

constexpr int kAloneThreads = 256;
template <int kWide>
constexpr int kAloneBatch = kWide == 1 ? 8 : 4;  // rows in flight
// Lanes that keep an H200's 132 multiprocessors busy; of few rows, a batch or two, it takes no
// more.
constexpr int64_t kLeastAlone = int64_t{132} * 512, kFewAloneRows = 8;

template <class T>
struct ExtremeAloneCall {
  ExtremeResult<T> to;
  Walk<2> outer;  // dst, src
  int64_t dst_step;
  uint32_t tasks;  // packs of columns
  Division by_packs;
  int32_t rows;
  bool flat;  // results lie as tasks do, aligned
};

template <class Op, class T, int kWide>
struct BestRows {
  float rank[kWide];
  uint32_t row[kWide];

  GPU_DEVICE BestRows() {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      rank[j] = -__builtin_huge_valf();
      row[j] = 0;
    }
  }
  GPU_DEVICE void see(const Piece<T, kWide>& piece, uint32_t at) {
    float x[kWide];
    piece.get(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const float other = Op::rank(x[j]);
      const bool better = beats(other, rank[j]);
      rank[j] = better ? other : rank[j];
      row[j] = better ? at : row[j];
    }
  }
  GPU_DEVICE void see_all(const T* from, int64_t stride, int32_t rows) {
    constexpr int kBatch = kAloneBatch<kWide>;
    for (int32_t first = 0; first < rows; first += kBatch, from += kBatch * stride) {
      Piece<T, kWide> pieces[kBatch];
#pragma unroll
      for (int k = 0; k < kBatch; ++k) {
        if (first + k < rows) pieces[k].load(from + k * stride);
      }
#pragma unroll
      for (int k = 0; k < kBatch; ++k) {
        if (first + k < rows) see(pieces[k], first + k);
      }
    }
  }
  GPU_DEVICE void store_each(const ExtremeAloneCall<T>& c, int64_t at) const {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      c.to.indices[at + j * c.dst_step] = row[j];
      if (c.to.values != nullptr) c.to.values[at + j * c.dst_step] = narrow<T>(Op::rank(rank[j]));
    }
  }
  GPU_DEVICE void store_values(T* values) const {
    float x[kWide];
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = Op::rank(rank[j]);
    store_elements(values, x);
  }
};

// Of a wave's lanes, each of which has kWide results beside the next one's; `tasks` of them are
// there.
template <int kWide>
GPU_DEVICE void store_indices(const uint32_t (&row)[kWide], Words* shared, int64_t* indices,
                              uint32_t first, uint32_t tasks) {
  const int lane = thread_id() % wave_size();
#pragma unroll
  for (int j = 0; j < kWide; j += 4) {
    shared[(thread_id() * kWide + j) / 4] = {row[j], row[j + 1], row[j + 2], row[j + 3]};
  }
  wave_barrier();
  const uint32_t* const wave = shared[(thread_id() - lane) * kWide / 4].w;
  if (first >= tasks) return;
  const int left = static_cast<int>(tasks - first < static_cast<uint32_t>(wave_size())
                                        ? tasks - first
                                        : static_cast<uint32_t>(wave_size()));
  int64_t* const to = indices + int64_t{first} * kWide;
#pragma unroll
  for (int k = 0; k < kWide / 2; ++k) {
    const int at = 2 * (k * wave_size() + lane);
    if (at < left * kWide) store_words(to + at, {wave[at], 0, wave[at + 1], 0});
  }
}

template <class Op, class T, int kWide>
GPU_KERNEL(kAloneThreads, 4)
find_alone(const GPU_CONSTANT ExtremeAloneCall<T> c) {
  await_earlier();
  GPU_SHARED(Words, shared, kWide == 1 ? 1 : kAloneThreads * kWide / 4);
  const auto task = static_cast<uint32_t>(block_id() * kAloneThreads) + thread_id();
  const bool ours = task < c.tasks;  // the others come along for the barrier
  uint32_t outer = ours ? task : 0;
  const uint32_t column = take_remainder(c.by_packs, &outer) * kWide;
  int64_t at[2];
  c.outer.offsets(outer, at);
  BestRows<Op, T, kWide> best;
  if (ours) best.see_all(c.to.src + at[1] + column, c.to.stride, c.rows);
  if constexpr (kWide > 1) {
    if (c.flat) {
      const auto lane = static_cast<uint32_t>(thread_id() % wave_size());
      store_indices(best.row, shared, c.to.indices, task - lane, c.tasks);
      if (ours && c.to.values != nullptr) {
        best.store_values(c.to.values + int64_t{task} * kWide);
      }
      return;
    }
  }
  if (ours) best.store_each(c, at[0] + column * c.dst_step);
}

template <class T>
bool are_alone(const ReductionLayout& of, const T* src) {
  if (!of.columns || of.count != 1) return false;
  const int wide = in_packs<T>(of, src) ? kPack<T> : 1;
  return of.n <= kFewAloneRows || of.kept.numel() * (of.width / wide) >= kLeastAlone;
}

template <class Op, class T>
int launch_extreme_alone(const ReductionLayout& of, const ExtremeResult<T>& to,
                         const polyops_context* ctx) {
  const int wide = in_packs<T>(of, to.src) ? kPack<T> : 1;
  const bool adjacent =
      of.kept.rank == 1 && (of.kept.sizes[0] == 1 || of.kept.strides[0][0] == of.width);
  const bool aligned = reinterpret_cast<uintptr_t>(to.indices) % 16 == 0 &&
                       reinterpret_cast<uintptr_t>(to.values) % 16 == 0;
  const int64_t packs = of.width / wide;
  const ExtremeAloneCall<T> call = {to,
                                    of.kept,
                                    of.dst_step,
                                    static_cast<uint32_t>(of.kept.numel() * packs),
                                    Division(static_cast<uint32_t>(packs)),
                                    static_cast<int32_t>(of.n),
                                    adjacent && aligned && of.dst_step == 1};
  const auto kernel = wide == 1 ? find_alone<Op, T, 1> : find_alone<Op, T, kPack<T>>;
  return gpu::launch(kernel, {divide_up(call.tasks, kAloneThreads), kAloneThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_EXTREME_ALONE_H_
