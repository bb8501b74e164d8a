// Batches of channels next to each other by a grid of which all blocks run at the same time, each
// on a multiprocessor of its own. A thread's rows go through shared memory, some of them under way
// at any time; its first and its last ones stay there and in registers until the grid has the
// channels' sums. Each channel's are added up by a wave of one block, which tells the others.
// Bound: memory, as if once for those rows; the others are read again, the last ones first, which
// may still be in the second-level cache.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_H_

#include "call.h"
#include "channel_norm/columns_kernels.h"
#include "grid_barrier.h"

namespace polyops::gpu {
namespace {

constexpr int kGridThreads = 512;
constexpr int kSaidFloats = sizeof(Said) / sizeof(float);
constexpr int kGridAcross = 32;  // packs: 512 bytes of a row, next to each other in memory

// Rows of a step, which come together, and steps under way, by the tensors that are read.
constexpr int grid_rows(int inputs) { return inputs == 1 ? 3 : 2; }
constexpr int grid_ahead(int inputs) { return inputs == 1 ? 3 : 2; }

struct GridColumns {
  Columns of;
  int32_t held;  // a thread's first steps, which stay in shared memory
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

  GPU_DEVICE GridShare(const GridColumns& grid, Words* shared)
      : of(grid.of, block_id()),
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

// The columns of a block's tile, what its chunks say of each, and what a wave of one of its blocks
// says of all of them.
struct GridTile {
  Said *said, *totals;     // [columns][chunks], [columns]
  int32_t first, columns;  // channel; of them
  int32_t chunk, chunks;

  template <int kWidth>
  GPU_DEVICE GridTile(const Columns& of, const ColumnShare<kWidth>& share, void* scratch)
      : first(share.tile * of.across * kWidth),
        columns(of.across * kWidth),
        chunk(share.chunk),
        chunks(of.chunks) {
    if (columns > of.channels - first) columns = of.channels - first;
    said = static_cast<Said*>(scratch) + int64_t{first} * chunks;
    totals = static_cast<Said*>(scratch) + int64_t{of.channels} * chunks + first;
  }
  GPU_DEVICE void tell(int c, const Said& of_chunk) const {
    if (c < columns) say(said + c * chunks + chunk, of_chunk);
  }
  // Calls f(column) for those of this wave.
  template <class F>
  GPU_DEVICE void for_each(F f) const {
    const int waves = block_threads() / wave_size();
    for (int c = chunk + thread_id() / wave_size() * chunks; c < columns; c += waves * chunks) f(c);
  }
  // Nothing is said yet. Meanwhile the first steps are under way.
  GPU_DEVICE void open() const {
    for_each([&](int c) {
      const int lane = thread_id() % wave_size();
      for (int i = lane; i < chunks; i += wave_size()) say(said + c * chunks + i, {});
      if (lane == 0) say(totals + c, {});
    });
    grid_barrier();
  }
};

constexpr int kMostGridChunks = 256;

// total(column, said), in a wave of one block: what its chunks have of it, of which each lane has
// some; the same in all lanes. make(column, hear) gives the column's line, of what hear() says.
// Then f[j] are this thread's. lines: see leave_line().
template <class F, int kWidth, class Total, class Make>
GPU_DEVICE void make_grid_lines(const GridColumns& grid, const ColumnShare<kWidth>& share,
                                const GridTile& tile, float* lines, F (&f)[kWidth], Total total,
                                Make make) {
  meet_blocks();
  tile.for_each([&](int c) {
    Said said[kMostGridChunks / kLeastWave];
    hear(tile.said + c * tile.chunks, thread_id() % wave_size(), tile.chunks, 1, said);
    const Said all = total(c, said);
    if (thread_id() % wave_size() == 0) say(tile.totals + c, all);
  });
  meet_blocks();
  for (int c = thread_id(); c < tile.columns; c += block_threads()) {
    const F line = make(c, [&] {
      Said said[1];
      hear(tile.totals, c, tile.columns, 1, said);
      return said[0];
    });
    leave_line<kWidth>(grid.of, c, line, lines);
  }
  barrier();
  if (share.ours) take_lines(grid.of, lines, f);
}

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

// Between the two passes: what is kept goes to registers; where that was, what the block has of
// each column is combined (combine(shared)); then the first steps to be read again are on their
// way.
template <class T, int kInputs, class F>
GPU_DEVICE void turn_round(const GridShare<T, kInputs>& share, const T* const (&in)[kInputs],
                           GridKept<T, kInputs>* kept, F combine) {
  kept->load(share);
  barrier();
  combine(share.ring());
  barrier();
#pragma unroll 1
  for (int i = 1; i <= share.kAhead; ++i) {
    const int32_t step = share.left() - i;
    share.begin(in, step, share.slot_of(step), share.again(step));
  }
}

// All results: of what there is room for last. The others leave the caches to what is read again.
template <class T, int kInputs, class F>
GPU_DEVICE void store_grid(const GridShare<T, kInputs>& share, const RunPointers<T, kInputs>& p,
                           const GridKept<T, kInputs>& kept, const F (&f)[kPack<T>]) {
  kept.store(share, p.out, f);
  int32_t step = share.left() - 1, slot = share.slot_of(step);
#pragma unroll 1
  for (; share.again(step); --step) {
    wait_copies<GridShare<T, kInputs>::kAhead - 1>();
    share.take(step, slot,
               [&](int64_t at, const auto& x) { map_batch<true>(f, p.out + at, share.stride, x); });
    share.begin(p.in, step - share.kAhead, slot, share.again(step - share.kAhead));
    slot = slot > share.held ? slot - 1 : share.held + share.kAhead - 1;
  }
#pragma unroll 1
  for (; step >= 0; --step) {
    share.take(step, step, [&](int64_t at, const auto& x) {
      map_batch<false>(f, p.out + at, share.stride, x);
    });
  }
}

// scratch: of each channel and chunk, and of each channel, a Said.
template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_forward(GridColumns grid, BatchCall call, RunPointers<T, 1> p, void* scratch) {
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, pivots, kGridAcross* kWidth);
  GPU_SHARED(float, lines, 3 * ColumnPlaces<kWidth>::kMost);
  const GridShare<T, 1> share(grid, memory);
  const GridTile tile(grid.of, share.of, scratch);
  share.begin_first(p.in);
  ColumnWelford<kWidth> w = {};
  if (share.of.ours) pivots_of(p.in[0], grid.of, share.of.column, w.pivot);
  tile.open();
  if (thread_id() < grid.of.across) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) pivots[thread_id() * kWidth + j] = w.pivot[j];
  }
  wait_copies<share.kAhead - 1>();
  if (share.steps > 0) w.begin(share.first_row());
  share.add_all(p.in, [&](const auto& x) { w.add(x[0]); });
  GridKept<T, 1> kept = {};
  turn_round(share, p.in, &kept, [&](float* shared) {
    combine_moments(grid.of, w, shared, [&](int c, const float(&x)[kColumnMoments]) {
      tile.tell(c, {{x[0], x[1], x[2]}, 1});
    });
  });
  Line f[kWidth];
  make_grid_lines(
      grid, share.of, tile, lines, f,
      [&](int column, const auto& said) -> Said {
        const float center = said[0].x[0];
        float sums[2] = {}, count = 0;
        for (const Said& of : said) {
          const float d = of.x[0] - center, whole = d * of.x[2];
          sums[0] += whole;
          sums[1] += fmaf(whole, d, of.x[1]);
          count += of.x[2];
        }
        const Welford all = combine_lanes(moved(center, sums[0], sums[1], count), wave_size());
        if (thread_id() % wave_size() == 0) {
          store_moments<T>(call, tile.first + column,
                           {pivots[column], all.mean, all.low, all.square});
        }
        return {{all.mean, all.low, all.square}, 1};
      },
      [&](int column, auto hear) {
        const ChannelAffine affine = affine_of<T>(call, tile.first + column);
        const Said all = hear();
        return line_of(call, affine, {pivots[column], all.x[0], all.x[1], all.x[2]});
      });
  store_grid(share, p, kept, f);
}

