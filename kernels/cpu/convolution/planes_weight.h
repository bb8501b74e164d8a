// The gradient of weight, of any convolution: for a filter and a step of k (a channel and a tap),
// the product of grad_dst with the image that the step sees, both at the same positions (padded.h).
// Tiles of 4 filters x as many steps as one vector has lanes for, along positions. A thread owns
// some of the channels or filters, over the whole batch.
#ifndef POLYOPS_CPU_CONVOLUTION_PLANES_WEIGHT_H_
#define POLYOPS_CPU_CONVOLUTION_PLANES_WEIGHT_H_

#include <cstddef>
#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"
#include "convolution/weight_definition.h"
#include "parallel.h"
#include "simd/transpose.h"

namespace polyops::cpu {
namespace {

template <class V>
constexpr int kTileFilters = V::kLanes >= 8 ? 4 : 1;
template <class V>
constexpr int kTileSteps = V::kLanes / kTileFilters<V>;
// Of the copies that a thread works on at a time.
constexpr int64_t kWeightElements = 262144;

// Units are (group, part of the channels, part of the filters); each goes through the batch in
// chunks of some items and a band of rows.
struct PlanesWeightPlan {
  Shape shape;
  int64_t channel_parts, filter_parts, channels, filters;  // the most that a part has
  int64_t rows, bands, items;
  Padded padded;  // of a band
  int64_t k;      // steps of a part
  int64_t image_elements, grad_elements, sum_elements, thread_elements;

  int64_t units() const { return shape.groups * channel_parts * filter_parts; }
  // Of one phase, with the rows that are between results.
  int64_t position_elements() const {
    return padded.axis[0].extent * padded.axis[1].extent * padded.axis[2].extent;
  }
};

template <class V>
inline PlanesWeightPlan planes_weight_plan(const Shape& shape, int64_t threads) {
  PlanesWeightPlan plan;
  plan.shape = shape;
  const int64_t wanted = ceil_div(threads, shape.groups);
  plan.channel_parts = shape.channels >= 4 * wanted ? wanted : 1;
  plan.filter_parts = min_of(ceil_div(wanted, plan.channel_parts), shape.filters);
  plan.channels = ceil_div(shape.channels, plan.channel_parts);
  plan.filters = ceil_div(shape.filters, plan.filter_parts);
  plan.k = plan.channels * shape.taps();
  const int64_t height = shape.side[1].out;
  // Of all channels and filters, so that sums are added up alike whatever the number of threads.
  const auto elements_of = [&](int64_t rows) {
    plan.padded = padded_of(shape, 0, rows);
    return shape.channels * plan.padded.size() + shape.filters * plan.position_elements();
  };
  const Bands bands = choose_bands(
      height, height, [&](int64_t rows) { return elements_of(rows) <= kWeightElements; },
      [](int64_t) { return true; });
  plan.rows = bands.rows;
  plan.bands = bands.count;
  const int64_t elements = elements_of(plan.rows);
  plan.items = max_of(1, min_of(kWeightElements / elements, shape.batch));
  plan.image_elements = rounded_up(plan.channels * plan.padded.size() + kOverread);
  plan.grad_elements = rounded_up(plan.filters * plan.position_elements() + kOverread);
  plan.sum_elements =
      ceil_div(plan.k, kTileSteps<V>) * ceil_div(plan.filters, kTileFilters<V>) * V::kLanes;
  plan.thread_elements =
      rounded_up(plan.items * (plan.image_elements + plan.grad_elements) + plan.sum_elements);
  return plan;
}

// One filter of the copies of grad_dst, and the steps' images, of the first item; from one item to
// the next.
template <class S>
struct WeightTile {
  const S* grads[4];
  const S* images[4];
  int64_t items, grad_item, image_item, positions;
};

// Adds the products of every filter with every step to sums, [filter][step].
template <class V, class S>
inline void run_weight_tile(const WeightTile<S>& t, S* sums) {
  constexpr int kFilters = kTileFilters<V>, kSteps = kTileSteps<V>;
  V acc[kFilters * kSteps];
#pragma GCC unroll 16
  for (V& sum : acc) sum = V::zero();
  // Long sums are added up in blocks, or their last bits would be lost.
  int64_t added = 0;
  const auto flush = [&] {
    store(sums, load<V>(sums) + reduce_add_each(acc));
#pragma GCC unroll 16
    for (V& sum : acc) sum = V::zero();
    added = 0;
  };
  for (int64_t item = 0; item < t.items; ++item) {
    const S *grads[kFilters], *images[kSteps];
    for (int f = 0; f < kFilters; ++f) grads[f] = t.grads[f] + item * t.grad_item;
    for (int s = 0; s < kSteps; ++s) images[s] = t.images[s] + item * t.image_item;
    const auto add = [&](const auto& at) {
      V x[kSteps];
#pragma GCC unroll 4
      for (int s = 0; s < kSteps; ++s) x[s] = at(images[s]);
#pragma GCC unroll 4
      for (int f = 0; f < kFilters; ++f) {
        const V g = at(grads[f]);
#pragma GCC unroll 4
        for (int s = 0; s < kSteps; ++s) acc[f * kSteps + s] = fma(g, x[s], acc[f * kSteps + s]);
      }
    };
    int64_t j = 0;
    while (j + V::kLanes <= t.positions) {
      const int64_t whole = (t.positions - j) / V::kLanes;
      const int64_t vectors = min_of(whole, kSumSteps<S> - added);
      for (const int64_t end = j + vectors * V::kLanes; j < end; j += V::kLanes) {
        add([j](const S* p) { return load<V>(p + j); });
      }
      added += vectors;
      if (added == kSumSteps<S>) flush();
    }
    const int64_t left = t.positions - j;
    if (left > 0) add([j, left](const S* p) { return load_partial<V>(p + j, left); });
  }
  flush();
}

template <class V, class E>
struct PlanesWeight {
  using S = typename V::Scalar;
  const polyops_convolution_backward_args& args;
  const PlanesWeightPlan& plan;
  const int32_t* shifts;   // of a part's steps
  const int64_t* targets;  // where their weights are, from a filter's first channel of the part
  Strides grad_dst, src, grad_weight;

