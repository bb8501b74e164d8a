// The gradient of src, of any convolution: the convolution of grad_dst with the weights turned
// round, one per phase of the stride (source_grid.h), by the tiles of planes.h. The weights are
// copied into the order of the steps.
#ifndef POLYOPS_CPU_CONVOLUTION_PLANES_SOURCE_H_
#define POLYOPS_CPU_CONVOLUTION_PLANES_SOURCE_H_

#include <cstddef>
#include <cstdint>

#include "convolution/planes.h"
#include "convolution/source_grid.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// Units are (item, group, band of positions, part of the channels).
struct PlanesSourcePlan {
  Shape shape;
  SourceGrid grid;  // of a band
  int64_t rows, bands, channel_parts;
  int64_t k;  // filters x taps, of all phases
  int64_t position_elements, thread_elements;

  int64_t phases2() const { return shape.side[2].stride; }
  int64_t units() const { return shape.batch * shape.groups * bands * channel_parts; }
};

inline PlanesSourcePlan planes_source_plan(const Shape& shape, int64_t threads) {
  PlanesSourcePlan plan;
  plan.shape = shape;
  plan.k = shape.filters * shape.taps();
  const Side* s = shape.side;
  const Cut cut = cut_images({position_count(s[1]), s[0].in * s[1].in * s[2].in, shape.channels},
                             shape.batch * shape.groups, threads, [&](int64_t rows) {
                               return shape.filters * source_grid(shape, 0, rows).padded.size();
                             });
  plan.rows = cut.rows;
  plan.bands = cut.bands;
  plan.channel_parts = cut.parts;
  plan.grid = source_grid(shape, 0, plan.rows);
  plan.position_elements = rounded_up(plan.grid.padded.positions() + kOverread);
  plan.thread_elements = rounded_up(shape.filters * plan.grid.padded.size() + kOverread) +
                         kMaxRows * plan.phases2() * plan.position_elements;
  return plan;
}

// Where the steps of each phase begin, counted in taps, and the steps' shifts: phase by phase,
// filter by filter.
inline void list_source_steps(const PlanesSourcePlan& plan, int64_t* begins, int32_t* shifts) {
  const auto filter = static_cast<int32_t>(plan.grid.padded.size());
  int64_t taps = 0;
  for (int64_t phase = 0; phase < plan.grid.phases(); ++phase) {
    begins[phase] = taps;
    int32_t* first = shifts + taps * plan.shape.filters;
    int64_t count = 0;
    for_each_tap(plan.shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      if (plan.grid.phase_of(t0, t1, t2) != phase) return;
      first[count++] = static_cast<int32_t>(plan.grid.shift(t0, t1, t2));
    });
    for (int64_t k = count; k < count * plan.shape.filters; ++k) {
      first[k] = first[k - count] + filter;
    }
    taps += count;
  }
  begins[plan.grid.phases()] = taps;
}

// The weights in that order, channel by channel of each group: [group][channel][k].
template <class E, class S>
void turn_weights(const polyops_context* ctx, const PlanesSourcePlan& plan,
                  const polyops_tensor& weight, const int64_t* begins, S* turned) {
  const Strides from = strides_of(weight);
  const Shape& shape = plan.shape;
  parallel_for(ctx, shape.groups * shape.channels, grain_of(8.0 * plan.k),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t row = begin; row < end; ++row) {
                   const int64_t group = row / shape.channels, channel = row % shape.channels;
                   const auto* source = static_cast<const E*>(weight.data) +
                                        group * shape.filters * from.batch + channel * from.channel;
                   for (int64_t phase = 0; phase < plan.grid.phases(); ++phase) {
                     const int64_t taps = begins[phase + 1] - begins[phase];
                     S* to = turned + row * plan.k + begins[phase] * shape.filters;
                     int64_t tap = 0;
                     for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
                       if (plan.grid.phase_of(t0, t1, t2) != phase) return;
                       const E* w = source + tap_of(from, t0, t1, t2);
                       for (int64_t f = 0; f < shape.filters; ++f)
                         to[f * taps + tap] = get(w + f * from.batch);
                       ++tap;
                     });
                   }
                 }
               });
}

