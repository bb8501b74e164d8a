// The float32 images that columns.h would convolve by 7x7 taps, by waves (wave_rows.h). Bound, of
// 32x96x56x56 on an H200: memory 18 us, and the products, 49 of a result, 15.9 us. It took 42.3 us
// in columns.h, where a thread has registers for one row that comes, and takes 34.7 so; 37.0 by one
// row to a turn of the loop, not two.
//
// Gradients lost so: all of float32 32x96x56x56 by 7x7 taps 68.8 us and 90, of bfloat16
// 32x144x56x56 by 3x3 taps 38.6 and 45.0.
#ifndef POLYOPS_GPU_CONVOLUTION_COLUMNS_WAVES_H_
#define POLYOPS_GPU_CONVOLUTION_COLUMNS_WAVES_H_

#include "columns.h"
#include "wave_rows.h"

namespace polyops::gpu {
namespace {

struct ColumnWavesCall {
  Shape shape;
  const float* src;
  float* dst;
  Taps<float> taps;
  Bias<float> bias;
  WaveWork work;
};

using ColumnWavesWindow = Window<7, 7, 1>;

struct ColumnWaves : ColumnSlide<ColumnWavesWindow, kPack<float>> {
  static constexpr int kTurn = 2;                            // rows of a turn
  static constexpr int kSlots = 8, kAhead = kSlots - kTurn;  // rows that come
  // Rows of 28 columns and more: no more than 6 lines to 32 lanes, or 10 to 64.
  static constexpr int kRoom = 40;
  using Rows = WaveRows<kSlots, kRoom>;
};

// Dense ones by constant places.
template <class W>
GPU_DEVICE void load_window(const Taps<float>& taps, int32_t channel, float (&w)[W::kTaps][1]) {
  const float* const first = taps.data + channel * taps.c;
  if (taps.w == 1 && taps.h == W::kW) {
#pragma unroll
    for (int i = 0; i < W::kTaps; ++i) w[i][0] = first[i];
    return;
  }
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) w[i][0] = first[i / W::kW * taps.h + i % W::kW * taps.w];
}

// A wave that slides down a group of strips, by some of the rows of their results. A step is a row
// that it reads, from the filter's padding above the first result on.
struct ColumnWave {
  using W = ColumnWavesWindow;
  using Own = ColumnWaves;
  const ColumnWavesCall& call;
  const Own::Rows& ring;
  bool has;  // a strip
  int32_t rows, steps, step;
  int32_t slot, at;  // elements of a slot; where the step's is
  int32_t from;      // the lane's pack of the row that is fetched next
  int32_t back;      // how far before that results are
  int32_t none;      // steps from here on fetch no row of the image, or none for the lane
  float w[W::kTaps][1], bias[1];
  SlidingSums<W, Own> sums;

  GPU_DEVICE ColumnWave(const ColumnWavesCall& own, const Own::Rows& memory, const WavePlace& place,
                        int32_t first, int32_t count)
      : call(own), ring(memory), has(place.has), rows(count), slot(Own::Rows::slot()) {
    const Shape& s = call.shape;
    // Rows that the image has not are skipped.
    const int32_t left = s.h.in - first - rows;
    steps = rows + Own::kBefore - (left < Own::kPadding ? Own::kPadding - left : 0);
    step = first < Own::kPadding ? Own::kPadding - first : 0;
    at = step % Own::kTurn * slot;  // even steps have even slots
    from = kept_in_register(place.plane * s.in() + (first - Own::kPadding + step) * s.w.in +
                            place.pack * Own::kResults);
    back = (Own::kAhead + Own::kBefore - Own::kPadding) * s.w.in;
    none = kept_in_register(has ? s.h.in - first + Own::kPadding - Own::kAhead : INT32_MIN);
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) fetch(at + i * slot, step + i - Own::kAhead);
    const int32_t channel = place.plane % s.channels;
    load_window<W>(call.taps, channel, w);
    bias[0] = call.bias.at(channel);
    sums.begin(bias);
  }

