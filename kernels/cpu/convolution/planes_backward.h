// Gradients of any convolution, on padded copies of planes.
//   src     the convolution of grad_dst with the weights turned round, one per phase of the stride
//           (source_grid.h), by the tiles of planes.h; the weights are copied into their order
//   weight  of a filter and a step of k (a channel and a tap), the product of grad_dst with the image
//           that the step sees, both at the same positions (padded.h): tiles of 4 filters x as many
//           steps as one vector has lanes for, along positions. A thread owns some of the channels,
//           over the whole batch.
#ifndef POLYOPS_CPU_CONVOLUTION_PLANES_BACKWARD_H_
#define POLYOPS_CPU_CONVOLUTION_PLANES_BACKWARD_H_

#include <cstddef>
#include <cstdint>

#include "convolution/depthwise_backward.h"
#include "convolution/planes.h"
#include "convolution/source_grid.h"
#include "parallel.h"
#include "simd/transpose.h"

namespace polyops::cpu {
namespace {

// --- grad_src ------------------------------------------------------------------------------------

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
  const int64_t height = position_count(shape.side[1]), images = shape.batch * shape.groups;
  const auto set_bands = [&](int64_t bands) {
    plan.rows = ceil_div(height, bands);
    plan.bands = ceil_div(height, plan.rows);
    plan.grid = source_grid(shape, 0, plan.rows);
  };
  set_bands(1);
  while (plan.rows > 1 && shape.filters * plan.grid.padded.size() > kPlanesElements) {
    set_bands(plan.bands + 1 + plan.bands / 4);
  }
  const int64_t positions = plan.grid.padded.positions() * plan.bands;
  const int64_t most = max_of(1, min_of(height, positions / kLeastPositions));
  while (plan.bands < most && images * plan.bands % threads != 0) {
    const int64_t before = plan.bands;
    set_bands(before + 1);
    if (plan.bands <= before) break;
  }
  plan.channel_parts = 1;
  if (images * plan.bands < threads) {
    plan.channel_parts =
        max_of(1, min_of(threads / (images * plan.bands), shape.channels / kLeastFilters));
  }
  plan.position_elements = rounded_up(plan.grid.padded.positions() + kOverread);
  plan.thread_elements = rounded_up(shape.filters * plan.grid.padded.size() + kOverread) +
                         kMaxRows * plan.phases2() * plan.position_elements;
  return plan;
}

// Where the steps of each phase begin, counted in taps, and the steps' shifts: phase by phase, filter
// by filter.
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
                       const E* w = source + t0 * from.at[0] + t1 * from.at[1] + t2 * from.at[2];
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
    const int64_t first = band * plan.rows;
    SourceGrid grid = source_grid(shape, first, plan.rows);
    grid.padded.axis[1].out = min_of(plan.rows, position_count(shape.side[1]) - first);
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
      kPlanesTiles<V, S>.fn[ceil_div(columns, V::kLanes) - 1][count - 1](tile);
    }
  }
};

// --- grad_weight ---------------------------------------------------------------------------------

template <class V>
constexpr int kTileFilters = V::kLanes >= 8 ? 4 : 1;
template <class V>
constexpr int kTileSteps = V::kLanes / kTileFilters<V>;
// Of the copies that a thread works on at a time.
constexpr int64_t kWeightElements = 262144;

