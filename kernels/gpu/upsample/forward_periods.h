// Forward of planes whose rows of dst begin anywhere, of Linear, where what a pack of results is
// made of are three places of src's row, at most. Every few rows, a period, dst begins at the same
// place of a pack: a thread goes down by periods and writes whole aligned packs, whose weights stay
// in registers. It sums down the column first, three sums for all of a pack. Packs that rows share
// are written one by one, by threads of their own. What the block needs of src, some rows, waits in
// shared memory. Bound: memory, mostly what is written.
#ifndef POLYOPS_GPU_UPSAMPLE_FORWARD_PERIODS_H_
#define POLYOPS_GPU_UPSAMPLE_FORWARD_PERIODS_H_

#include "span.h"
#include "tile_parts.h"

namespace polyops::gpu {
namespace {

constexpr int kPeriodReach = 3;            // places of src's row
constexpr size_t kPeriodBytes = 24 << 10;  // of src

// Threads of a plane: of a period's rows the whole packs, then the packs that rows begin in, an
// element each.
struct Periods {
  int rows;         // of a period
  int packs;        // of a row, at most
  int singles;      // thread that the elements begin with
  int across;       // blocks of a chunk
  int chunks, few;  // blocks down a plane, and rows of each: whole periods
};

// Results side by side that a thread has in each period, kWide of them, one or a pack.
template <class T, int kWide>
class PeriodResults {
  static constexpr int kReach = kPeriodReach;

 public:
  // rows: those of src from that one on, in the block's memory.
  GPU_DEVICE PeriodResults(const Image<T>& image, int plane, int column, const T* rows, int from)
      : columns_(image.columns), rows_(image.rows), column_(column) {
    float unused;
    const int first = Linear::first(columns_, column, &unused);
    // Near the end of a row the last of three places is the row's last one.
    first_ = first + kReach <= columns_.from ? first : columns_.from - kReach;
    in_ = rows + (first_ - from * columns_.from);
    out_ = image.out + (int64_t{plane} * rows_.to * columns_.to + column);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      float t, w[2];
      const int slot = Linear::first(columns_, column + j, &t) - first_;
      Linear::weights(t, w);
#pragma unroll
      for (int k = 0; k < kReach; ++k) {
        weight_[j][k] = slot == k ? w[0] : slot == k - 1 ? w[1] : 0.0f;
        if (slot == k && k == kReach - 1) weight_[j][k] = 1.0f;
        forget(&weight_[j][k]);  // or it is chosen again for each row
      }
    }
  }

  // Of the rows from that one on, each a period after the one before.
  GPU_DEVICE void go(int row, int stop, int period) const {
    T* out = out_ + int64_t{row} * columns_.to;
    const int64_t step = int64_t{period} * columns_.to;
    Lines next = read(row, stop);
#pragma unroll 1
    for (; row < stop; row += period, out += step) {
      const Lines lines = next;
      next = read(row + period, stop);  // before what is stored
      float sum[kReach], y[kWide];
#pragma unroll
      for (int k = 0; k < kReach; ++k) {
        sum[k] = fmaf(lines.weight[1], widen(lines.low[k]), lines.weight[0] * widen(lines.high[k]));
      }
      const float all = sum[0] + sum[1] + sum[2];
      if (all - all == 0) {
#pragma unroll
        for (int j = 0; j < kWide; ++j) {
          y[j] = fmaf(weight_[j][2], sum[2], fmaf(weight_[j][1], sum[1], weight_[j][0] * sum[0]));
        }
      } else {
        apart(sum, y);
      }
      store_side_by_side(out, y);
    }
  }

 private:
  struct Lines {
    T high[kReach], low[kReach];
    float weight[2];
  };
  GPU_DEVICE Lines read(int row, int stop) const {
    Lines lines;
    float t;
    const int first = Linear::first(rows_, row < stop ? row : stop - 1, &t);
    const int second = first + 1 < rows_.from ? first + 1 : first;
    Linear::weights(t, lines.weight);
    const T* const high = in_ + first * columns_.from;
    const T* const low = in_ + second * columns_.from;
#pragma unroll
    for (int k = 0; k < kReach; ++k) {
      lines.high[k] = high[k];
      lines.low[k] = low[k];
    }
    return lines;
  }
  // Where 0 x is not 0: by the two taps that there are.
  GPU_DEVICE void apart(const float (&sum)[kReach], float (&y)[kWide]) const {
    auto column = static_cast<uint32_t>(column_);
    forget_bits(&column);  // or all this is kept for it
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      float t, w[2];
      const int slot = Linear::first(columns_, static_cast<int>(column) + j, &t) - first_;
      Linear::weights(t, w);
      const float one = slot == 0 ? sum[0] : slot == 1 ? sum[1] : sum[2];
      y[j] = fmaf(w[1], slot == 0 ? sum[1] : sum[2], w[0] * one);
    }
  }
  GPU_DEVICE static void forget(float* x) {
    uint32_t bits = float_bits(*x);
    forget_bits(&bits);
    *x = float_of_bits(bits);
  }