  // The row that is kAhead ahead of a step, into a slot.
  GPU_DEVICE void fetch(int32_t to, int32_t of_step) {
    ring.fetch(to, call.src + from, of_step < none);
    close_copies();
    from += call.shape.w.in;
  }
  // Where the row that comes next belongs.
  GPU_DEVICE int32_t next() const {
    return at + (at < Own::kTurn * slot ? Own::kAhead : -Own::kTurn) * slot;
  }
  GPU_DEVICE void advance(int by) {
    at = at == (Own::kSlots - by) * slot ? 0 : at + by * slot;
    step += by;
  }
  // The pixels of the step's row that the lane needs.
  GPU_DEVICE void read(int i, float (&x)[Own::kPixels][1]) const {
    constexpr int kWide = Own::kResults;
    static_assert(Own::kPadding <= kWide && Own::kPixels == 2 * Own::kPadding + kWide);
#pragma unroll
    for (int k = -1; k < 2; ++k) {
      float values[kWide];
      load_few(ring.row(at + i * slot) + k * kWide, values);
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        const int to = Own::kPadding + k * kWide + j;
        if (to >= 0 && to < Own::kPixels) x[to][0] = values[j];
      }
    }
  }
  // rows_back: from the row of results whose step fetches next.
  GPU_DEVICE void put(const float (&results)[Own::kResults][1], int rows_back) const {
    Few<float, Own::kResults> few;
    float row[Own::kResults];
#pragma unroll
    for (int c = 0; c < Own::kResults; ++c) row[c] = results[c][0];
    few.set(row);
    if (has) few.store(call.dst + (from - back - rows_back * call.shape.w.in));
  }

  GPU_DEVICE bool has_turn() const { return step >= Own::kBefore && step + Own::kTurn <= rows; }
  // Rows all of whose sums are results.
  GPU_DEVICE void take_turn() {
    wait_copies<Own::kAhead - Own::kTurn>();
    wave_barrier();
    const int32_t to = next();
#pragma unroll
    for (int i = 0; i < Own::kTurn; ++i) fetch(to + i * slot, step + i);
#pragma unroll
    for (int i = 0; i < Own::kTurn; ++i) {
      float values[1][Own::kPixels][1];
      read(i, values[0]);
      sums.add_all(values, w, bias);
      put(sums.done, Own::kTurn - i);
    }
    advance(Own::kTurn);
  }
  GPU_DEVICE void take_row() {
    wait_copies<Own::kAhead - 1>();
    wave_barrier();
    fetch(next(), step);
    float values[1][Own::kPixels][1];
    read(0, values[0]);
    sums.add_some(step, rows, values, w, bias);
    if (step >= Own::kBefore) put(sums.done, 1);
    advance(1);
  }
  // Results whose last rows the image has not.
  GPU_DEVICE void put_unfinished() const {
#pragma unroll
    for (int m = Own::kBefore - 1; m >= Own::kPadding; --m) {
      if (step > m && step - 1 - m < rows) put(sums.unfinished[m], m - (Own::kBefore - 1));
    }
  }
};

GPU_KERNEL(ColumnWaves::kThreads, ColumnWaves::kBlocks)
convolve_column_waves(ColumnWavesCall call) {
  await_earlier();
  using Rows = ColumnWaves::Rows;
  GPU_SHARED(Words, memory, ColumnWaves::kThreads / 32 * Rows::kPacks);
  for_runs(call.work, block_id(), [&](uint32_t group, int32_t first, int32_t rows) {
    const WavePlace place(call.work, group);
    wave_barrier();  // the last rows of the run before were read
    const int32_t own = thread_id() / wave_size() * (ColumnWaves::kSlots * Rows::slot());
    const Rows ring(reinterpret_cast<float*>(memory), own, place);
    ColumnWave wave(call, ring, place, first, rows);
#pragma unroll 1
    while (wave.step < wave.steps) {
      if (wave.has_turn()) {
        wave.take_turn();
      } else {
        wave.take_row();
      }
    }
    wave.put_unfinished();
    wait_copies<0>();
  });
}

inline bool has_column_waves(const Shape& s) {
  return s.w.taps == 7 && s.w.stride == 1 && has_columns(s);
}

inline int launch_column_waves(const Shape& s, const float* src, float* dst,
                               const Taps<float>& taps, const Bias<float>& bias,
                               const polyops_context* ctx) {
  using Own = ColumnWaves;
  const int64_t across = s.w.out / Own::kResults, strips = int64_t{s.batch} * s.channels * across;
  const int64_t blocks =
      wave_blocks(s, strips, Own::kThreads, int64_t{multiprocessors(ctx)} * Own::kBlocks);
  const ColumnWavesCall call = {s, src, dst, taps, bias, wave_work(s, strips, across, blocks)};
  return launch(convolve_column_waves, {blocks, Own::kThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_COLUMNS_WAVES_H_