// Units are (group, part of the channels, part of the filters); each goes through the batch in chunks
// of some items and a band of rows.
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
  int64_t elements = 0;
  const auto set_bands = [&](int64_t bands) {
    plan.rows = ceil_div(height, bands);
    plan.bands = ceil_div(height, plan.rows);
    plan.padded = padded_of(shape, 0, plan.rows);
    elements = shape.channels * plan.padded.size() + shape.filters * plan.position_elements();
  };
  set_bands(1);
  while (plan.rows > 1 && elements > kWeightElements) set_bands(plan.bands + 1 + plan.bands / 4);
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
    for (; j + V::kLanes <= t.positions; j += V::kLanes) {
      add([j](const S* p) { return load<V>(p + j); });
    }
    const int64_t left = t.positions - j;
    if (left > 0) add([j, left](const S* p) { return load_partial<V>(p + j, left); });
  }
  store(sums, load<V>(sums) + reduce_add_each(acc));
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
      Padded padded = plan.padded;
      const int64_t first = band * plan.rows;
      padded.axis[1].origin = first * plan.shape.side[1].stride - plan.shape.side[1].padding;
      padded.axis[1].out = min_of(plan.rows, plan.shape.side[1].out - first);
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

// --- grad_bias -----------------------------------------------------------------------------------

template <class V, class E>
double sum_of(const Space<1>& space, const E* from) {
  double sum = 0;
  if (!space.dense()) {
    for_each_point(space, [&](int64_t offset, int64_t) { sum += get(from + offset); });
    return sum;
  }
  // A vector's sums stay exact enough over some thousands of elements.
  constexpr int64_t kBlock = 256 * V::kLanes;
  for (int64_t begin = 0; begin < space.count; begin += kBlock) {
    const int64_t end = min_of(begin + kBlock, space.count);
    V acc = V::zero();
    for (int64_t i = begin; i < end; i += V::kLanes) {
      acc = acc + load_partial<V>(from + i, end - i);
    }
    sum += reduce_add(acc);
  }
  return sum;
}

template <class V, class E>
void add_up_bias(const polyops_context* ctx, const polyops_convolution_backward_args& args) {
  const polyops_tensor& grad = args.grad_dst;
  const polyops_tensor* const tensors[] = {&grad};
  const Space<1> pixels = make_space(tensors, 2, grad.rank);
  parallel_for(ctx, grad.sizes[1], grain_of(8.0 * grad.sizes[0] * pixels.count),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t f = begin; f < end; ++f) {
                   double sum = 0;
                   for (int64_t n = 0; n < grad.sizes[0]; ++n) {
                     const auto* from = static_cast<const E*>(grad.data) + n * grad.strides[0] +
                                        f * grad.strides[1];
                     sum += sum_of<V>(pixels, from);
                   }
                   put(static_cast<E*>(args.grad_bias.data) + f * args.grad_bias.strides[0],
                       static_cast<typename V::Scalar>(sum));
                 }
               });
}

// --- the kernel ----------------------------------------------------------------------------------

// Scratch: first what grad_src needs, then, in its place, what grad_weight needs.
struct PlanesBackwardPlan {
  Shape shape;
  bool has_source, has_weight, has_bias;

  explicit PlanesBackwardPlan(const polyops_convolution_backward_args& args)
      : shape(backward_shape(args)),
        has_source(polyops_is_present(&args.grad_src) != 0),
        has_weight(polyops_is_present(&args.grad_weight) != 0),
        has_bias(polyops_is_present(&args.grad_bias) != 0) {}
};

inline int64_t begins_bytes(const PlanesSourcePlan& plan) {
  return rounded_up(plan.grid.phases() + 1) * static_cast<int64_t>(sizeof(int64_t));
}

inline size_t source_bytes(const PlanesSourcePlan& plan, int64_t threads, int64_t width) {
  const int64_t weights = rounded_up(plan.shape.groups * plan.shape.channels * plan.k);
  return begins_bytes(plan) + rounded_up(plan.k) * sizeof(int32_t) +
         (weights + threads * plan.thread_elements) * width;
}

inline size_t weight_bytes(const PlanesWeightPlan& plan, int64_t threads, int64_t width) {
  return rounded_up(plan.k) * (sizeof(int64_t) + sizeof(int32_t)) +
         threads * plan.thread_elements * width;
}