template <class V, class E>
struct PlanesSource {
  using S = typename V::Scalar;
  const polyops_convolution_backward_args& args;
  const PlanesSourcePlan& plan;
  const int64_t* begins;
  const int32_t* shifts;
  const S* turned;
  Strides grad_dst, grad_src;

  void run(int64_t unit, S* scratch) const {
    const Shape& shape = plan.shape;
    const int64_t part = unit % plan.channel_parts, band = unit / plan.channel_parts % plan.bands;
    const int64_t image = unit / plan.channel_parts / plan.bands;
    const int64_t item = image / shape.groups, group = image % shape.groups;
    const SourceGrid grid = source_band(shape, band * plan.rows, plan.rows);
    const PadPlan pad(grid.padded, grad_dst.at);
    const auto* from = static_cast<const E*>(args.grad_dst.data) + item * grad_dst.batch +
                       group * shape.filters * grad_dst.channel;
    for (int64_t f = 0; f < shape.filters; ++f) {
      pad_channel<V>(pad, from + f * grad_dst.channel, scratch + f * grid.padded.size());
    }
    S* positions = scratch + rounded_up(shape.filters * grid.padded.size() + kOverread);
    const int64_t begin = part * shape.channels / plan.channel_parts;
    const int64_t end = (part + 1) * shape.channels / plan.channel_parts;
    const Split tiles(end - begin, rows_of<V>(kMaxVectors<V>));
    for (int64_t i = 0; i < tiles.count; ++i) {
      const int64_t channel = group * shape.channels + begin + tiles.begin(i);
      run_channels(grid, scratch, channel, tiles.size(i), positions,
                   static_cast<E*>(args.grad_src.data) + item * grad_src.batch);
    }
  }

  // At most kMaxRows channels.
  void run_channels(const SourceGrid& grid, const S* planes, int64_t channel, int64_t count,
                    S* positions, E* to) const {
    const Side* s = plan.shape.side;
    const int64_t row = plan.phases2() * plan.position_elements;
    int64_t phase = 0;
    for (int64_t phase0 = 0; phase0 < s[0].stride; ++phase0) {
      for (int64_t phase1 = 0; phase1 < s[1].stride; ++phase1) {
        for (int64_t phase2 = 0; phase2 < s[2].stride; ++phase2, ++phase) {
          run_phase(grid, planes, phase, channel, count,
                    positions + phase2 * plan.position_elements, row);
        }
        for (int64_t c = 0; c < count; ++c) {
          join_rows<V>(grid, phase0, phase1, positions + c * row, plan.position_elements,
                       to + (channel + c) * grad_src.channel, grad_src.at);
        }
      }
    }
  }

  void run_phase(const SourceGrid& grid, const S* planes, int64_t phase, int64_t channel,
                 int64_t count, S* positions, int64_t row) const {
    const S zeros[kMaxRows] = {};
    const int64_t first = begins[phase] * plan.shape.filters, total = grid.padded.positions();
    PlanesTile<S> tile;
    tile.weights = turned + channel * plan.k + first;
    tile.stride = plan.k;
    tile.k = (begins[phase + 1] - begins[phase]) * plan.shape.filters;
    tile.shifts = shifts + first;
    tile.start = zeros;
    tile.dst_stride = row;
    for (int64_t j = 0; j < total; j += kTileColumns<V>) {
      const int64_t columns = min_of(kTileColumns<V>, total - j);
      tile.padded = planes + j;
      tile.dst = positions + j;
      run_tile_in_blocks<V>(tile, count, columns, kFewSumSteps<S>);
    }
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PLANES_SOURCE_H_