  const Axis &columns_, &rows_;
  const T* in_;
  T* out_;
  int column_, first_;
  float weight_[kWide][kReach];
};

template <class T>
GPU_KERNEL(kUpsampleThreads, 3)
upsample_periods(Image<T> image, Periods of) {
  await_earlier();
  const auto id = static_cast<uint32_t>(block_id());
  const uint32_t rest = id / of.across, plane = rest / of.chunks;
  const int lane = static_cast<int>(id - rest * of.across) * block_threads() + thread_id();
  const int chunk = static_cast<int>(rest - plane * of.chunks);
  const int width = image.columns.to, height = image.rows.to;
  const int begin = chunk * of.few;
  const int stop = begin + of.few < height ? begin + of.few : height;
  const T* const out = image.out + int64_t{plane} * height * width;
  GPU_DYNAMIC_SHARED(T, memory);
  float unused;  // a chunk has parts of the row before, too
  const int top = Linear::first(image.rows, begin > 0 ? begin - 1 : 0, &unused);
  const int bottom = within(image.rows, Linear::first(image.rows, stop - 1, &unused) + 1);
  const T* const in = image.in + (int64_t{plane} * image.rows.from + top) * image.columns.from;
  fetch_run(in, (bottom + 1 - top) * image.columns.from, memory);
  close_copies();
  wait_copies<0>();
  barrier();
  const T* const tile = memory + misplaced(in);
  if (lane < of.rows * of.packs) {
    const int row = lane / of.packs;
    const int lead = misplaced(out + row * width);
    const int column = (lead == 0 ? 0 : kPack<T> - lead) + (lane - row * of.packs) * kPack<T>;
    if (column + kPack<T> > width) return;
    PeriodResults<T, kPack<T>>(image, plane, column, tile, top).go(begin + row, stop, of.rows);
  } else if (lane >= of.singles) {
    const int row = (lane - of.singles) / kPack<T>, i = (lane - of.singles) % kPack<T>;
    const int lead = misplaced(out + row * width);  // of the pack, elements of the row before
    if (row >= of.rows || lead == 0) return;
    const bool before = i < lead;
    const int column = before ? width - lead + i : i - lead;
    const int first = begin + row - (before ? 1 : 0);
    // What the last row ends in is the last chunk's.
    const int end = before && stop < height ? stop - 1 : stop;
    PeriodResults<T, 1>(image, plane, column, tile, top)
        .go(first < 0 ? first + of.rows : first, end, of.rows);
  }
}

// Whether kPack results side by side are made of three places of src, whatever the rounding.
template <class T>
bool reaches_three(const Axis& axis) {
  return axis.scale * (kPack<T> - 1) < 1.0f - static_cast<float>(axis.from) * 0x1p-21f;
}

// False where another kernel is to do it.
template <class T>
bool forward_periods(const Image<T>& image, const polyops_context* ctx, int* status) {
  constexpr int kFewestPacks = 4, kMostPeriods = 16;
  const Axis& columns = image.columns;
  if (!reaches_three<T>(columns) || columns.from < kPeriodReach) return false;
  if (columns.to < kFewestPacks * kPack<T>) return false;
  Periods of = {};
  for (of.rows = 1; of.rows * columns.to % kPack<T> != 0;) of.rows *= 2;
  of.packs = columns.to / kPack<T>;
  of.singles = whole_waves(of.rows * of.packs);
  const int lanes = of.singles + of.rows * kPack<T>;
  of.across = (lanes + kUpsampleThreads - 1) / kUpsampleThreads;
  const int threads = whole_waves((lanes + of.across - 1) / of.across);
  const int periods = (image.rows.to + of.rows - 1) / of.rows;
  // Of src, at most.
  const auto bytes = [&](int count) {
    const double rows_of_src = static_cast<double>(image.rows.scale) * (count * of.rows + 1) + 3;
    return 16 * 2 + sizeof(T) * static_cast<size_t>(rows_of_src * columns.from);
  };
  int most = kMostPeriods;
  while (most > 2 && bytes(most) > kPeriodBytes) most /= 2;
  if (bytes(most) > kPeriodBytes) return false;
  const auto chunks = [&] { return (periods + most - 1) / most; };
  while (most > 2 && int64_t{lanes} * image.planes * chunks() < enough_threads(ctx)) most /= 2;
  of.chunks = chunks();
  of.few = (periods + of.chunks - 1) / of.chunks * of.rows;
  of.chunks = (image.rows.to + of.few - 1) / of.few;
  const LaunchShape shape = {int64_t{of.across} * of.chunks * image.planes, threads,
                             bytes(of.few / of.rows)};
  *status = gpu::launch(upsample_periods<T>, shape, ctx, image, of);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_FORWARD_PERIODS_H_