inline const char* planes_backward_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  if (!has_dtype(args.grad_dst.dtype) || !one_dtype(args)) return "dtype";
  const Shape shape = backward_shape(args);
  if (!has_small_strides(shape)) return "stride";
  const Padded padded = padded_of(shape, 0, shape.side[1].out);
  const SourceGrid grid = source_grid(shape, 0, position_count(shape.side[1]));
  const int64_t most = max_of(shape.channels * padded.size(), shape.filters * grid.padded.size());
  return most > INT32_MAX ? "size" : nullptr;
}

inline size_t planes_backward_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  const PlanesBackwardPlan plan(args);
  size_t bytes = 0;
  with_types(args.grad_dst.dtype, [&]<class V, class E>() {
    const int64_t width = sizeof(typename V::Scalar);
    if (plan.has_source)
      bytes = source_bytes(planes_source_plan(plan.shape, threads), threads, width);
    if (plan.has_weight) {
      const size_t needed =
          weight_bytes(planes_weight_plan<V>(plan.shape, threads), threads, width);
      if (needed > bytes) bytes = needed;
    }
  });
  return bytes;
}

template <class V, class E>
void planes_source(const polyops_context* ctx, const polyops_convolution_backward_args& args,
                   const Shape& shape) {
  using S = typename V::Scalar;
  const PlanesSourcePlan plan = planes_source_plan(shape, ctx->num_threads);
  auto* begins = static_cast<int64_t*>(ctx->scratch);
  auto* shifts = reinterpret_cast<int32_t*>(static_cast<char*>(ctx->scratch) + begins_bytes(plan));
  auto* turned = reinterpret_cast<S*>(shifts + rounded_up(plan.k));
  S* scratch = turned + rounded_up(shape.groups * shape.channels * plan.k);
  list_source_steps(plan, begins, shifts);
  turn_weights<E>(ctx, plan, args.weight, begins, turned);
  const PlanesSource<V, E> source = {
      args, plan, begins, shifts, turned, strides_of(args.grad_dst), strides_of(args.grad_src)};
  const int64_t units = plan.units();
  parallel_for(ctx, units, grain_of(shape.products() / units),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t i = begin; i < end; ++i) {
                   source.run(i, scratch + thread * plan.thread_elements);
                 }
               });
}

template <class V, class E>
void planes_weight(const polyops_context* ctx, const polyops_convolution_backward_args& args,
                   const Shape& shape) {
  using S = typename V::Scalar;
  const PlanesWeightPlan plan = planes_weight_plan<V>(shape, ctx->num_threads);
  auto* targets = static_cast<int64_t*>(ctx->scratch);
  auto* shifts = reinterpret_cast<int32_t*>(targets + rounded_up(plan.k));
  auto* scratch = reinterpret_cast<S*>(shifts + rounded_up(plan.k));
  const Strides to = strides_of(args.grad_weight);
  int64_t k = 0;
  for (int64_t c = 0; c < plan.channels; ++c) {
    for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      targets[k] = c * to.channel + t0 * to.at[0] + t1 * to.at[1] + t2 * to.at[2];
      shifts[k] = c == 0 ? static_cast<int32_t>(plan.padded.shift(t0, t1, t2))
                         : shifts[k - shape.taps()] + static_cast<int32_t>(plan.padded.size());
      ++k;
    });
  }
  const PlanesWeight<V, E> job = {
      args, plan, shifts, targets, strides_of(args.grad_dst), strides_of(args.src), to};
  parallel_for(ctx, plan.units(), grain_of(shape.products() / plan.units()),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t i = begin; i < end; ++i) {
                   job.run(i, scratch + thread * plan.thread_elements);
                 }
               });
}

inline int planes_backward_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  const PlanesBackwardPlan plan(args);
  with_types(args.grad_dst.dtype, [&]<class V, class E>() {
    if (plan.has_source) planes_source<V, E>(ctx, args, plan.shape);
    if (plan.has_weight) planes_weight<V, E>(ctx, args, plan.shape);
    if (plan.has_bias) add_up_bias<V, E>(ctx, args);
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PLANES_BACKWARD_H_