// p.in: the gradient and src. scratch: as grid_forward()'s.
template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_backward(GridColumns grid, ChannelResults to, RunPointers<T, 2> p, void* scratch) {
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, lines, 4 * ColumnPlaces<kWidth>::kMost);
  const GridShare<T, 2> share(grid, memory);
  const GridTile tile(grid.of, share.of, scratch);
  share.begin_first(p.in);
  ColumnProducts<kWidth> w = {};
  if (share.of.ours) w.template load_means<T>(to.statistics, share.of.column);
  tile.open();
  share.add_all(p.in, [&](const auto& x) { w.add(x); });
  GridKept<T, 2> kept = {};
  turn_round(share, p.in, &kept, [&](float* shared) {
    combine_products(grid.of, w, shared,
                     [&](int c, const float(&x)[2]) { tile.tell(c, {{x[0], x[1], 0}, 1}); });
  });
  GradientLine f[kWidth];
  make_grid_lines(
      grid, share.of, tile, lines, f,
      [&](int column, const auto& said) -> Said {
        float both[2] = {};
        for (const Said& of : said) {
          both[0] += of.x[0];
          both[1] += of.x[1];
        }
        sum_lanes(both, wave_size());
        const int32_t c = tile.first + column;
        both[0] *= rstd_of<T>(to.statistics, c);
        if (thread_id() % wave_size() == 0) store_sums<T>(to, c, both[0], both[1]);
        return {{both[0], both[1], 0}, 1};
      },
      [&](int column, auto hear) {
        const ChannelGradient from = channel_gradient<T>(to, tile.first + column);
        const Said all = hear();
        return gradient_line(from, to.inv_n, all.x[0], all.x[1]);
      });
  store_grid(share, p, kept, f);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_H_