  struct Part {
    int64_t group, channel, channels, filter, filters;  // counted over everything
  };

  Part part_of(int64_t unit) const {
    const Shape& shape = plan.shape;
    const int64_t f = unit % plan.filter_parts, c = unit / plan.filter_parts % plan.channel_parts;
    Part part;
    part.group = unit / plan.filter_parts / plan.channel_parts;
    const int64_t c0 = c * shape.channels / plan.channel_parts;
    const int64_t f0 = f * shape.filters / plan.filter_parts;
    part.channels = (c + 1) * shape.channels / plan.channel_parts - c0;
    part.filters = (f + 1) * shape.filters / plan.filter_parts - f0;
    part.channel = c0;
    part.filter = part.group * shape.filters + f0;
    return part;
  }

  void run(int64_t unit, S* scratch) const {
    const Part part = part_of(unit);
    S* images = scratch;
    S* grads = images + plan.items * plan.image_elements;
    S* sums = grads + plan.items * plan.grad_elements;
    for (int64_t i = 0; i < plan.sum_elements; ++i) sums[i] = 0;
    for (int64_t band = 0; band < plan.bands; ++band) {
      const int64_t first = band * plan.rows;
      const Padded padded = band_of(plan.shape, plan.padded, first);
      for (int64_t item = 0; item < plan.shape.batch; item += plan.items) {
        const int64_t items = min_of(plan.items, plan.shape.batch - item);
        copy_in(part, padded, first, item, items, images, grads);
        add_tiles(part, padded.positions(), items, images, grads, sums);
      }
    }
    copy_out(part, sums);
  }

  void copy_in(const Part& part, const Padded& padded, int64_t first, int64_t item, int64_t items,
               S* images, S* grads) const {
    const PadPlan pad(padded, src.at), pad_grad(at_positions(padded), grad_dst.at);
    const int64_t channel = part.group * plan.shape.channels + part.channel;
    for (int64_t i = 0; i < items; ++i) {
      const auto* image = static_cast<const E*>(args.src.data) + (item + i) * src.batch;
      for (int64_t c = 0; c < part.channels; ++c) {
        pad_channel<V>(pad, image + (channel + c) * src.channel,
                       images + i * plan.image_elements + c * padded.size());
      }
      const auto* grad = static_cast<const E*>(args.grad_dst.data) + (item + i) * grad_dst.batch +
                         first * grad_dst.at[1];
      for (int64_t f = 0; f < part.filters; ++f) {
        pad_channel<V>(pad_grad, grad + (part.filter + f) * grad_dst.channel,
                       grads + i * plan.grad_elements + f * plan.position_elements());
      }
    }
  }

  void add_tiles(const Part& part, int64_t positions, int64_t items, const S* images,
                 const S* grads, S* sums) const {
    constexpr int kFilters = kTileFilters<V>, kSteps = kTileSteps<V>;
    const int64_t steps = part.channels * plan.shape.taps();
    WeightTile<S> tile;
    tile.items = items;
    tile.grad_item = plan.grad_elements;
    tile.image_item = plan.image_elements;
    tile.positions = positions;
    for (int64_t k = 0; k < steps; k += kSteps) {
      // Tiles at the end take their last step or filter several times.
      for (int s = 0; s < kSteps; ++s) tile.images[s] = images + shifts[min_of(k + s, steps - 1)];
      for (int64_t f = 0; f < part.filters; f += kFilters, sums += V::kLanes) {
        for (int i = 0; i < kFilters; ++i) {
          tile.grads[i] = grads + min_of(f + i, part.filters - 1) * plan.position_elements();
        }
        run_weight_tile<V>(tile, sums);
      }
    }
  }

  // A sum that is not finite may be so by what is between the rows.
  S definition(const Part& part, int64_t filter, int64_t k) const {
    const int64_t taps = plan.shape.taps(), channel = part.channel + k / taps;
    return static_cast<S>(weight_by_definition<E>(
        plan.shape,
        static_cast<const E*>(args.grad_dst.data) + (part.filter + filter) * grad_dst.channel,
        grad_dst,
        static_cast<const E*>(args.src.data) +
            (part.group * plan.shape.channels + channel) * src.channel,
        src, k % taps));
  }

  void copy_out(const Part& part, const S* sums) const {
    constexpr int kFilters = kTileFilters<V>, kSteps = kTileSteps<V>;
    const int64_t steps = part.channels * plan.shape.taps();
    auto* to = static_cast<E*>(args.grad_weight.data) + part.filter * grad_weight.batch +
               part.channel * grad_weight.channel;
    for (int64_t k = 0; k < steps; k += kSteps) {
      for (int64_t f = 0; f < part.filters; f += kFilters, sums += V::kLanes) {
        for (int64_t i = 0; i < min_of(kFilters, part.filters - f); ++i) {
          for (int64_t s = 0; s < min_of(kSteps, steps - k); ++s) {
            const S sum = sums[i * kSteps + s];
            put(to + (f + i) * grad_weight.batch + targets[k + s],
                is_finite(sum) ? sum : definition(part, f + i, k + s));
          }
        }
      }
    }
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PLANES_WEIGHT_H_
