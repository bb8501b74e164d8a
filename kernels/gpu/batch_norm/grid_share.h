// What a thread of grid.h takes of its block's tile, and how that goes through shared memory.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_SHARE_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_SHARE_H_

#include "channel_norm/columns_kernels.h"

namespace polyops::gpu {
namespace {

constexpr int kGridThreads = 512;
constexpr int kGridAcross = 32;  // packs: 512 bytes of a row, next to each other in memory

// Rows of a step, which come together, and steps under way, by the tensors that are read.
constexpr int grid_rows(int inputs) { return inputs == 1 ? 3 : 2; }
constexpr int grid_ahead(int inputs) { return inputs == 1 ? 3 : 2; }
constexpr int32_t kGridEarly = 4;  // steps of a backward tile that are prefetched

struct GridColumns {
  Columns of;
  int32_t held;   // a thread's first steps, which stay in shared memory
  int32_t turns;  // tiles that a block takes, one after the other

  // Of as many as there were if each took one.
  GPU_DEVICE int64_t block(int32_t turn) const { return block_id() * turns + turn; }
};

// What a thread takes, step by step: the first one has what is left of whole ones.
template <class T, int kInputs>
struct GridShare {
  static constexpr int kRows = grid_rows(kInputs), kAhead = grid_ahead(kInputs);
  static constexpr int kPlaces = kRows * kInputs;  // of a step
  using Pack = Held<T, kPack<T>>;

  ColumnShare<kPack<T>> of;
  int64_t first, stride;  // elements to the first row, from that to the next one
  int32_t steps, head;    // head: rows of the first step
  int32_t held;
  Words* memory;

  GPU_DEVICE GridShare(const GridColumns& grid, int32_t turn, Words* shared)
      : of(grid.of, grid.block(turn)),
        first(int64_t{of.row} * grid.of.channels + of.column),
        stride(int64_t{of.step} * grid.of.channels),
        held(grid.held),
        memory(shared + thread_id()) {
    const int32_t left = of.end - of.row;
    const int32_t rows = left > 0 ? (left + of.step - 1) / of.step : 0;
    steps = (rows + kRows - 1) / kRows;
    head = rows - (steps - 1) * kRows;
  }
  // The last steps are whole, and stay in registers.
  GPU_DEVICE bool keeps() const { return steps > kAhead; }
  // Those that do not, and which of them are read again.
  GPU_DEVICE int32_t left() const { return keeps() ? steps - kAhead : steps; }
  GPU_DEVICE bool again(int32_t step) const { return step >= held; }
  GPU_DEVICE int64_t at(int32_t step) const {
    return first + (step == 0 ? 0 : head + (step - 1) * kRows) * stride;
  }
  // Steps that do not stay take turns in the last kAhead slots.
  GPU_DEVICE int32_t slot_of(int32_t step) const {
    return step < held ? step : held + (step - held) % kAhead;
  }
  GPU_DEVICE Words* place(int32_t slot, int i, int k) const {
    return memory + (slot * kPlaces + i * kRows + k) * block_threads();
  }
  GPU_DEVICE float* ring() const {
    return reinterpret_cast<float*>(place(held, 0, 0) - thread_id());
  }
  // A group of copies, whether the step is wanted or not.
  template <bool kFirst = true>
  GPU_DEVICE void begin(const T* const (&in)[kInputs], int32_t step, int32_t slot,
                        bool wanted) const {
    if (wanted) {
#pragma unroll
      for (int i = 0; i < kInputs; ++i) {
        const T* from = in[i] + at(step);
#pragma unroll
        for (int k = 0; k < kRows; ++k) {
          if (kFirst && step == 0 && k >= head) break;
          copy_16_later(place(slot, i, k), from);
          from += stride;
        }
      }
    }
    close_copies();
  }
  template <int kCount>
  GPU_DEVICE void load(int32_t slot, int k, Pack (&x)[kInputs][kCount]) const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) x[i][j].words = *place(slot, i, k + j);
    }
  }
  // Calls f(elements to the first row, x[kInputs][rows]) for the rows of a step that is there.
  template <class F>
  GPU_DEVICE void take(int32_t step, int32_t slot, F f) const {
    if (step != 0 || head == kRows) {
      Pack x[kInputs][kRows];
      load(slot, 0, x);
      f(at(step), x);
      return;
    }
#pragma unroll 1
    for (int32_t k = 0; k < head; ++k) {
      Pack x[kInputs][1];
      load(slot, k, x);
      f(first + k * stride, x);
    }
  }
  GPU_DEVICE Pack first_row() const {
    Pack x[kInputs][1];
    load(0, 0, x);
    return x[0][0];
  }
  GPU_DEVICE void begin_first(const T* const (&in)[kInputs]) const {
#pragma unroll 1
    for (int32_t step = 0; step < kAhead; ++step) begin(in, step, step, step < steps);
  }
  // To the second-level cache, while results alone are on their way.
  GPU_DEVICE void prefetch_first(const T* const (&in)[kInputs]) const {
#pragma unroll 1
    for (int32_t step = 0; step < kGridEarly && step < steps; ++step) {
#pragma unroll
      for (int i = 0; i < kInputs; ++i) {
        const T* from = in[i] + at(step);
#pragma unroll
        for (int k = 0; k < kRows; ++k, from += stride) {
          if (step != 0 || k < head) prefetch(from);
        }
      }
    }
  }
  // Calls f(x) for all steps, in order.
  template <class F>
  GPU_DEVICE void add_all(const T* const (&in)[kInputs], F f) const {
    int32_t slot = 0;
#pragma unroll 1
    for (int32_t step = 0; step < steps; ++step) {
      wait_copies<kAhead - 1>();
      take(step, slot, [&](int64_t, const auto& x) { f(x); });
      const int32_t next = step + kAhead;
      begin<false>(in, next, step < held ? next : slot, next < steps);
      slot = slot + 1 < held + kAhead ? slot + 1 : held;
    }
  }
};

// A thread's last steps, in its registers between the two passes.
template <class T, int kInputs>
struct GridKept {
  using Share = GridShare<T, kInputs>;
  typename Share::Pack x[Share::kAhead][kInputs][Share::kRows];

  GPU_DEVICE void load(const Share& share) {
    if (!share.keeps()) return;
#pragma unroll
    for (int i = 0; i < Share::kAhead; ++i) share.load(share.slot_of(share.left() + i), 0, x[i]);
  }
  template <class F>
  GPU_DEVICE void store(const Share& share, T* out, const F& f) const {
    if (!share.keeps()) return;
#pragma unroll
    for (int i = 0; i < Share::kAhead; ++i) {
      map_batch<true>(f, out + share.at(share.left() + i), share.stride, x[i]);
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_SHARE_H_
